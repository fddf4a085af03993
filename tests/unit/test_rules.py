"""The seeds with a slip: the loader and dbt refuse the same ones, with the same words."""

import re
import warnings
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
from dbt_common.clients import agate_helper

from loader.alerting.rules import read_definitions
from loader.errors import UsageError

MACROS = Path(__file__).parents[2] / "macros" / "seeds"
TYPES = "event_type,category\npedestrian,people\ncar,vehicles\n"
RULES = "rule_name,kind,category,threshold,min_duration\n"
CATEGORIES = "category,activity_gap,is_alerted,colour\n"
COLUMNS = {
    "event_types": ("event_type", "category"),
    "alert_rules": ("rule_name", "kind", "category", "threshold", "min_duration"),
    "categories": ("category", "activity_gap", "is_alerted", "colour"),
}
NEEDS = "needs a whole number from 1 to 1000000, such as 5, and has"
LASTS = (
    "needs a duration of no more than 3650 days, such as 10 minutes or 1 hour 30 minutes, and has"
)

TYPE_CASES = [
    (TYPES, []),
    ("event_type,category\n", []),
    # As spreadsheets and Windows save them.
    ("\ufeff" + TYPES.replace("\n", "\r\n"), []),
    (TYPES + "\n,\n  , null\n", []),
    ("category,event_type,label\npeople,1,NULL\npeople,007,two\n", []),
    (TYPES + "Car,vehicles\n", []),
    ('event_type,category\n"a,b",people\n"two\nlines",people\n', []),
    ("event_type;category\ncar;vehicles\n",
     ["it needs the columns event_type, category; it has event_type;category"]),
    ("Event_Type,Category\ncar,vehicles\n",
     ["it needs the columns event_type, category; it has Event_Type, Category"]),
    ("event_type\ncar\n", ["it needs the columns event_type, category; it has event_type"]),
    ("event_type,category\n\ncar,vehicles\nvan,vehicles\ncar,vehicles\n",
     ['line 5, event_type: "car" is on line 3 already; keep one of the two']),
    ('event_type,category\n"two\nlines",people\ncar,\n,people\nnull,people\n',
     ["line 4, category: it is empty", "line 5, event_type: it is empty",
      "line 6, event_type: it is empty"]),
    ("event_type,category\ncar , vehicles\nvan,vehicles\ntruck,Vehicles\n",
     ['line 2, event_type: "car " has blanks around it; take them away',
      'line 2, category: " vehicles" has blanks around it; take them away',
      'line 4, category: "Vehicles" is "vehicles" on line 3; write both the same way']),
]  # fmt: skip

RULE_CASES = [
    (RULES + "a,consecutive,people,5,\nb,presence,other,,10 minutes\n", []),
    (RULES + "a,consecutive,people,005,\n\n,,,,\nb,presence,vehicles,NULL,1d 2h\n", []),
    (RULES, []),
    ("rule_name,kind,category,threshold\na,consecutive,people,5\n",
     ["it needs the columns rule_name, kind, category, threshold, min_duration; "
      "it has rule_name, kind, category, threshold"]),
    (RULES + "a,Consecutive,people,5,\n,presence,people,,5m\nA,presence,people,,5m\n",
     ['line 2, a, kind: "Consecutive" is neither consecutive, presence, absence nor unusual',
      "line 3, rule_name: it is empty",
      'line 4, A, rule_name: "A" is on line 2 already; keep one of the two']),
    (RULES + "a,consecutive,peopel,2,\nb,consecutive,people ,2,\nc,,people,2,\n",
     ['line 2, a, category: "peopel" is no category of event_types.csv, '
      "which has other, people, vehicles",
      'line 3, b, category: "people " has blanks around it; take them away',
      "line 4, c, kind: it is empty"]),
    *(
        (f"{RULES}a,consecutive,people,{text},\n",
         [f'line 2, a, threshold: a consecutive rule {NEEDS} "{text}"'])
        for text in ("", "0", "-1", "+5", "5.0", "1_000", "1e3", "five",
                     "\N{ARABIC-INDIC DIGIT FIVE}", "1000001", "99999999999")
    ),
    *(
        (f"{RULES}a,presence,people,,{text}\n",
         [f'line 2, a, min_duration: a presence rule {LASTS} "{text}"'])
        for text in ("", "0", "5", "0 minutes", "-5 minutes", "1 month", "1 year", "10:99", "1h30m",
                     "5 m 5 m", "5m 1h", "3651 days", "99999999:00", "soon", "PT5M")
    ),
    (RULES + "a,consecutive,people,5,1 hour\nb,presence,people,5,1 hour\nc,absence,people,5,\n",
     ["line 2, a, min_duration: a consecutive rule has none; leave it empty",
      "line 3, b, threshold: a presence rule has none; leave it empty",
      f'line 4, c, min_duration: an absence rule {LASTS} ""',
      "line 4, c, threshold: an absence rule has none; leave it empty"]),
    (RULES + "a,unusual,people,,\n", []),
    (RULES + "a,unusual,people,5,1 hour\n",
     ["line 2, a, threshold: an unusual rule has none; leave it empty",
      "line 2, a, min_duration: an unusual rule has none; leave it empty"]),
]  # fmt: skip

GAPS = (
    "it is a duration of no more than 3650 days, such as 30 seconds or 1 hour 30 minutes, or empty"
)
CATEGORY_CASES = [
    (CATEGORIES, []),
    (CATEGORIES + "people,1 minute,true,red\nother,00:30,FALSE,\nvehicles,,,\n", []),
    ("category,activity_gap\npeople,1 minute\n",
     ["it needs the columns category, activity_gap, is_alerted, colour; "
      "it has category, activity_gap"]),
    (CATEGORIES + "people,0 s,yes,\nPeople,,,\n,,true,\n",
     [f'line 2, activity_gap: {GAPS}, and not "0 s"',
      'line 2, is_alerted: it is true, false or empty, and not "yes"',
      'line 3, category: "People" is on line 2 already; keep one of the two',
      'line 3, category: "People" is no category of event_types.csv, '
      "which has other, people, vehicles",
      "line 4, category: it is empty"]),
    (CATEGORIES + "people,1 month,true ,\n",
     ['line 2, is_alerted: "true " has blanks around it; take them away',
      f'line 2, activity_gap: {GAPS}, and not "1 month"',
      'line 2, is_alerted: it is true, false or empty, and not "true "']),
]  # fmt: skip


@pytest.mark.parametrize(
    ("seed", "text", "slips"),
    [("event_types", *case) for case in TYPE_CASES]
    + [("alert_rules", *case) for case in RULE_CASES]
    + [("categories", *case) for case in CATEGORY_CASES],
)
def test_the_loader_and_dbt_say_the_same(
    seed: str, text: str, slips: list[str], tmp_path: Path
) -> None:
    (tmp_path / "event_types.csv").write_text(TYPES)
    (tmp_path / "alert_rules.csv").write_text(RULES)
    (tmp_path / f"{seed}.csv").write_bytes(text.encode())
    assert slips_for_dbt(tmp_path / f"{seed}.csv", seed) == slips
    if not slips:
        read_definitions(tmp_path, tmp_path)
        return
    with pytest.raises(UsageError) as refusal:
        read_definitions(tmp_path, tmp_path)
    assert str(refusal.value) == "\n  ".join([f"{tmp_path / seed}.csv is refused:", *slips])


def test_a_category_may_have_a_gap_of_its_own_and_no_alerts(tmp_path: Path) -> None:
    (tmp_path / "event_types.csv").write_text(TYPES)
    (tmp_path / "alert_rules.csv").write_text(
        RULES + "a,consecutive,people,5,\nb,presence,vehicles,,1 hour\nc,unusual,vehicles,,\n"
    )
    (tmp_path / "categories.csv").write_text(
        CATEGORIES + "people,30 seconds,False,\nvehicles,,True,\n"
    )
    found = read_definitions(tmp_path, tmp_path)
    # Nor has a loader rules that need the weeks before.
    assert [rule.name for rule in found.rules] == ["b"]
    assert (found.gap, found.gaps) == (timedelta(minutes=1), {"people": timedelta(seconds=30)})


def slips_for_dbt(path: Path, seed: str) -> list[str]:
    """Read a file as dbt does, and give it to the project's macros."""
    with warnings.catch_warnings():
        # Of a column that is not there.
        warnings.simplefilter("ignore", RuntimeWarning)
        table = agate_helper.from_csv(path, text_columns=COLUMNS[seed])
    rows: list[Any] = []
    macros = (MACROS / "seed_slips.sql").read_text()
    jinja = jinja2.Environment(extensions=["jinja2.ext.do"], autoescape=False)  # noqa: S701
    jinja.globals |= {"modules": SimpleNamespace(re=re), "return": rows.extend}
    module: Any = jinja.from_string(macros).module
    module.seed_rows(table)
    slips: list[str] = []
    module.seed_slips(slips, seed, table.column_names, rows, ["other", "people", "vehicles"])
    return slips


def test_a_row_with_too_many_cells_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "event_types.csv").write_text(TYPES + "van,vehicles,\n")
    with pytest.raises(UsageError, match="line 4 has 3 cells, and the first line 2"):
        read_definitions(tmp_path, tmp_path)
