{{ config(materialized='incremental', unique_key='id', incremental_strategy='delete+insert') }}

select id
from {{ ref('visits') }}
{% if is_incremental() %}
where id not in (select stored.id from {{ this }} as stored)
{% endif %}
