-- The ledger numbers loads and withdrawals 1, 2, 3, ... and the counter stands at the last.
with

numbering as (
    select
        count(*) as load_count,
        coalesce(max(loads.load_seq), 0) as last_load_seq,
        max(counter.load_seq) as counted
    from {{ source('raw', 'load_counter') }} as counter
    left join {{ ref('stg_video_events__loads') }} as loads on true
    where loads.load_seq is not null
)

select * from numbering
where
    load_count > 0
    and (load_count <> last_load_seq or counted <> last_load_seq)
