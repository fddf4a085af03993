{% macro create_table_as(temporary, relation, sql) -%}
    {%- if temporary and config.get('incremental_strategy') == 'replace_changed' -%}
        {%- set sql = with_batch_values(sql) -%}
    {%- endif -%}
    {%- if temporary or not can_be_created_from_query() -%}
        {{ dbt.postgres__create_table_as(temporary, relation, sql) }}
    {%- else %}
    {#-
        dbt's own macro creates the table first and inserts into it, and PostgreSQL never runs an
        `insert ... select` in parallel. What the contract demands is checked in one pass here.
    #}
    {{ get_assert_columns_equivalent(sql) }}
    create {% if config.get('unlogged', false) %}unlogged{% endif %} table {{ relation }} as (
        {{ get_select_subquery(sql) }}
    );
    {%- set demands = [] -%}
    {%- for column in model['columns'].values() if column['constraints'] -%}
        {%- set name = adapter.quote(column['name']) if column['quote'] else column['name'] -%}
        {%- do demands.append('alter column ' ~ name ~ ' set not null') -%}
    {%- endfor -%}
    {%- for constraint in adapter.render_raw_model_constraints(raw_constraints=model['constraints']) -%}
        {%- do demands.append('add ' ~ constraint) -%}
    {%- endfor -%}
    {%- if demands %}
    alter table {{ relation }}
        {{ demands | join(',\n        ') }};
    {%- endif %}
    {%- endif %}
{%- endmacro %}
