{% macro refuse_missed_rows(lo) %}
    {#- Maintenance waits for all models; what was restored to an earlier moment alone it did not know. -#}
    {%- set missed = run_query(
        "select min(loads.load_id) from " ~ source('raw', 'loads') ~ " as loads"
        ~ " cross join " ~ source('raw', 'retention') ~ " as retention"
        ~ " where (loads.purged_at is not null and loads.load_seq <= " ~ lo ~ " and loads.withdrawn_seq > " ~ lo ~ ")"
        ~ " or (loads.first_event_at < retention.dropped_before"
        ~ " and (loads.load_seq > " ~ lo ~ " or loads.withdrawn_seq > " ~ lo ~ "))"
    )[0][0] -%}
    {%- if missed is not none -%}
        {%- do exceptions.raise_compiler_error(
            this.identifier ~ " has not taken note of load " ~ missed ~ " or of its withdrawal, as after a restore of the"
            ~ " marts alone, and its rows are gone by now (loader maintain). Nothing was changed."
            ~ " Rebuild from what is there: dbt build --full-refresh"
        ) -%}
    {%- endif -%}
{% endmacro %}
