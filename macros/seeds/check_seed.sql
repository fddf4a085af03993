{#- Stops with all slips of a seed, each with line, column and what to do. -#}
{% macro _check_seed(agate_table) %}
    {#- Before anything is changed: readers see what is in a seed at once. -#}
    {%- set seed = _checked_seed() -%}
    {%- if seed -%}
        {%- set known = namespace(categories=none) -%}
        {%- set folder = agate_table.original_abspath[:-(model.original_file_path | length)] -%}
        {%- for node in graph.nodes.values() if seed != 'event_types' and node.name == 'event_types' and node.resource_type == 'seed' and node.package_name == model.package_name -%}
            {#- Its file and not its table: both may have changed, and dbt seeds them in any order. -#}
            {%- set text = agate_table.columns['category'].data_type if 'category' in agate_table.column_names else none -%}
            {%- set types = agate_table.from_csv(
                folder ~ node.original_file_path, encoding='utf-8-sig', column_types={'category': text} if text else none,
                delimiter=node.config.delimiter
            ) -%}
            {%- if 'category' in types.column_names -%}
                {%- set known.categories = (['other'] + types.columns['category'].values_distinct() | reject('none') | list) | unique | sort -%}
            {%- endif -%}
        {%- endfor -%}
        {%- set slips = [] -%}
        {%- do seed_slips(slips, seed, agate_table.column_names, seed_rows(agate_table), known.categories) -%}
        {%- if slips -%}
            {%- do exceptions.raise_compiler_error(
                model.original_file_path ~ " is refused, and nothing was changed:\n  " ~ slips | join("\n  ")
            ) -%}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}


{#- The name of the seed if it is one that the models read, else an empty text. -#}
{% macro _checked_seed() %}
    {#- Whichever seed the models read, also one of a project that has this one as a package. -#}
    {%- for node in graph.nodes.values() if node.package_name == 'video_events' and node.resource_type == 'model' -%}
        {%- if model.name in ['event_types', 'alert_rules', 'categories'] and model.unique_id in node.depends_on.nodes -%}
            {{ return(model.name) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return('') }}
{% endmacro %}
