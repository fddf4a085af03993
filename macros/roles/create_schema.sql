{% macro create_schema(relation) %}
    {#- dbt's own macro, but PostgreSQL's message names neither the schema nor the way out. -#}
    {%- set refusal = run_query(
        "select format('there is no schema %I in database %I, and this user may not create it; nothing was changed."
        ~ " As a superuser, or the owner of the database: create schema %1$I authorization %3$I',"
        ~ " wanted.name, current_database(), current_user) as sentence"
        ~ " from (values (" ~ dbt.string_literal(relation.schema) ~ ")) as wanted (name)"
        ~ " where not has_database_privilege(current_database(), 'create') and not exists ("
        ~ "select from pg_catalog.pg_namespace where nspname = wanted.name)"
    ).columns['sentence'].values() -%}
    {%- if refusal -%}
        {%- do exceptions.raise_compiler_error(refusal[0]) -%}
    {%- endif -%}
    {%- do dbt.create_schema(relation) -%}
{% endmacro %}
