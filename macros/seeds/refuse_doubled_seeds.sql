{% macro refuse_doubled_seeds() %}
    {#- A table that was seeded by an older version, or by hand, or is a model of somebody's own. -#}
    {%- set parts = (config.get('meta') or {}).get('defined_by', []) -%}
    {%- set keys = {'event_types': ['event_type', ref('stg_video_events__event_types')]} -%}
    {%- if 'alert_rules' in parts -%}
        {%- do keys.update({'alert_rules': ['rule_name', ref('alert_rules')]}) -%}
    {%- endif -%}
    {%- for seed, key in keys.items() -%}
        {%- for doubled in run_query(
            "select string_agg(doubled.name, ', ' order by doubled.name) as names from (select " ~ key[0] ~ " as name from "
            ~ key[1] ~ " group by " ~ key[0] ~ " having count(*) > 1) as doubled"
        ) if doubled['names'] -%}
            {%- do exceptions.raise_compiler_error(
                this.identifier ~ " would count twice: the table of the seed " ~ seed ~ " has more than one row for "
                ~ doubled['names'] ~ ". To put it right: dbt seed --select " ~ seed
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
{% endmacro %}
