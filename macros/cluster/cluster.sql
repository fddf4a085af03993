{#-
    What differs where the tables lie on the nodes of a Citus cluster; see docs/decisions/0057. A CTE that is
    materialized is brought to the coordinator, and all nodes get it from there.
-#}

{% macro is_distributed() %}
    {{ return(model.resource_type != 'unit_test' and (var('cluster_form') or is_on_cluster())) }}
{% endmacro %}


{#- Condition: the loader has distributed this database. Asked once in a run: what dbt keeps for all models holds the answer. -#}
{% macro is_on_cluster() %}
    {%- if not execute -%}
        {{ return(false) }}
    {%- endif -%}
    {%- if (graph.get('is_on_cluster') or [none])[0] != invocation_id -%}
        {#- After a restore into plain PostgreSQL the table is there, and the extension is not. -#}
        {%- do graph.update({'is_on_cluster': [invocation_id, run_query(
            "select to_regclass('raw.cluster') is not null"
            ~ " and exists (select from pg_catalog.pg_extension where extname = 'citus')"
        )[0][0]]}) -%}
    {%- endif -%}
    {{ return(graph['is_on_cluster'][1]) }}
{% endmacro %}


{#-
    Rows at the coordinator, of the sources of a batch or of any, for what is looked up for them: as a query whose rows
    are where their sources are. Citus looks up the last row before another one, or counts, for such rows only.
-#}
{% macro at_nodes(rows, batch) %}
    {#- When dbt parses it must meet what either form reads. -#}
    {%- if execute and not is_distributed() -%}
        {{ return(rows) }}
    {%- endif -%}
    {%- set chunks = source('raw', 'event_chunks') -%}
    {%- set loads = published_loads() -%}
    (
        {#- Without the `distinct` PostgreSQL would take it apart, and Citus see that the rows are not of the nodes. #}
        select distinct *
        from (
            select distinct chunks.source_id
            from {{ chunks }} as chunks
            {%- if batch %}
            where chunks.load_id in (
                select loads.load_id
                from {{ loads }} as loads
                where
                    (loads.load_seq > {{ batch.lo }} or loads.withdrawn_seq > {{ batch.lo }})
                    and loads.load_seq <= {{ batch.hi }}
            )
            {%- endif %}
        ) as places
        inner join {{ rows }} as placed using (source_id)
    )
{%- endmacro %}


{#- Columns of chunks: where their load stands in the ledger. On a cluster nobody asks for them: the nodes would get all of it. -#}
{% macro positions_in_ledger(chunks) -%}
    {%- for column in ['load_seq', 'withdrawn_seq'] %}
    {%- if is_distributed() %}
    {#- As after a restore into plain PostgreSQL: an error, the only one a view can raise, and no wrong answer. #}
    ({{ chunks }}.load_id || ' is compared on a cluster, not {{ column }}; elsewhere: dbt run')::bigint as {{ column }}
    {%- else -%}
    loads.{{ column }}
    {%- endif -%}
    {{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}


{% macro join_ledger(chunks) -%}
    {%- set loads = ref('stg_video_events__loads') -%}
    {%- if not is_distributed() -%}
    inner join {{ loads }} as loads on {{ chunks }}.load_id = loads.load_id
    {%- endif -%}
{%- endmacro %}


{#-
    The ledger, for a subquery that asks for a `load_seq`. A view there is a query of its own to Citus: all of its rows are
    written to a file, each time.
-#}
{% macro published_loads() %}
    {{ return(source('raw', 'loads') if execute and is_distributed() else ref('stg_video_events__loads')) }}
{% endmacro %}


{#-
    On a cluster, periods of sources are joined day by day to those of other sources that they touch: few come to the coordinator.
    The nodes send each other what each needs, by way of a table that is gone before anybody else sees it.
-#}
{% macro parts_of_category_periods(periods) %}
    {#- dbt renders a model also before its transaction, to write down what it is. -#}
    {%- if not is_distributed() or 'exact_hi' not in context -%}
        {{ return("select *, false as is_recount_needed from " ~ periods) }}
    {%- endif -%}
    {%- set parts = this.incorporate(path={'identifier': this.identifier ~ '__parts'}) -%}
    {%- set joined = make_temp_relation(this, '__joined') -%}
    {%- do run_query(
        "create table " ~ parts ~ " (source_id int, category text, event_count bigint, is_recount_needed boolean,"
        ~ " started_at timestamptz, ended_at timestamptz, day timestamptz)"
    ) -%}
    {%- if is_on_cluster() -%}
        {%- do run_query(
            "select pg_catalog.create_distributed_table(" ~ dbt.string_literal(parts.include(database=false) | string)
            ~ ", 'day', colocate_with => 'none')"
        ) -%}
    {%- endif -%}
    {%- do run_query(
        "insert into " ~ parts ~ " select source_id, category, event_count, false, started_at, ended_at,"
        ~ " date_bin(interval '1 day', started_at, timestamptz '2000-01-01 00:00:00+00') from " ~ periods
    ) -%}
    {%- do run_query(
        "create temporary table " ~ joined ~ " on commit drop as (" ~ merge_periods(parts, ['day', 'category']) ~ ");"
        ~ " drop table " ~ parts
    ) -%}
    {{ parts_of_each_source(joined) }}
{% endmacro %}


{% macro distribute(table) %}
    {%- set column = (config.get('meta') or {}).get('distributed_by') -%}
    {%- if column and is_on_cluster() -%}
        {%- set name = dbt.string_literal(table.include(database=false) | string) -%}
        {%- for _ in run_query(
            "select 1 where not exists (select from pg_catalog.pg_dist_partition where logicalrelid = " ~ name ~ "::regclass)"
        ) -%}
            {%- if not model.constraints -%}
                {#- When a shard moves to another node, rows that go meanwhile have to be found, without a key by all columns. -#}
                {%- do run_query("alter table " ~ table ~ " replica identity full") -%}
            {%- endif -%}
            {%- do run_query(
                "select pg_catalog.create_distributed_table(" ~ name ~ ", " ~ dbt.string_literal(column)
                ~ ", colocate_with => 'raw.event_chunks')"
            ) -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}


{#- A transaction ends at one node after the other. What had been committed when this began can be seen on each of them. -#}
{% macro wait_for_commits() %}
    {%- if is_on_cluster() -%}
        {%- do run_query("select raw.wait_for_commits()") -%}
    {%- endif -%}
{% endmacro %}


{#-
    Until the transaction has ended on all nodes: unlike the lock of a row, which the coordinator gives back before. Who reads a
    mart and its mark takes the lock shared.
-#}
{% macro lock_until_committed(model_name, is_shared=false) %}
    {%- if is_on_cluster() -%}
        {%- do run_query(
            "select pg_catalog.pg_advisory_xact_lock" ~ ("_shared" if is_shared) ~ "(pg_catalog.hashtextextended("
            ~ dbt.string_literal('video-events mark ' ~ model_name) ~ ", 0))"
        ) -%}
    {%- endif -%}
{% endmacro %}


{#-
    Until the transaction ends. Views are on all nodes, where Citus locks them too, and waits without patience: two models that
    put a table in the place of another one would wait for each other there. Who builds one takes it first of all: to distribute a table
    locks another one of its group, until the transaction ends.
-#}
{% macro lock_views_of_nodes() %}
    {%- if is_on_cluster() -%}
        {%- do run_query("select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('video-events views of nodes', 0))") -%}
    {%- endif -%}
{% endmacro %}


{#- A function is in plpgsql on a cluster, where no argument has the name of a column: `source_name` becomes `only_source_name`. -#}
{% macro name_of_argument(name) -%}
    {{ 'only_' if is_distributed() and name == 'source_name' }}{{ name }}
{%- endmacro %}


{% macro formatted_scalar_function_args_sql() %}
    {#- dbt's own macro, but for these names. -#}
    {{ return(dbt.formatted_scalar_function_args_sql() | replace('source_name', name_of_argument('source_name'))) }}
{% endmacro %}
