"""Readers: one format each, from bytes to batches of events and rejects."""
