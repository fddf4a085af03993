{% macro can_clone_table() -%}
    {%- if is_stored(model) and not load_cached_relation(defer_relation) -%}
        {%- do exceptions.raise_compiler_error(
            "There is no table " ~ defer_relation ~ " to clone. Build it first, or leave " ~ model.name ~ " out"
        ) -%}
    {%- endif -%}
    {{ return(true) }}
{%- endmacro %}
