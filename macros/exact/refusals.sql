{% macro _check_definition(load_seq, definition, current_definition) %}
    {%- set rebuild = "dbt build --full-refresh --select " ~ model.name ~ "+" -%}
    {%- if load_seq is none -%}
        {%- do exceptions.raise_compiler_error(
            model.name ~ " exists, but nothing tells which loads it holds (no row in model_progress)."
            ~ " Rebuild it: " ~ rebuild
        ) -%}
    {%- endif -%}
    {%- set built = fromjson(definition) if definition is string else definition -%}
    {%- set current = fromjson(current_definition) -%}
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


{% macro _refuse_unlogged() %}
    {%- if config.get('unlogged') -%}
        {%- do exceptions.raise_compiler_error(
            model.name ~ " is to be unlogged. A crash of the server, or of a node of a cluster, would empty it, and its mark would"
            ~ " still say which loads it holds. Leave `unlogged` out of its config; if it was built so: dbt build --full-refresh --select "
            ~ model.name ~ "+"
        ) -%}
    {%- endif -%}
{% endmacro %}


{% macro _check_ledger(lo, hi) %}
    {%- if not run_query(
        "select " ~ _is_of_this_ledger('progress') ~ " from " ~ mark_of(this)
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


{#- A table and its mark are in two schemas: one that was restored without the other is not what the mark says. -#}
{% macro _refuse_parted_mark() %}
    {%- if run_query(
        "select (was -> 'table' = now -> 'table') <> (was -> 'marks' = now -> 'marks') from (select progress.definition -> 'belongs', "
        ~ _tables_of_mark() ~ " from " ~ mark_of(this) ~ ") as tables (was, now)"
    )[0][0] -%}
        {%- do exceptions.raise_compiler_error(
            this.render() ~ " and its mark in " ~ progress_beside(this).render() ~ " do not belong together: one of them was restored,"
            ~ " or made anew, without the other. Nothing was changed. Restore both, or rebuild it: dbt build --full-refresh --select "
            ~ model.name ~ "+"
        ) -%}
    {%- endif -%}
{% endmacro %}


{% macro _refuse_missed_rows(lo) %}
    {#- Maintenance waits for all models; what was restored to an earlier moment alone it did not know. -#}
    {%- set missed = run_query(
        "select min(loads.load_id) from " ~ source('raw', 'loads') ~ " as loads"
        ~ " cross join " ~ source('raw', 'retention') ~ " as retention"
        ~ " where (loads.purged_at is not null and loads.load_seq <= " ~ lo ~ " and loads.withdrawn_seq > " ~ lo ~ ")"
        ~ " or (loads.first_event_at < retention.dropped_before"
        ~ " and (loads.load_seq > " ~ lo ~ " or loads.withdrawn_seq > " ~ lo ~ "))"
        ~ " or loads.load_seq > " ~ lo
        ~ " and loads.load_seq <= (select together_seq from " ~ source('raw', 'partitioning') ~ ")"
    )[0][0] -%}
    {%- if missed is not none -%}
        {%- do exceptions.raise_compiler_error(
            this.identifier ~ " has not taken note of load " ~ missed ~ " or of its withdrawal, as after a restore of the"
            ~ " marts alone, and its rows are gone by now (loader maintain). Nothing was changed."
            ~ " Rebuild from what is there: dbt build --full-refresh"
        ) -%}
    {%- endif -%}
{% endmacro %}


{% macro _refuse_history_loss(dropped_before) %}
    {%- if dropped_before and not var('allow_history_loss') -%}
        {%- do exceptions.raise_compiler_error(
            "To build " ~ model.name ~ " anew would lose all that it holds of the time before "
            ~ dropped_before ~ ": the raw events were dropped (loader maintain --retain)."
            ~ " To have it without its history: --vars '{allow_history_loss: true}'"
        ) -%}
    {%- endif -%}
{% endmacro %}


{% macro _refuse_doubled_seeds() %}
    {#- A table that was seeded by an older version, or by hand, or is a model of somebody's own. -#}
    {%- set parts = (config.get('meta') or {}).get('defined_by', []) -%}
    {%- set keys = {'event_types': ['event_type', ref('stg_video_events__event_types')]} -%}
    {%- if 'activity_gap' in parts -%}
        {%- do keys.update({'categories': ['category', ref('categories')]}) -%}
    {%- endif -%}
    {%- if 'alert_rules' in parts -%}
        {%- do keys.update({'alert_rules': ['rule_name', ref('stg_video_events__alert_rules')]}) -%}
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
