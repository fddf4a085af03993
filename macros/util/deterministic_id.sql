{% macro deterministic_id(columns, times) -%}
    md5(concat_ws('|'
        {%- for column in columns -%}, {{ column }}{%- endfor -%}
        {#- Microseconds since 1970: text of a time would depend on the session's time zone. -#}
        {%- for time in times -%}, (extract(epoch from {{ time }}) * 1000000)::bigint{%- endfor -%}
    ))
{%- endmacro %}
