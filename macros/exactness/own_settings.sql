{% macro own_settings(is_new_transaction=true) %}
    {#-
        Pre-hook. What a server, role or session has set must not change a row: names may mean other
        things, batch values and definitions are texts for a moment. And who waited for a lock must
        see what is there then. All of it for one transaction: the one that psycopg2 has begun did
        nothing yet.
    -#}
    {%- if is_new_transaction %}
    commit;
    begin isolation level read committed;
    {%- endif %}
    select
        set_config('timezone', 'UTC', true),
        set_config('datestyle', 'ISO, YMD', true),
        set_config('intervalstyle', 'postgres', true),
        set_config('standard_conforming_strings', 'on', true),
        set_config('search_path', 'pg_catalog, pg_temp', true)
{% endmacro %}
