from collections.abc import Callable
from typing import Any

import pytest

from loader.errors import UsageError
from loader.reading.mapping import Mapping

Read = Callable[..., Any]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"format": "xml"}, "format"),
        ({"delimiter": ""}, "--delimiter"),
        ({"delimiter": ";;"}, "--delimiter"),
        ({"delimiter": "é"}, "--delimiter"),
        ({"delimiter": '"'}, "--delimiter"),
        ({"delimiter": "\n"}, "--delimiter"),
        ({"delimiter": "a"}, "--delimiter"),
        ({"delimiter": "\0"}, "--delimiter"),
        ({"timezone": "Europe/Nowhere"}, "--timezone"),
        ({"timezone": ""}, "--timezone"),
        ({"timezone": "../../etc/passwd"}, "--timezone"),
        ({"timezone": "Europe"}, "--timezone"),
        ({"time_format": "seconds"}, "--time-format"),
        ({"time_format": "%H:%M"}, "--time-format"),
        ({"time_column": "type"}, "--time-column and --type-column"),
        ({"type_column": " SOURCE "}, "--type-column and --source-column"),
        ({"source": " "}, "--source"),
        ({"source": "a\0b"}, "--source"),
        ({"source": "\ud800"}, "--source"),
        ({"source": "x" * 201}, "--source"),
        ({"columns": ("time", "type", "Time")}, "--columns"),
        ({"columns": ("time", "")}, "--columns"),
        ({"attributes": ("a", "a")}, "--attributes"),
        ({"attributes": ("",)}, "--attributes"),
        ({"type_map": {"82": " "}}, "--type-map"),
        ({"type_map": {"82": "x" * 201}}, "--type-map"),
        ({"type_map": {"82": "car", " 82": "van"}}, "--type-map"),
    ],
)
def test_unusable_options_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Mapping(**options)


def test_the_source_column_does_not_matter_when_the_source_is_given() -> None:
    assert Mapping(source="a", source_column="time").needed_columns == ("time", "type")


def test_defaults_are_usable() -> None:
    assert Mapping().needed_columns == ("time", "type", "source")
    assert Mapping(delimiter="\\t").delimiter == "\t"


def test_a_pattern_finds_the_name_in_a_longer_text(read: Read) -> None:
    content = b"""time,type,source
2024-05-13T00:00:00Z,7|3.5|VEHICLE|#, cam1/monday.jpg
2024-05-13T00:00:01Z,8|Person|#|,b/cam2/2.jpg
2024-05-13T00:00:02Z,9| CAR |x,alone.jpg
2024-05-13T00:00:03Z,10,cam1/3.jpg
2024-05-13T00:00:04Z,,cam1/4.jpg
"""
    options = {
        "type_pattern": r"\|([^|\d]+)\|",
        "source_pattern": "([^/]+)/[^/]*$",
        "type_map": {"VEHICLE": "car"},
    }
    found = read(content, "a.csv", **options)
    assert [event[1:] for event in found.events] == [("car", "cam1"), ("Person", "cam2")]
    assert [(reject.column_name, reject.reason) for reject in found.rejects] == [
        ("source", "--source-pattern finds nothing in 'alone.jpg'"),
        ("type", "--type-pattern finds nothing in '10'"),
        ("type", "the type is empty"),
    ]
    # It is a part of what the content means.
    assert found.fingerprint != read(content, "a.csv").fingerprint


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", r"--type-pattern '\(' is no regular expression: missing \)"),
        ("a", r"--type-pattern 'a' needs one group, such as "),
        ("(a)(b)", "needs one group"),
    ],
)
def test_a_pattern_that_is_none_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Mapping(type_pattern=pattern)
