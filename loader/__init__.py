"""Bulk loader of detector events for PostgreSQL.

A program needs what stands here; the modules below may change without notice.
"""

__version__ = "0.1.0"

from loader.alerting.decorators import alert_on_consecutive, alert_on_presence
from loader.alerting.notify import EarlyAlert
from loader.api import alerts, destinations, load_files, periods
from loader.api_frames import load_arrow, load_events
from loader.database.activity import Alert, Period
from loader.delivery.outcomes import IncompleteError
from loader.errors import DatabaseError, InputError, LoaderError, UsageError
from loader.loading.load import LoadResult
from loader.loading.pipeline import LoadOptions
from loader.reading.frames import Event
from loader.reading.mapping import Mapping
from loader.reading.selection import Selection

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
