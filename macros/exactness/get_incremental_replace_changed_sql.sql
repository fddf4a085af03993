{% macro get_incremental_replace_changed_sql(arg_dict) %}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set changes = arg_dict['temp_relation'] -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | join(', ') -%}

    delete from {{ target }} as stored
    using {{ changes }} as changes
    where {{ same_key('stored', 'changes', arg_dict['unique_key']) }};

    insert into {{ target }} ({{ columns }})
    select {{ columns }}
    from {{ changes }}
    where event_count > 0
{% endmacro %}
