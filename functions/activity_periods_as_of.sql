{{ periods_as_of(['source_id', 'category']) }}
