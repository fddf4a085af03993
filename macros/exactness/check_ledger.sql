{% macro check_ledger(lo, hi) %}
    {%- if not run_query(
        "select " ~ is_of_this_ledger('progress') ~ " from " ~ mark_of(this)
    )[0][0] -%}
        {%- do exceptions.raise_compiler_error(
            model.name ~ " holds the ledger up to its load " ~ lo
            ~ ", and that is another one now, or none: schema raw was restored to another moment, or made anew."
            ~ " Nothing was changed. Rebuild all models from what is there: dbt build --full-refresh"
        ) -%}
    {%- elif lo > hi -%}
        {%- do exceptions.raise_compiler_error(
            model.name ~ " holds the ledger up to load " ~ lo
            ~ ", but " ~ config.get('meta')['follows'] | join(" or ") ~ ", which it is made from, only up to " ~ hi
            ~ ". Nothing was changed. Rebuild it: dbt build --full-refresh --select " ~ model.name ~ "+"
        ) -%}
    {%- endif -%}
{% endmacro %}
