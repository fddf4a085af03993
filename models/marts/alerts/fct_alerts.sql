{{
    config(
        unique_key=['source_id', 'started_at', 'rule_name', 'first_event_type'],
        indexes=[
            {
                'columns': ['source_id', 'started_at', 'rule_name', 'first_event_type'],
                'unique': true,
            },
            {'columns': ['triggered_at']},
        ],
        meta={
            'defined_by': ['event_types', 'activity_gap', 'alert_rules'],
            'follows': ['fct_activity_periods', 'int_event_runs'],
        },
    )
}}

-- depends_on: {{ ref('stg_video_events__loads') }}, {{ ref('stg_video_events__event_history') }}
with

{% if is_incremental() %}

changed_events as materialized (
    {#-
        Also what came and went: the models this one follows may be further on than hi, one more
        than the other, and the alerts made from them then know of loads after hi.
    #}
    {{ changed_events(this_batch(), is_net=false) | indent(4) }}
),

changed_buckets as (
    {{ event_buckets('changed_events', sign='sign') | indent(4) }}
),

islands as materialized (
    {{ merge_periods('changed_buckets', ['source_id', 'category']) | indent(4) }}
),

changed_periods as materialized (
    {{
        touched_periods('islands', ref('fct_activity_periods'), ['source_id', 'category'])
        | indent(4)
    }}
),

changed_extents as (
    select
        source_id,
        category,
        started_at,
        ended_at
    from islands
    union all
    select
        source_id,
        category,
        started_at,
        ended_at
    from changed_periods
),

{{
    changed_alerts(
        stored=this,
        batch=this_batch(),
        runs=ref('int_event_runs'),
        changed_periods='changed_periods',
        changed_extents='changed_extents',
    )
}},

alerts as (
    select * from changed_alerts
),

{% else %}

pieces as (
    select
        *,
        false as is_separator
    from {{ ref('int_event_runs') }}
),

runs as (
    {{ joined_runs('pieces', this_batch().dropped_before) | indent(4) }}
),

alerts as (
    {{ consecutive_alerts('runs', this_batch().hi) | indent(4) }}
    union all
    {{ presence_alerts(ref('fct_activity_periods')) | indent(4) }}
),

{% endif %}

sources as (
    select * from {{ ref('stg_video_events__sources') }}
),

final as (
    {{ named_alerts('alerts', 'sources') | indent(4) }}
)

select * from final
