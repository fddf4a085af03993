{% macro refuse_history_loss(dropped_before) %}
    {%- if dropped_before and not var('allow_history_loss') -%}
        {%- do exceptions.raise_compiler_error(
            "To build " ~ model.name ~ " anew would lose all that it holds of the time before "
            ~ dropped_before ~ ": the raw events were dropped (loader maintain --retain)."
            ~ " To have it without its history: --vars '{allow_history_loss: true}'"
        ) -%}
    {%- endif -%}
{% endmacro %}
