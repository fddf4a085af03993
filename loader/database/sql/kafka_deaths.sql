select
    partition_number,
    first_offset,
    end_offset,
    deaths,
    deaths_alone
from raw.kafka_deaths
where consumer_group = %(group)s and topic = %(topic)s
