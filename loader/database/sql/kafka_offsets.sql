select
    partition_number,
    next_offset,
    topic_identity
from raw.kafka_offsets
where consumer_group = %(group)s and topic = %(topic)s
