{% macro begin_batch() %}
    {%- set counter = source('raw', 'load_counter') -%}
    {%- set retention = source('raw', 'retention') -%}
    {%- if execute and flags.WHICH == 'clone' -%}
        {%- do exceptions.raise_compiler_error(
            "There is no table " ~ defer_relation ~ " to clone. Build it first, or leave " ~ model.name ~ " out"
        ) -%}
    {%- elif execute -%}
        {%- set follows = (config.get('meta') or {}).get('follows', []) -%}

        {%- do run_query(own_settings()) -%}

        {#- The lock on this row makes two runs of one model wait for each other. -#}
        {%- call statement('progress_row') -%}
            insert into {{ progress_beside(this) }} (model_name)
            values ({{ dbt.string_literal(this.identifier) }})
            on conflict do nothing
        {%- endcall -%}
        {%- set stored = run_query(
            "select progress.load_seq, progress.definition from " ~ mark_of(this) ~ " for update"
        ) | list | first -%}
        {#- Nothing is dropped from here on: that needs a lock on the table of marks. -#}
        {%- set dropped_before = run_query(
            "select coalesce(max(dropped_before)::text, '') as moment from " ~ retention
        )[0][0] -%}
        {%- do refuse_doubled_seeds() -%}
        {%- if is_incremental() -%}
            {%- do check_definition(stored['load_seq'], stored['definition']) -%}
            {%- do refuse_missed_rows(stored['load_seq']) -%}
        {%- elif config.get('materialized') == 'incremental' -%}
            {%- do refuse_history_loss(dropped_before) -%}
        {%- endif -%}

        {#-
            Read hi once, keep it for the transaction: a second read could see later loads.
            A model built on another one goes exactly as far as that one, and the shared lock
            keeps that one there until this transaction ends.
        -#}
        {%- if follows -%}
            {%- set marks = [] -%}
            {%- for name in follows | sort -%}
                {%- for mark in run_query(
                    "select progress.load_seq from " ~ mark_of(ref(name)) ~ " for share"
                ) if mark['load_seq'] is not none -%}
                    {%- do marks.append(mark['load_seq']) -%}
                {%- endfor -%}
            {%- endfor -%}
            {%- if marks | length < follows | length -%}
                {%- do exceptions.raise_compiler_error(
                    model.name ~ " is made from " ~ follows | join(" and ")
                    ~ ", and nothing tells which loads these hold. Build them first"
                ) -%}
            {%- endif -%}
            {%- set hi = marks | min -%}
        {%- else -%}
            {%- set hi = run_query("select load_seq from " ~ counter)[0][0] -%}
        {%- endif -%}
        {%- set lo = stored['load_seq'] if is_incremental() else 0 -%}
        {%- if is_incremental() -%}
            {%- do check_ledger(lo, hi) -%}
        {%- endif -%}
        select
            set_config('video_events.batch_lo', '{{ lo }}', true),
            set_config('video_events.batch_hi', '{{ hi }}', true),
            set_config('video_events.batch_dropped_before', '{{ dropped_before }}', true),
            {%- if is_incremental() %}
            set_config('video_events.batch_since', reach.since::text, true),
            set_config('video_events.batch_recount_until', reach.recount_until::text, true),
            {#- Workers take longer to start, and machine code to be made, than a batch takes. #}
            set_config('max_parallel_workers_per_gather', '0', true),
            set_config('jit', 'off', true)
            {%- else %}
            set_config('work_mem', {{ var_literal("full_refresh_work_mem") }}, true)
            {%- endif %}
        {%- if is_incremental() %}
        from ({{ batch_reach(lo) | indent(12) }}) as reach
        {%- endif %}
    {%- endif -%}
{% endmacro %}
