insert into raw.kafka_offsets
(consumer_group, topic, topic_identity, partition_number, next_offset)
values (%(group)s, %(topic)s, %(identity)s, %(partition)s, %(new)s)
on conflict do nothing
