{% macro is_of_this_ledger(progress) -%}
    {#- Marks of earlier versions do not have the moment. -#}
    (
        {{ progress }}.load_seq <= (select counter.load_seq from {{ source('raw', 'load_counter') }} as counter)
        and (
            {{ progress }}.definition #>> '{ledger,published_at}' is null
            or ({{ progress }}.definition #>> '{ledger,published_at}')::numeric
            is not distinct from {{ last_published(progress ~ '.load_seq') }}
        )
    )
{%- endmacro %}
