from datetime import timedelta

import pytest

from loader.durations import read_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10 minutes", 600), ("1 hour 30 min", 5400), ("5m", 300), ("00:10:00", 600), ("1.5s", 1.5)],
)
def test_durations(text: str, seconds: float) -> None:
    assert read_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "3 months", "soon", "-5m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        read_duration(text)
