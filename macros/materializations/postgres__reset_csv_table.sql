{% macro postgres__reset_csv_table(model, full_refresh, old_relation, agate_table) %}
    {#-
        dbt truncates a seed, or drops it with every view that reads it when it is refreshed: a
        query at that moment sees no categories, or no view. As long as the columns stay as they
        are the rows are replaced instead, and everybody reads the old ones until the commit.
    -#}
    {%- set types = model['config'].get('column_types', {}) -%}
    {%- set wanted = [] -%}
    {%- for name in agate_table.column_names -%}
        {%- set type = types.get(name, adapter.convert_type(agate_table, loop.index0)) -%}
        {%- do wanted.append(dbt.string_literal(name) ~ ", to_regtype(" ~ dbt.string_literal(type) ~ ")::oid") -%}
    {%- endfor -%}
    {%- set columns = run_query(
        "select jsonb_object_agg(attributes.attname, attributes.atttypid)"
        ~ " = jsonb_build_object(" ~ wanted | join(', ') ~ ") as are_kept"
        ~ " from pg_catalog.pg_attribute as attributes"
        ~ " where attributes.attrelid = " ~ dbt.string_literal(old_relation | string) ~ "::regclass"
        ~ " and attributes.attnum > 0 and not attributes.attisdropped"
    ) | list | first -%}
    {%- if not columns['are_kept'] -%}
        {{ return(default__reset_csv_table(model, true, old_relation, agate_table)) }}
    {%- endif -%}

    {#- Two that seed at once would each leave the rows of the other one without this lock. -#}
    {%- call statement('replace_rows') -%}
        lock table {{ old_relation.render() }} in share row exclusive mode;
        delete from {{ old_relation.render() }};
    {%- endcall -%}
    {{ return('delete from ' ~ old_relation.render()) }}
{% endmacro %}
