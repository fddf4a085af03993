{{ config(materialized='stable_view') }}

with

-- The table of marks of the same schema: no model is read, so any of them may be left out.
marks as (
    select
        model_name as mart_name,
        load_seq,
        updated_at as built_at
    from {{ progress_beside(this) }}
    where
        load_seq is not null
        and (model_name like 'fct\_%' or model_name like 'dim\_%')
),

loads as (
    select * from {{ ref('stg_video_events__loads') }}
),

counter as (
    select load_seq from {{ source('raw', 'load_counter') }}
),

final as (
    select
        marks.mart_name,
        marks.load_seq,
        counter.load_seq - marks.load_seq as loads_behind,
        marks.load_seq = counter.load_seq as is_current,
        (
            select max(loads.last_event_at)
            from loads
            where {{ visible_at('marks.load_seq', 'loads') }}
        ) as last_event_at,
        (
            select max(loads.published_at)
            from loads
            where loads.load_seq <= marks.load_seq
        ) as published_at,
        marks.built_at
    from marks
    cross join counter
)

select * from final
