"""Bulk loader of detector events for PostgreSQL.

A program needs what stands here; the modules below may change without notice.
"""

import importlib
from typing import TYPE_CHECKING

from loader.version import __version__

if TYPE_CHECKING:
    from loader.alerting.decorators import alert_on_consecutive, alert_on_presence
    from loader.alerting.notify import EarlyAlert
    from loader.api import alerts, destinations, load_files, periods
    from loader.api_frames import load_arrow, load_events
    from loader.database.activity import Alert, Period
    from loader.delivery.outcomes import IncompleteError
    from loader.errors import DatabaseError, InputError, LoaderError, UsageError
    from loader.loading.load import LoadResult
    from loader.loading.options import LoadOptions
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
    "__version__",
    "alert_on_consecutive",
    "alert_on_presence",
    "alerts",
    "destinations",
    "load_arrow",
    "load_events",
    "load_files",
    "periods",
]

# Where each is. It is imported when somebody asks for it: the command line shows its version and
# its help without the half second that Arrow and psycopg need.
_HOMES = {
    "Alert": "database.activity",
    "DatabaseError": "errors",
    "EarlyAlert": "alerting.notify",
    "Event": "reading.frames",
    "IncompleteError": "delivery.outcomes",
    "InputError": "errors",
    "LoadOptions": "loading.options",
    "LoadResult": "loading.load",
    "LoaderError": "errors",
    "Mapping": "reading.mapping",
    "Period": "database.activity",
    "Selection": "reading.selection",
    "UsageError": "errors",
    "alert_on_consecutive": "alerting.decorators",
    "alert_on_presence": "alerting.decorators",
    "alerts": "api",
    "destinations": "api",
    "load_arrow": "api_frames",
    "load_events": "api_frames",
    "load_files": "api",
    "periods": "api",
}

# Not for type checkers, which would take any name for one of ours.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"loader.{_HOMES[name]}"), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
