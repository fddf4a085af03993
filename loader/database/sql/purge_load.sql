with purged as (
    delete from raw.events where load_id = %(load_id)s returning 1 as one
),

marked as (
    update raw.loads set purged_at = clock_timestamp() where load_id = %(load_id)s
)

select count(*) from purged
