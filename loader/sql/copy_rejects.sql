copy raw.rejected_events (load_id, line_number, column_name, reason, raw_text, raw_bytes)
from stdin
