-- The ledger numbers loads and withdrawals 1, 2, 3, ... and the counter stands at the last.
with

numbering as (
    select
        count(*) as load_count,
        coalesce(max(load_seq), 0) as last_load_seq,
        (select counter.load_seq from {{ source('raw', 'load_counter') }} as counter) as counted
    from {{ ref('stg_video_events__loads') }}
)

select * from numbering
where
    load_count <> last_load_seq
    or counted is distinct from last_load_seq
