"""Bulk loader of detector events for PostgreSQL.

A program needs what stands here; the modules below may change without notice.
"""

__version__ = "0.1.0"

from loader.activity import Alert, Period
from loader.api import alerts, destinations, load_files, periods
from loader.api_frames import load_arrow, load_events
from loader.decorators import alert_on_consecutive, alert_on_presence
from loader.errors import DatabaseError, InputError, LoaderError, UsageError
from loader.frames import Event
from loader.load import LoadResult
from loader.mapping import Mapping
from loader.notify import EarlyAlert
from loader.outcomes import IncompleteError
from loader.pipeline import LoadOptions
from loader.selection import Selection

__all__ = [
    "Alert",
    "DatabaseError",
    "EarlyAlert",
    "Event",
    "IncompleteError",
    "InputError",
    "LoadOptions",
    "LoadResult",
    "LoaderError",
    "Mapping",
    "Period",
    "Selection",
    "UsageError",
    "alert_on_consecutive",
    "alert_on_presence",
    "alerts",
    "destinations",
    "load_arrow",
    "load_events",
    "load_files",
    "periods",
]
