{% macro fence(in_parallel=false) -%}
    {#-
        PostgreSQL plans what has an `offset` by itself, and does not mix it with the query around: a short index scan
        for each row stays one, and never becomes a join with all rows. As a number it also forbids parallel
        workers; written as text it does not.
    -#}
    offset {{ "'0'" if in_parallel else '0' }}
{%- endmacro %}
