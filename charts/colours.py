"""The layer of the boards with the colours of ``seeds/categories.csv``; ``make board`` writes it.

A board cannot ask a query for its colours. One that is not written ``#rrggbb`` is passed over, and
so is one that an earlier line has: the board tells categories apart by them.
"""

import csv
import json
import re
import sys
from collections.abc import Iterable

USUAL = {"vehicles": "category.blue", "people": "category.gold", "other": "category.gray"}


def layer(lines: Iterable[str]) -> str:
    """Return the layer for the lines of a seed."""
    colours = dict(USUAL)
    for row in csv.DictReader(lines):
        colour = (row.get("colour") or "").strip().lower()
        if re.fullmatch("#[0-9a-f]{6}", colour) and colour not in colours.values():
            colours[row["category"]] = colour
    pins = "".join(
        f'          {json.dumps(name)}: "{colour}"\n' for name, colour in colours.items()
    )
    return (
        "# Made from seeds/categories.csv by charts/colours.py; not to be edited.\n"
        "extends: ./_activity.yml\n"
        "style:\n  charts:\n    category_colors:\n      category:\n        values:\n"
        f"{pins}"
    )


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8-sig", newline="") as seed:  # noqa: PTH123
        sys.stdout.write(layer(seed))
