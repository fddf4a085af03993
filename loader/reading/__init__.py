"""From bytes to batches of events and rejects; knows no database."""
