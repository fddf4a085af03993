{{ periods_as_of(['category']) }}
