{% macro changed_run_extents(changed_buckets, runs) %}
    {#-
        Around a changed bucket: back to the beginning of the run that ends before it and on to
        the end of the run that begins after it. Both walks pass over buckets that lie in the
        run as a whole and stop at the first piece that does not; when that is a piece of another
        category, it separates and is not itself affected.
    -#}
    select distinct
        changed_buckets.source_id,
        coalesce(before.category <> run_before.category, false) as is_separated_before,
        coalesce(after.category <> run_after.category, false) as is_separated_after,
        coalesce(before.first_event_type, '') as from_event_type,
        coalesce(after.first_event_type, '') as to_event_type,
        coalesce(before.started_at, '-infinity') as from_at,
        coalesce(after.started_at, 'infinity') as to_at
    from {{ changed_buckets }} as changed_buckets
    left join lateral (
        select runs.*
        from {{ runs }} as runs
        where
            runs.source_id = changed_buckets.source_id
            and runs.started_at < changed_buckets.bucket_started_at
        order by runs.started_at desc, runs.first_event_type collate "C" desc
        limit 1
    ) as run_before on true
    left join lateral (
        select runs.*
        from {{ runs }} as runs
        where
            runs.source_id = changed_buckets.source_id
            and runs.started_at < changed_buckets.bucket_started_at
            and not (
                runs.is_first_in_bucket
                and runs.is_last_in_bucket
                and runs.category = run_before.category
            )
        order by runs.started_at desc, runs.first_event_type collate "C" desc
        limit 1
    ) as before on true
    left join lateral (
        select runs.*
        from {{ runs }} as runs
        where
            runs.source_id = changed_buckets.source_id
            and runs.started_at >= changed_buckets.bucket_started_at + {{ run_bucket() }}
        order by runs.started_at, runs.first_event_type collate "C"
        limit 1
    ) as run_after on true
    left join lateral (
        select runs.*
        from {{ runs }} as runs
        where
            runs.source_id = changed_buckets.source_id
            and runs.started_at >= changed_buckets.bucket_started_at + {{ run_bucket() }}
            and not (
                runs.is_first_in_bucket
                and runs.is_last_in_bucket
                and runs.category = run_after.category
            )
        order by runs.started_at, runs.first_event_type collate "C"
        limit 1
    ) as after on true
{% endmacro %}
