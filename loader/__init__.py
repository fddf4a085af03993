"""Bulk loader of detector events for PostgreSQL."""
