{#-
    Condition: these relations have just the columns of the model's contract, and as precise ones as each other. dbt
    asks with two long queries for each of them. A type of a name that PostgreSQL does not know is for dbt to judge.
-#}
{% macro _have_columns_of_contract(relations) %}
    {%- set names, types, ids = [], [], [] -%}
    {%- for column in model['columns'].values() if config.get('contract').enforced -%}
        {%- do names.append(dbt.string_literal(column.name)) -%}
        {%- do types.append(dbt.string_literal(column.data_type)) -%}
    {%- endfor -%}
    {%- for relation in relations -%}
        {%- do ids.append(dbt.string_literal(relation.render()) ~ "::regclass") -%}
    {%- endfor -%}
    (
        select
            bool_and(shapes.columns = array(
                select (wanted.name, to_regtype(wanted.type)::oid)::text
                from unnest(array[{{ names | join(', ') }}]::text[], array[{{ types | join(', ') }}]::text[]) as wanted (name, type)
                order by wanted.name collate "C"
            ))
            and count(distinct shapes.precisions) = 1
        from (
            select
                array_agg((columns.attname, columns.atttypid)::text order by columns.attname) as columns,
                array_agg(columns.atttypmod order by columns.attname) as precisions
            from pg_catalog.pg_attribute as columns
            where columns.attrelid in ({{ ids | join(', ') }}) and columns.attnum > 0 and not columns.attisdropped
            group by columns.attrelid
        ) as shapes
    )
{%- endmacro %}
