with

sources as (
    select * from {{ source('raw', 'sources') }}
)

select
    source_id,
    source_name
from sources
