{% macro alter_relation_add_remove_columns(relation, add_columns, remove_columns) -%}
    {%- do lock_against_readers(relation) -%}
    {{ return(default__alter_relation_add_remove_columns(relation, add_columns, remove_columns)) }}
{%- endmacro %}
