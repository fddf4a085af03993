from typing import Any

import pytest

from loader.errors import UsageError
from loader.reading.mapping import Mapping


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
