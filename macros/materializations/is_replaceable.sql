{% macro is_replaceable(view, sql) %}
    {%- set wanted = [] -%}
    {%- for column in get_column_schema_from_query(sql) -%}
        {%- do wanted.append((column.name, column.dtype)) -%}
    {%- endfor -%}
    {%- set current = [] -%}
    {%- for column in get_column_schema_from_query("select * from " ~ view) -%}
        {%- do current.append((column.name, column.dtype)) -%}
    {%- endfor -%}
    {{ return(wanted[:current | length] == current) }}
{% endmacro %}
