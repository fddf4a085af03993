{% macro is_trusted_owner(owner) -%}
    {#- Not whoever a superuser, a member of every role, may act for. -#}
    pg_catalog.pg_has_role({{ owner }}, 'usage') and {{ owner }} in (
        select oid from pg_catalog.pg_roles where rolname = current_user
        union all
        select nspowner from pg_catalog.pg_namespace where nspname = {{ dbt.string_literal(target.schema) }}
    )
{%- endmacro %}
