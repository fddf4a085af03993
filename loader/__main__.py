"""The program ``loader``, also ``python -m loader``."""

import sys

from loader.signals import end_at_once


def main() -> int:
    """Run the command line; nobody who ends it early sees where in our imports that was."""
    end_at_once()
    from loader.cli import main as run  # noqa: PLC0415 - it takes a while
    from loader.terminal import finish, prepare  # noqa: PLC0415 - so does click

    prepare()
    return finish(run())


if __name__ == "__main__":
    sys.exit(main())
