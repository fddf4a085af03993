update raw.kafka_offsets
set next_offset = %(new)s
where
    consumer_group = %(group)s
    and topic = %(topic)s
    and partition_number = %(partition)s
    and next_offset = %(old)s
    and topic_identity = %(identity)s
