{% macro analyze_when_due() %}
    {#-
        A fresh table always, a changed one when a twentieth of its rows changed since the last
        time: ANALYZE reads a sample of the whole table, which would dwarf a small batch.
    -#}
    {%- if execute -%}
        {%- set is_due = not is_incremental() or run_query(
            "select coalesce(max(stats.n_mod_since_analyze) > 50 + 0.05 * max(stats.n_live_tup), true) as is_due"
            ~ " from pg_catalog.pg_stat_user_tables as stats"
            ~ " where stats.relid = '" ~ this ~ "'::regclass"
        )[0][0] -%}
        {%- if is_due -%}
            analyze {{ this }}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
