copy raw.rejected_events (
    load_id,
    line_number,
    column_name,
    reason,
    raw_text,
    raw_bytes,
    is_cut,
    partition_number,
    message_offset
)
from stdin
