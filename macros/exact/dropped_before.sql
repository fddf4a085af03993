{% macro dropped_before() -%}
    (
        select coalesce(max(retention.dropped_before), '-infinity')
        from {{ source('raw', 'retention') }} as retention
    )
{%- endmacro %}
