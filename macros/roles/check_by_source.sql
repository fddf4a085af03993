{% macro check_by_source(reports, schema) %}
    {%- for stranger in run_query(
        "select distinct views.relname as name, used.oid::regclass::text as used"
        ~ " from pg_class as views"
        ~ " inner join pg_rewrite as rules on views.oid = rules.ev_class"
        ~ " inner join pg_depend as depends on depends.classid = 'pg_rewrite'::regclass and rules.oid = depends.objid"
        ~ " inner join pg_class as used on depends.refclassid = 'pg_class'::regclass and depends.refobjid = used.oid"
        ~ " where views.relnamespace = " ~ dbt.string_literal(schema) ~ "::regnamespace"
        ~ " and views.relname in ('" ~ reports | join("', '") ~ "')"
        ~ " and used.relnamespace <> views.relnamespace"
    ) -%}
        {%- do exceptions.raise_compiler_error(
            schema ~ "." ~ stranger['name'] ~ " would read " ~ stranger['used']
            ~ ", where the rows of all sources are; nothing was changed"
        ) -%}
    {%- endfor -%}
{% endmacro %}
