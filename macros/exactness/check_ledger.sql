{% macro check_ledger(lo, hi) %}
    {%- if not run_query(
        "select " ~ is_of_this_ledger('progress') ~ " from " ~ source('progress', 'model_progress')
        ~ " as progress where model_name = " ~ dbt.string_literal(this.identifier)
    )[0][0] -%}
        {%- do exceptions.raise_compiler_error(
            this.identifier ~ " holds the ledger up to its load " ~ lo
            ~ ", and that is another one now, or none: schema raw was restored to another moment, or made anew."
            ~ " Nothing was changed. Rebuild all models from what is there: dbt build --full-refresh"
        ) -%}
    {%- elif lo > hi -%}
        {%- do exceptions.raise_compiler_error(
            this.identifier ~ " holds the ledger up to load " ~ lo
            ~ ", but " ~ config.get('meta')['follows'] | join(" or ") ~ ", which it is made from, only up to " ~ hi
            ~ ". Nothing was changed. Rebuild it: dbt build --full-refresh --select " ~ this.identifier ~ "+"
        ) -%}
    {%- endif -%}
{% endmacro %}
