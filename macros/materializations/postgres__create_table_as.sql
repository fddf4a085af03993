{% macro postgres__create_table_as(temporary, relation, sql) -%}
    {%- if temporary -%}
        {%- set sql = with_batch_values(sql) -%}
    {%- endif -%}
    {%- set is_contracted = config.get('contract').enforced and not temporary -%}
    {%- if config.get('contract').enforced -%}
        {{ get_assert_columns_equivalent(sql) }}
    {%- endif %}
    create {% if temporary %}temporary{% elif config.get('unlogged', false) %}unlogged{% endif %} table {{ relation }} as (
        {%- if is_contracted %}
        {{ get_select_subquery(sql) }}
        {%- else %}
        {{ sql }}
        {%- endif %}
    );
    {%- if is_contracted %}
    {#-
        dbt's own macro creates the table first and inserts into it, and PostgreSQL never runs an
        `insert ... select` in parallel. What the contract demands is checked in one pass here.
    #}
    {%- set demands = [] -%}
    {%- for column in model['columns'].values() -%}
        {%- for constraint in column['constraints'] if constraint['type'] == 'not_null' -%}
            {%- do demands.append('alter column ' ~ adapter.quote(column['name']) ~ ' set not null') -%}
        {%- endfor -%}
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
