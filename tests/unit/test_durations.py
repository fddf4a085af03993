from datetime import timedelta

import pytest

from loader.settings.durations import read_age, read_duration


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


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("13months", "13 months"),
        ("1 month", "1 months"),
        ("90d", "90 days"),
        ("7 days", "7 days"),
        ("8 Weeks", "8 weeks"),
        ("2years", "2 years"),
        ("1y", "1 years"),
    ],
)
def test_ages(text: str, interval: str) -> None:
    assert read_age(text) == interval


@pytest.mark.parametrize(
    "text", [" ", "13", "13m", "6d", "0 years", "1.5 years", "-1 year", "5 min"]
)
def test_no_ages(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        read_age(text)
