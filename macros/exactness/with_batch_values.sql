{% macro with_batch_values(sql) %}
    {#-
        As constants: PostgreSQL then leaves out partitions before it plans for them, and does not
        even open them. Every model has a new connection, in which opening one takes a while.
    -#}
    {%- set batch = this_batch() -%}
    {%- set values = run_query("select (" ~ batch.values() | join(")::text, (") ~ ")::text")[0] -%}
    {%- set found = namespace(sql=sql) -%}
    {%- for expression in batch.values() -%}
        {%- set type = expression.split('::')[-1] -%}
        {%- set constant = dbt.string_literal(values[loop.index0]) ~ '::' ~ type -%}
        {%- set found.sql = found.sql | replace(expression, constant) -%}
    {%- endfor -%}
    {{ return(found.sql) }}
{% endmacro %}
