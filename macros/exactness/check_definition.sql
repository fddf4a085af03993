{% macro check_definition(load_seq, definition) %}
    {%- set rebuild = "dbt build --full-refresh --select " ~ model.name ~ "+" -%}
    {%- if load_seq is none -%}
        {%- do exceptions.raise_compiler_error(
            model.name ~ " exists, but nothing tells which loads it holds (no row in model_progress)."
            ~ " Rebuild it: " ~ rebuild
        ) -%}
    {%- endif -%}
    {%- set built = fromjson(definition) if definition is string else definition -%}
    {%- set current = fromjson(run_query("select (" ~ current_definition() ~ ")::text as definition")[0][0]) -%}
    {%- set changes = [] -%}
    {%- for part, entries in current.items() -%}
        {%- set entries_before = built.get(part, {}) -%}
        {%- for key, value in entries.items() -%}
            {#- A type that was not known then had no events yet: its category changes nothing. -#}
            {%- set was = entries_before.get(key, value if part == 'event_types' else none) -%}
            {%- if was != value -%}
                {%- do changes.append(part ~ ": " ~ key ~ " is now " ~ value ~ ", was " ~ (was or "not there")) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- for key, was in entries_before.items() if key not in entries -%}
            {%- do changes.append(part ~ ": " ~ key ~ " is gone, was " ~ was) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if changes -%}
        {%- do exceptions.raise_compiler_error(
            model.name ~ " was built with other definitions, and a table never mixes two ("
            ~ changes | join("; ") ~ "). Rebuild it: " ~ rebuild
        ) -%}
    {%- endif -%}
{% endmacro %}
