{% macro _keep_comments(relation) %}
    {#-
        What dbt's `persist_docs` does, where it has something to do: it writes all comments in every run, which are
        rows of the catalogue and locks, and asks for the columns twice, which is a third of what a view costs.
    -#}
    {%- set wanted = {} -%}
    {%- if config.persist_relation_docs() and model.description -%}
        {%- do wanted.update({'': model.description}) -%}
    {%- endif -%}
    {%- for column in model['columns'].values() if config.persist_column_docs() -%}
        {%- do wanted.update({column.name if column.quote else column.name | lower: column.description}) -%}
    {%- endfor -%}
    {%- if wanted and run_query(
        "select exists ("
        ~ " select from pg_catalog.jsonb_each_text(" ~ dbt.string_literal(dbt.escape_single_quotes(tojson(wanted))) ~ ")"
        ~ " as wanted (name, description)"
        ~ " left join pg_catalog.pg_attribute as columns on columns.attname = wanted.name"
        ~ " and columns.attrelid = " ~ dbt.string_literal(relation.render()) ~ "::regclass"
        ~ " left join pg_catalog.pg_description as comments on comments.objsubid = coalesce(columns.attnum, 0)"
        ~ " and comments.objoid = " ~ dbt.string_literal(relation.render()) ~ "::regclass"
        ~ " and comments.classoid = 'pg_catalog.pg_class'::regclass"
        ~ " where coalesce(comments.description, '') <> wanted.description"
        ~ ")"
    )[0][0] -%}
        {%- do persist_docs(relation, model) -%}
    {%- endif -%}
{% endmacro %}
