{% macro create_csv_table(model, agate_table) %}
    {#- dbt's cache does not know what was moved, or made by somebody who seeds as well. -#}
    {%- set existing = existing_relation() -%}
    {%- if existing -%}
        {{ return(reset_csv_table(model, false, existing, agate_table)) }}
    {%- endif -%}
    {%- do _check_seed(agate_table) -%}
    {{ return(default__create_csv_table(model, agate_table)) }}
{% endmacro %}


{% macro reset_csv_table(model, full_refresh, old_relation, agate_table) %}
    {#-
        dbt truncates a seed, or drops it with every view that reads it when it is refreshed: a
        query at that moment sees no categories, or no view. Here its rows are replaced, and its
        columns where they are others, so that everybody reads the old ones until the commit.
    -#}
    {%- do _check_seed(agate_table) -%}
    {%- set types = model['config'].get('column_types', {}) -%}
    {%- set wanted = [] -%}
    {%- for name in agate_table.column_names -%}
        {%- set column = name if model['config'].get('quote_columns') != false else name | lower -%}
        {%- set type = types.get(name, adapter.convert_type(agate_table, loop.index0)) -%}
        {%- do wanted.append("(" ~ loop.index ~ ", " ~ dbt.string_literal(dbt.escape_single_quotes(column)) ~ ", " ~ dbt.string_literal(type) ~ ")") -%}
    {%- endfor -%}
    {%- set changes = run_query(
        "select coalesce('drop column ' || quote_ident(columns.name), 'add column ' || quote_ident(wanted.name) || ' ' || wanted.type)"
        ~ " as change"
        ~ " from (select attname::text as name, atttypid from pg_catalog.pg_attribute where attnum > 0 and not attisdropped"
        ~ " and attrelid = " ~ dbt.string_literal(old_relation | string) ~ "::regclass) as columns"
        ~ " full join (values " ~ wanted | join(", ") ~ ") as wanted (place, name, type)"
        ~ " on columns.name = wanted.name and columns.atttypid = to_regtype(wanted.type)"
        ~ " where columns.name is null or wanted.name is null order by wanted.place"
    ).columns['change'].values() -%}

    {%- set attempt -%}
        {#- Two that seed at once would each leave the rows of the other one without this lock. #}
        lock table {{ old_relation.render() }} in share row exclusive mode;
        {%- if changes %}
        declare
            readers text;
        begin
            alter table {{ old_relation.render() }} {{ changes | join(', ') }};
        exception when dependent_objects_still_exist then
            get stacked diagnostics readers = pg_exception_detail;
            raise exception using
                errcode = 'dependent_objects_still_exist',
                message = format('%s gets other columns, but what reads the old ones would be lost; nothing was changed', {{ dbt.string_literal(model.original_file_path) }}),
                detail = readers,
                hint = 'Drop it, run dbt seed, and create it again.';
        end;
        {%- endif %}
    {%- endset -%}
    {%- do patiently([old_relation], attempt, excludes_readers=changes | length > 0) -%}
    {%- call statement('delete_rows') -%}
        delete from {{ old_relation.render() }}
    {%- endcall -%}
    {{ return('delete from ' ~ old_relation.render()) }}
{% endmacro %}


{% macro load_csv_rows(model, agate_table) %}
    {%- set seed = _checked_seed() -%}
    {%- if not seed -%}
        {{ return(default__load_csv_rows(model, agate_table)) }}
    {%- endif -%}
    {#- Whoever edits the table by hand cannot list a type twice either. -#}
    {%- set key = {'event_types': 'event_type', 'alert_rules': 'rule_name', 'categories': 'category'}[seed] -%}
    {%- call statement('unique_key') -%}
        create unique index if not exists {{ adapter.quote(this.identifier[:40] ~ '_' ~ key ~ '_key') }}
        on {{ this.render() }} ({{ key }})
    {%- endcall -%}
    {%- set rows = [] -%}
    {%- for row in agate_table.rows if row.values() | reject('none') | list -%}
        {%- do rows.append(row.values()) -%}
    {%- endfor -%}
    {%- if rows -%}
        {{ return(default__load_csv_rows(model, {'column_names': agate_table.column_names, 'rows': rows})) }}
    {%- endif -%}
    {{ return('') }}
{% endmacro %}
