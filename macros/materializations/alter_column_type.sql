{% macro alter_column_type(relation, column_name, new_column_type) -%}
    {%- do lock_against_readers(relation, and_its_views=true) -%}
    {{ return(default__alter_column_type(relation, column_name, new_column_type)) }}
{%- endmacro %}
