"""The program ``loader``, also ``python -m loader``."""

import os
import sys
from importlib.abc import MetaPathFinder
from typing import NoReturn

from loader.process.signals import end_at_once


class WithoutPandas(MetaPathFinder):
    """Leaves pandas out: Arrow imports it with its first array, if it is there, for half a second.

    Nothing here uses it; but who calls the loader from Python may.
    """

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:  # noqa: ARG002
        """Find nothing."""
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname)


def main() -> NoReturn:
    """Run the command line, and end the process."""
    exit_code = run()
    sys.stderr.flush()
    # Arrays would be given back to the system page by page, for a twentieth of a long load.
    os._exit(exit_code)


def run() -> int:
    """Run the command line; nobody who ends it early sees where in our imports that was."""
    end_at_once()
    sys.meta_path.insert(0, WithoutPandas())
    from loader.cli import main as run_command  # noqa: PLC0415 - it takes a while
    from loader.process.terminal import finish, prepare  # noqa: PLC0415 - so does click

    prepare()
    return finish(run_command())


if __name__ == "__main__":
    main()
