{% macro live_batch(model_name) %}
    {%- set lo -%}
    (
        {#- What is not of this ledger cannot be brought up to date: an error, the only one a view can raise. #}
        select
            case
                when {{ _is_of_this_ledger('progress') | indent(16) }} then progress.load_seq
                else (
                    progress.model_name
                    || ' holds loads that schema raw does not have any more; rebuild it: dbt build --full-refresh'
                )::bigint
            end
        from {{ mark_of(ref(model_name)) | indent(8) }}
    )
    {%- endset -%}
    {{ return({
        'lo': lo,
        'hi': '(select counter.load_seq from ' ~ source('raw', 'load_counter') ~ ' as counter)',
        'since': none,
        'recount_until': "'infinity'::timestamptz",
        'dropped_before': dropped_before(),
    }) }}
{% endmacro %}


{% macro hi_from_scratch() -%}
    {#- Where no batch is begun, as in `dbt show` and unit tests, all that is visible. -#}
    {{ context.get('exact_hi', 9223372036854775807) }}
{%- endmacro %}


{% macro dropped_before() -%}
    (
        select coalesce(max(retention.dropped_before), '-infinity')
        from {{ source('raw', 'retention') }} as retention
    )
{%- endmacro %}


{% macro all_events() %}
    select history.*
    from {{ ref('stg_video_events__event_history') }} as history
    where {{ is_visible(hi_from_scratch(), 'history') }}
{% endmacro %}


{% macro changed_events(batch, is_net=true) %}
    {#-
        With bounds of their numbers PostgreSQL finds the chunks of the batch by an index, however long
        the history is.
    -#}
    with

    changed_loads as materialized (
        select
            loads.load_id,
            coalesce(loads.first_event_at, '-infinity') as first_event_at,
            {{ visible_at(batch.hi, 'loads') }}::int - {{ visible_at(batch.lo, 'loads') }}::int as sign
        from {{ ref('stg_video_events__loads') }} as loads
        where
            (loads.load_seq > {{ batch.lo }} or loads.withdrawn_seq > {{ batch.lo }})
            {% if is_net -%}
            and {{ visible_at(batch.hi, 'loads') }} <> {{ visible_at(batch.lo, 'loads') }}
            {%- else -%}
            and loads.load_seq <= {{ batch.hi }}
            {%- endif %}
    )

    select
        events.source_id,
        events.event_type_id,
        events.event_type,
        events.category,
        changed_loads.sign,
        events.occurred_at
    from {{ ref('stg_video_events__event_history') }} as events
    inner join changed_loads on events.load_id = changed_loads.load_id
    where
        events.load_id >= (select min(bounds.load_id) from changed_loads as bounds)
        and events.load_id <= (select max(bounds.load_id) from changed_loads as bounds)
        {#- Nor is any older partition looked at. #}
        and {{ chunks_between(
            'events', batch.since or '(select min(bounds.first_event_at) from changed_loads as bounds)'
        ) }}
{% endmacro %}


{% macro chunks_between(history, since, until=[]) -%}
    {#- What PostgreSQL cannot know: no chunk goes over midnight in UTC. -#}
    {{ history }}.chunk_started_at >= date_bin(interval '1 day', {{ since }}, timestamptz '2000-01-01 00:00:00+00')
    and {{ history }}.chunk_ended_at >= {{ since }}
    {%- for instant in until %}
    and {{ history }}.chunk_started_at <= {{ instant }}
    {%- endfor %}
{%- endmacro %}


{% macro visible_at(load_seq, relation) -%}
    {#- Without the parentheses and the `is true` a null withdrawn_seq would make the answer null. -#}
    ({{ relation }}.load_seq <= {{ load_seq }} and ({{ relation }}.withdrawn_seq <= {{ load_seq }}) is not true)
{%- endmacro %}


{% macro is_visible(load_seq, chunks) -%}
    {#-
        The nodes of a cluster get the loads as one value, which grows with the holes between them, where the ledger itself
        would grow with every load.
    -#}
    {%- if execute and not is_distributed() -%}
    {{ visible_at(load_seq, chunks) }}
    {%- else -%}
    coalesce(
        {{ chunks }}.load_id <@ (
            select range_agg(int8range(loads.load_id, loads.load_id, '[]'))
            from {{ published_loads() }} as loads
            where {{ visible_at(load_seq, 'loads') }}
        ),
        false
    )
    {%- endif -%}
{%- endmacro %}


{% macro with_changes(stored, changes, columns, key) %}
    select
        {% for column in columns %}stored.{{ column }}{{ ',' if not loop.last }}
        {% endfor %}
    from {{ stored }} as stored
    where not exists (
        select 1
        from {{ changes }} as changes
        where {{ same_key('stored', 'changes', key) }}
    )

    union all

    select
        {% for column in columns %}changes.{{ column }}{{ ',' if not loop.last }}
        {% endfor %}
    from {{ changes }} as changes
    where not changes.is_removed
{% endmacro %}
