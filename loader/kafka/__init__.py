"""Kafka: messages of a topic as micro-batches, each of them loaded exactly once."""
