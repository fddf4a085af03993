{% macro apply_grants(relation, grant_config, should_revoke=True) %}
    {#-
        dbt's own macro, but only for roles that exist here and may use the schema, as they do
        after `loader roles`. When there are none, what was granted by hand stays.
    -#}
    {%- set grants = {} -%}
    {%- for privilege, wanted in (grant_config or {}).items() -%}
        {%- set found = [] -%}
        {%- for name in ([wanted] if wanted is string else wanted) -%}
            {%- set role = "'" ~ name | replace("'", "''") ~ "'" -%}
            {%- if run_query(
                "select rolname from pg_catalog.pg_roles where rolname = " ~ role
                ~ " and pg_catalog.has_schema_privilege(oid, '" ~ relation.schema | replace("'", "''") ~ "', 'usage')"
            ) | list -%}
                {%- do found.append(name) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if found -%}
            {%- do grants.update({privilege: found}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if grants -%}
        {%- do dbt.default__apply_grants(relation, grants, should_revoke) -%}
    {%- endif -%}
{% endmacro %}


{% macro get_grant_sql(relation, privilege, grantees) %}
    {#- dbt's own macro quotes no names, takes everything for a table, and functions with their defaults. -#}
    grant {{ privilege }} on
    {%- if relation.is_function %} function {{ _function_signatures() }}
    {%- else %} {{ relation }}
    {%- endif %} to
    {%- for name in grantees %} {{ adapter.quote(name) }}{{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}
