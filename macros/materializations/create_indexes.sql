{% macro create_indexes(relation) -%}
    {{ dbt.create_indexes(relation) }}
    {%- if project_name != model.package_name -%}
        {#-
            In a package `rename_relation` stays dbt's. This is what dbt calls last before the swap of a
            rebuilt table.
        -#}
        {%- set existing = load_cached_relation(this) -%}
        {%- if existing.is_table and relation.identifier == make_intermediate_relation(this).identifier -%}
            {%- do drop_relation_if_exists(make_backup_relation(existing, 'table')) -%}
            {%- do lock_against_readers(existing, and_its_views=true) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
