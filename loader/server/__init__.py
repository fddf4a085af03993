"""A PostgreSQL server of the project's own."""
