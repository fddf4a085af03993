{% macro can_be_created_from_query() %}
    {#-
        Whether a table made from the query is the one that the contract describes: each type is
        complete by its name, as `varchar(5)` and `char` are not, and columns demand no more than
        `not null`. Only the project's own models have so many rows that it matters.
    -#}
    {%- set plain = [
        'bigint', 'boolean', 'date', 'double precision', 'int', 'integer', 'interval', 'smallint',
        'text', 'timestamptz',
    ] -%}
    {%- set demanding = [] -%}
    {%- for column in model['columns'].values() -%}
        {%- for constraint in column['constraints'] if constraint['type'] != 'not_null' or constraint['expression'] -%}
            {%- do demanding.append(column['name']) -%}
        {%- endfor -%}
        {%- if column['data_type'] not in plain -%}
            {%- do demanding.append(column['name']) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(
        config.get('incremental_strategy') == 'replace_changed'
        and config.get('contract').enforced
        and not config.get('sql_header')
        and not demanding
    ) }}
{% endmacro %}
