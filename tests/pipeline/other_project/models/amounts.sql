{{ config(materialized='table', indexes=[{'columns': ['amount']}]) }}

select
    id,
    100.5::numeric as amount,
    name
from {{ ref('visits') }}
