{#-
    What a server, role or session has set must not change a row: names may mean other things,
    constants and definitions are texts for a moment. And who waited for a lock must see what is there then.
    See docs/decisions/0022.
-#}
{% macro own_settings() %}
    select
        set_config('timezone', 'UTC', true),
        set_config('datestyle', 'ISO, YMD', true),
        set_config('intervalstyle', 'postgres', true),
        set_config('standard_conforming_strings', 'on', true),
        set_config('search_path', 'pg_catalog, pg_temp', true)
{% endmacro %}


{#- The transaction that dbt has begun did nothing yet. -#}
{% macro _begin_own_transaction() %}
    {%- call statement('own_settings', auto_begin=true) -%}
        commit;
        begin isolation level read committed;
        {{ own_settings() }}
    {%- endcall -%}
{% endmacro %}
