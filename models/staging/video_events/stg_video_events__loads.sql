with

loads as (
    select * from {{ source('raw', 'loads') }}
),

published as (
    select
        load_id,
        load_seq,
        withdrawn_seq,
        withdraws_load_id,
        rows_read,
        rows_loaded,
        rows_rejected,
        rows_duplicate,
        kind,
        origin,
        first_event_at,
        last_event_at,
        published_at
    from loads
    where load_seq is not null
)

select * from published
