{% macro same_key(left, right, key) -%}
    {%- for column in key -%}
        {{ left }}.{{ column }} = {{ right }}.{{ column }}
        {%- if not loop.last %} and {% endif -%}
    {%- endfor -%}
{%- endmacro %}


{% macro fence(in_parallel=false, is_lookup=true) -%}
    {#-
        PostgreSQL plans what has an `offset` by itself, and does not mix it with the query around: a short index scan
        for each row stays one, and never becomes a join with all rows. As a number it also forbids parallel
        workers; written as text it does not. Citus takes it only around what is looked up for each row.
    -#}
    {%- if is_lookup or not is_distributed() %}
    offset {{ "'0'" if in_parallel else '0' }}
    {%- endif -%}
{%- endmacro %}


{% macro deterministic_id(columns, time) -%}
    {#- Microseconds since 1970: text of a time would depend on the session's time zone. -#}
    md5(concat_ws('|', {{ columns | join(', ') }}, (extract(epoch from {{ time }}) * 1000000)::bigint))
{%- endmacro %}


{% macro hours_of(duration) -%}
    {#-
        A day is as long as its date where the session's zone changes its clocks: 23 or 25 hours,
        and what is added to a time would depend on who asks.
    -#}
    make_interval(secs => extract(epoch from {{ duration }}))
{%- endmacro %}


{% macro var_literal(name) -%}
    {{ dbt.string_literal(dbt.escape_single_quotes(var(name) | string)) }}
{%- endmacro %}


{% macro seconds_of(duration) -%}
    {#- Of a length: what most tools chart, compare and sum, and an interval few of them. -#}
    extract(epoch from {{ duration }})::double precision
{%- endmacro %}


{% macro clock() -%}
    {#- A unit test puts a moment in its place. -#}
    now()
{%- endmacro %}


{#- What a function does, which keeps names as text: its database may be renamed, or restored under another name. -#}
{% macro without_database(body) -%}
    {{ modules.re.sub(modules.re.escape(adapter.quote(target.database)) ~ '\\.(?="[^"]*"\\.")', '', body) }}
{%- endmacro %}
