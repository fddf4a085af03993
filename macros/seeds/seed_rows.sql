{% macro seed_rows(agate_table) %}
    {%- set found, at = [], namespace(line=2) -%}
    {%- for row in agate_table.rows -%}
        {%- set values, line = {}, at.line -%}
        {%- for name in agate_table.column_names -%}
            {%- set value = '' if row[name] is none else row[name] | string -%}
            {%- do values.update({name: value}) -%}
            {%- set at.line = at.line + value.count('\n') -%}
        {%- endfor -%}
        {#- A line of nothing, or of nothing but commas, is none. -#}
        {%- if row.values() | reject('none') | list -%}
            {%- do found.append([line, values]) -%}
        {%- endif -%}
        {%- set at.line = at.line + 1 -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}
