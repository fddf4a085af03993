{#-
    What happens to a stored model in a run, from top to bottom, in one transaction; see
    docs/decisions/0032. A model's file says what it is from scratch. What a batch of loads changes is said by a macro
    named after it, `changes_of_<model>(stored, batch)`: the rows that are new or others now, as in the
    table, and with `is_removed` those that go. A model without such a macro is made anew in every run.
-#}
{% materialization exact, adapter='postgres' %}
    {%- set table = this.incorporate(type='table') -%}
    {%- set changes_of_model = context.get('changes_of_' ~ model.name) -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {%- do _begin_own_transaction() -%}

    {%- set mark = _lock_mark() -%}
    {%- do wait_for_commits() -%}
    {#- Looked up only now: who had the lock until now may have created it. -#}
    {%- set existing = existing_relation() -%}
    {%- set is_batch = changes_of_model and existing.is_table and not should_full_refresh() -%}
    {%- set dropped_before = run_query(
        "select coalesce(max(dropped_before)::text, '') as moment from " ~ source('raw', 'retention')
    )[0][0] -%}
    {%- set hi = _last_load() -%}
    {%- do _refuse_doubled_seeds() -%}
    {%- do _refuse_unlogged() -%}
    {#- Once: what a batch is checked by is what its mark then says. -#}
    {%- set definition = run_query("select (" ~ _current_definition() ~ ")::text")[0][0] -%}
    {%- if is_batch -%}
        {%- do _check_definition(mark['load_seq'], mark['definition'], definition) -%}
        {%- do _refuse_missed_rows(mark['load_seq']) -%}
        {%- do _check_ledger(mark['load_seq'], hi) -%}
        {%- do _refuse_parted_mark() -%}
        {%- do _complete_table(table, config.get('unique_key'), mark['load_seq'], dropped_before) -%}
        {%- do distribute(table) -%}
    {%- elif changes_of_model -%}
        {%- do _refuse_history_loss(dropped_before) -%}
    {%- endif -%}

    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- if is_batch and mark['load_seq'] == hi -%}
        {#- Nothing came, and nothing went. -#}
        {%- call statement('main') -%} select 1 {%- endcall -%}
    {%- elif is_batch -%}
        {%- set batch = _batch(mark['load_seq'], hi, dropped_before) -%}
        {%- do _apply_changes(table, changes_of_model(stored=table, batch=batch)) -%}
    {%- else -%}
        {#- dbt has rendered the model before `hi` was known; see `hi_from_scratch`. -#}
        {%- do context.update({'exact_hi': hi}) -%}
        {%- do _build_from_scratch(table, existing, render(model.raw_code)) -%}
    {%- endif -%}
    {%- do _move_mark(hi, definition) -%}
    {%- do _analyze_when_due(table, is_batch) -%}

    {%- do apply_grants(table, config.get('grants'), should_revoke=existing is not none) -%}
    {%- do _keep_comments(table) -%}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {%- do adapter.commit() -%}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [table]}) }}
{% endmaterialization %}


{#-
    Pre-hook that runs nothing. dbt allows a model to read only what it has met when it parsed the model's query and
    hooks, and the query does not have what the materialization reads.
-#}
{% macro depend_on_changes() %}
    {%- if not execute -%}
        {%- do [ref('stg_video_events__loads'), _current_definition()] -%}
        {%- do context.get('changes_of_' ~ model.name, dict)(stored=this, batch={}) -%}
    {%- endif -%}
{% endmacro %}


{#- The lock makes two runs of one model wait for each other. -#}
{% macro _lock_mark() %}
    {{ return(run_query(
        "insert into " ~ progress_beside(this) ~ " (model_name)"
        ~ " values (" ~ dbt.string_literal(this.identifier) ~ ") on conflict do nothing;"
        ~ " select progress.load_seq, progress.definition from " ~ mark_of(this) ~ " for update"
    ) | list | first) }}
{% endmacro %}


{#-
    Read once: a second read could see later loads. A model built on another one goes exactly as far
    as that one, and the shared lock keeps that one there until this transaction ends.
-#}
{% macro _last_load() %}
    {%- set follows = (config.get('meta') or {}).get('follows', []) -%}
    {%- if not follows -%}
        {{ return(run_query("select load_seq from " ~ source('raw', 'load_counter'))[0][0]) }}
    {%- endif -%}
    {%- set marks = [] -%}
    {%- for name in follows | sort -%}
        {#- With `--defer` it may be one of an earlier version, whose marks are elsewhere. -#}
        {%- for mark in (
            run_query("select progress.load_seq from " ~ mark_of(ref(name)) ~ " for share")
            if existing_relation(progress_beside(ref(name))) else []
        ) if mark['load_seq'] is not none -%}
            {%- do marks.append(mark['load_seq']) -%}
        {%- endfor -%}
        {%- do lock_until_committed(ref(name).identifier, is_shared=true) -%}
    {%- endfor -%}
    {%- if marks | length < follows | length -%}
        {%- do exceptions.raise_compiler_error(
            model.name ~ " is made from " ~ follows | join(" and ")
            ~ ", and nothing tells which loads these hold. Build them first"
        ) -%}
    {%- endif -%}
    {{ return(marks | min) }}
{% endmacro %}


{#-
    The loads after lo up to hi, as constants: PostgreSQL then leaves out partitions before it plans for them,
    and does not even open them. See docs/decisions/0020.
-#}
{% macro _batch(lo, hi, dropped_before) %}
    {#- Of all loads after lo, also those after hi: too far a reach costs time, too short a one rows. -#}
    {%- set reach = run_query(
        "select quote_literal(coalesce(min(coalesce(loads.first_event_at, '-infinity')), 'infinity')) as since,"
        ~ " quote_literal(case when bool_or(loads.withdrawn_seq > " ~ lo ~ ") then 'infinity' else '-infinity' end)"
        ~ " as recount_until"
        ~ " from " ~ ref('stg_video_events__loads') ~ " as loads"
        ~ " where loads.load_seq > " ~ lo ~ " or loads.withdrawn_seq > " ~ lo
    ) | list | first -%}
    {{ return({
        'lo': lo ~ '::bigint',
        'hi': hi ~ '::bigint',
        'since': reach['since'] ~ '::timestamptz',
        'recount_until': reach['recount_until'] ~ '::timestamptz',
        'dropped_before': dbt.string_literal(dropped_before or '-infinity') ~ '::timestamptz',
    }) }}
{% endmacro %}


{% macro _move_mark(hi, definition) %}
    {%- do lock_until_committed(this.identifier) -%}
    {%- call statement('mark') -%}
        update {{ progress_beside(this) }}
        set
            load_seq = {{ hi }},
            definition = {{ dbt.string_literal(dbt.escape_single_quotes(definition)) }}::jsonb
                || jsonb_build_object(
                    'ledger', jsonb_build_object('published_at', {{ _last_published(hi) }}),
                    'belongs', {{ _tables_of_mark() }}
                ),
            updated_at = clock_timestamp()
        where model_name = {{ dbt.string_literal(this.identifier) }}
    {%- endcall -%}
{% endmacro %}


{% macro _apply_changes(table, changes_sql) %}
    {%- set changes = make_temp_relation(table) -%}
    {%- set on_schema_change = incremental_validate_on_schema_change(config.get('on_schema_change'), default='ignore') -%}
    {%- call statement('changes') -%}
        {#- Workers take longer to start, and machine code to be made, than a batch takes. #}
        set local max_parallel_workers_per_gather = 0;
        set local jit = off;
        create temporary table {{ changes }} on commit drop as ({{ changes_sql }});
        delete from {{ table }} as stored
        using {{ changes }} as changes
        where {{ same_key('stored', 'changes', config.get('unique_key')) }};
        delete from {{ changes }} where is_removed;
        alter table {{ changes }} drop column is_removed
    {%- endcall -%}
    {%- set names = [] -%}
    {%- set is_contracted = config.get('contract').enforced -%}
    {%- if is_contracted and run_query("select " ~ _have_columns_of_contract([changes, table]))[0][0] -%}
        {%- for name in model['columns'] -%}
            {%- do names.append(adapter.quote(name)) -%}
        {%- endfor -%}
    {%- else -%}
        {%- if is_contracted -%}
            {%- do get_assert_columns_equivalent("select * from " ~ changes) -%}
        {%- endif -%}
        {%- if on_schema_change.endswith('_columns') and check_for_schema_changes(changes, table)['schema_changed'] -%}
            {%- do _lock_against_readers(table, and_its_views=true) -%}
        {%- endif -%}
        {%- set columns = process_schema_changes(on_schema_change, changes, table) or adapter.get_columns_in_relation(table) -%}
        {%- do names.extend(columns | map(attribute='quoted')) -%}
    {%- endif -%}
    {%- call statement('main') -%}
        insert into {{ table }} ({{ names | join(', ') }})
        select {{ names | join(', ') }} from {{ changes }}
    {%- endcall -%}
{% endmacro %}


{% macro _build_from_scratch(table, existing, sql) %}
    {%- set fresh = make_intermediate_relation(table) if existing else table -%}
    {%- set is_contracted = config.get('contract').enforced -%}
    {%- set rows = get_select_subquery(sql) if is_contracted else sql -%}
    {%- do lock_views_of_nodes() -%}
    {%- call statement('main') -%}
        {{ config.get('sql_header') or '' }}
        set local work_mem = {{ var_literal("full_refresh_work_mem") }};
        {%- if existing %}
        drop table if exists {{ fresh }} cascade;
        {%- endif %}
        {#-
            dbt's own macro creates a table first and inserts into it, and PostgreSQL never runs an
            `insert ... select` in parallel. What the contract demands is checked in one pass below.
        #}
        {{ get_assert_columns_equivalent(sql) if is_contracted and not is_distributed() }}
        create table {{ fresh }} as (
            {{ rows }}
        ) {{ 'with no data' if is_distributed() }}
    {%- endcall -%}
    {%- set demands = [] -%}
    {%- for column in model['columns'].values() if is_contracted and column['constraints'] -%}
        {%- do demands.append('alter column ' ~ adapter.quote(column['name']) ~ ' set not null') -%}
    {%- endfor -%}
    {%- for constraint in adapter.render_raw_model_constraints(raw_constraints=model['constraints']) if is_contracted -%}
        {%- do demands.append('add ' ~ constraint) -%}
    {%- endfor -%}
    {%- if demands -%}
        {%- do run_query("alter table " ~ fresh ~ " " ~ demands | join(", ")) -%}
    {%- endif -%}
    {%- do create_indexes(fresh) -%}
    {%- if is_distributed() -%}
        {#- Citus alters no table that has its rows on the nodes, and creates one from a query on the coordinator. -#}
        {%- do distribute(fresh) -%}
        {%- call statement('main') -%}
            insert into {{ fresh }} {{ rows }}
        {%- endcall -%}
    {%- endif -%}
    {%- if existing -%}
        {%- do _replace_table(existing, fresh) -%}
    {%- endif -%}
{% endmacro %}


{#-
    A fresh table always, a changed one when a twentieth of its rows changed since the last
    time: ANALYZE reads a sample of the whole table, which would dwarf a small batch.
-#}
{% macro _analyze_when_due(table, is_batch) %}
    {%- if not is_batch or run_query(
        "select coalesce(max(stats.n_mod_since_analyze) > 50 + 0.05 * max(stats.n_live_tup), true) as is_due"
        ~ " from pg_catalog.pg_stat_user_tables as stats"
        ~ " where stats.relid = '" ~ table ~ "'::regclass"
    )[0][0] -%}
        {%- call statement('analyze') -%}
            analyze {{ table }}
        {%- endcall -%}
    {%- endif -%}
{% endmacro %}
