"""What stands in the database, and the statements that touch it."""
