"""From batches to events that are visible."""
