"""Bulk loader of detector events for PostgreSQL.

A program needs what stands here, which is what ``loader.api`` names; the modules below may change
without notice.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from loader.api import *  # noqa: F403 - what it says is public
    from loader.api import __all__ as __all__
else:

    def __getattr__(name: str) -> object:
        """Import it when somebody asks for it.

        The command line shows its version and its help without the half second that Arrow and
        psycopg need.
        """
        if name == "__all__":
            return [*import_module("loader.api").__all__, "__version__"]
        # What Python itself looks for in a module is none of ours.
        if name.startswith("_") or name not in (api := import_module("loader.api")).__all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(api, name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")})
