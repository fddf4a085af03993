"""Bulk loader of detector events for PostgreSQL."""

__version__ = "0.1.0"
