{% macro last_published(load_seq) -%}
    {#- Numbers come again in a ledger that was restored or made anew; moments do not. -#}
    (
        select extract(epoch from loads.published_at)
        from {{ ref('stg_video_events__loads') }} as loads
        where loads.load_seq = {{ load_seq }}
    )
{%- endmacro %}
