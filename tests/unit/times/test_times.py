from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loader.errors import UsageError
from loader.reading.texts import Texts
from loader.reading.times import Clock, Moments, RepeatedHour, TimeFault, iso
from tests.conftest import examples

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]
moments = st.datetimes(datetime(1902, 1, 1), datetime(2198, 12, 31))


def read(clock: Clock, *values: str | bytes | None) -> list[str | TimeFault]:
    raw = [value.encode() if isinstance(value, str) else value for value in values]
    micros, faults = clock.read(pa.array(raw, pa.binary()))
    return [
        TimeFault(fault) if fault else str(np.datetime64(micro, "us")).replace("T", " ")
        for micro, fault in zip(micros.tolist(), faults.tolist(), strict=True)
    ]


def micros_of(time: datetime) -> int:
    return (time - EPOCH) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-05-13T15:00:00Z", "2024-05-13 15:00:00.000000"),
        ("2024-05-13t15:00:00z", "2024-05-13 15:00:00.000000"),
        ("2024-05-13 15:00:00+02", "2024-05-13 13:00:00.000000"),
        ("2024-05-13 15:00:00-0230", "2024-05-13 17:30:00.000000"),
        ("2024-05-13 15:00:00 +02:00", "2024-05-13 13:00:00.000000"),
        ("2024-05-13 15:00:00 UTC", "2024-05-13 15:00:00.000000"),
        ("2024-05-13 15:00Z", "2024-05-13 15:00:00.000000"),
        (" 2024-05-13 15:00:00.5Z ", "2024-05-13 15:00:00.500000"),
        ("2024-05-13 15:00:00,123456Z", "2024-05-13 15:00:00.123456"),
        # Finer than a microsecond: rounded to the nearest, half up, even into the next second.
        ("2024-05-13 15:00:00.1234564999Z", TimeFault.FORM),
        ("2024-05-13 15:00:00.123456499Z", "2024-05-13 15:00:00.123456"),
        ("2024-05-13 15:00:00.1234565Z", "2024-05-13 15:00:00.123457"),
        ("2024-05-13 15:00:59.9999995Z", "2024-05-13 15:01:00.000000"),
        ("2024-05-13 24:00:00Z", "2024-05-14 00:00:00.000000"),
        ("2024-05-13 24:00:01Z", TimeFault.NO_SUCH),
        ("2024-05-13 24:00:00.1Z", TimeFault.NO_SUCH),
        ("2024-05-13 25:00:00Z", TimeFault.NO_SUCH),
        ("2024-05-13 15:60:00Z", TimeFault.NO_SUCH),
        ("2024-02-29 00:00:00Z", "2024-02-29 00:00:00.000000"),
        ("2024-02-30 00:00:00Z", TimeFault.NO_SUCH),
        ("2023-02-29 00:00:00Z", TimeFault.NO_SUCH),
        ("2024-13-01 00:00:00Z", TimeFault.NO_SUCH),
        ("2024-00-01 00:00:00Z", TimeFault.NO_SUCH),
        ("2024-01-00 00:00:00Z", TimeFault.NO_SUCH),
        ("2016-12-31 23:59:60Z", "2017-01-01 00:00:00.000000"),
        ("2017-01-01 00:59:60+01", "2017-01-01 00:00:00.000000"),
        ("2016-12-31 23:58:60Z", TimeFault.LEAP),
        ("2016-12-31 23:59:61Z", TimeFault.NO_SUCH),
        ("1900-01-01 00:00:00Z", "1900-01-01 00:00:00.000000"),
        ("1899-12-31 23:59:59Z", TimeFault.RANGE),
        ("2199-12-31 23:59:59.999999Z", "2199-12-31 23:59:59.999999"),
        ("2199-12-31 23:59:59.9999995Z", TimeFault.RANGE),
        ("2200-01-01 00:30:00+01", "2199-12-31 23:30:00.000000"),
        ("0000-01-01 00:00:00Z", TimeFault.RANGE),
        ("0001-01-01 00:00:00Z", TimeFault.RANGE),
        ("9999-12-31 23:59:59Z", TimeFault.RANGE),
        ("300000-01-01 00:00:00Z", TimeFault.FORM),
        ("2024-05-13 15:00:00+16:00", TimeFault.FORM),
        ("2024-05-13 15:00:00+02:60", TimeFault.FORM),
        ("2024-05-13 15Z", TimeFault.FORM),
        ("2024-05-13 15+02", TimeFault.FORM),
        ("2024-05-13", TimeFault.FORM),
        ("20240513T150000Z", "2024-05-13 15:00:00.000000"),
        ("20240513t1500+0230", "2024-05-13 12:30:00.000000"),
        ("20240513 150000.1234565 -02", "2024-05-13 17:00:00.123457"),
        ("20240513 15:00:00Z", "2024-05-13 15:00:00.000000"),
        ("20240230T150000Z", TimeFault.NO_SUCH),
        ("2024-05-13T150000Z", TimeFault.FORM),
        ("2024-0513T15:00:00Z", TimeFault.FORM),
        ("20240513T150000", TimeFault.NO_OFFSET),
        ("20240513T15Z", TimeFault.FORM),
        ("20240513150000Z", TimeFault.FORM),
        ("2024051T150000Z", TimeFault.FORM),
        ("2024-05-13 15+02:00", TimeFault.FORM),
        ("2024-05-13 15:00:00+1600", TimeFault.FORM),
        ("2024-05-13 15:00:00+23", TimeFault.FORM),
        ("2024-05-13 UTC 15:00:00 UTC", TimeFault.FORM),
        ("UTC", TimeFault.FORM),
        ("C", TimeFault.FORM),
        ("2023-02-29 15:00:00Z", TimeFault.NO_SUCH),
        ("9999-12-31 23:59:59.1234567Z", TimeFault.RANGE),
        ("2024/05/13 15:00:00Z", TimeFault.FORM),
        ("2024-05-13x15:00:00Z", TimeFault.FORM),
        ("2024-05-13 15:0a:00Z", TimeFault.FORM),
        ("2024-05-13 15:00:00\0Z", TimeFault.FORM),
        ("now", TimeFault.FORM),
        ("infinity", TimeFault.FORM),
        ("-infinity", TimeFault.FORM),
        ("1715612400", TimeFault.FORM),
        ("", TimeFault.EMPTY),
        ("   ", TimeFault.EMPTY),
        ("2024-05-13 15:00:00", TimeFault.NO_OFFSET),
        ("2024-05-13T15:00:00.123", TimeFault.NO_OFFSET),
    ],
)
def test_iso(text: str, expected: str | TimeFault) -> None:
    assert read(Clock("iso", None), text) == [expected]


def test_forms_may_mix_in_one_column() -> None:
    texts = [
        "2024-05-13T15:00:00Z",
        "2024-05-13 17:00:00+02",
        "2024-05-13 17:00:00",
        None,
        "2024-05-13 17:00:00+0200",
        "2024-05-13 15:00:00.0",
        b"\xff" * 20,
        "2024-05-13 20:45:00+05:45",
    ]
    found = read(Clock("iso", "Europe/Berlin"), *texts)
    three = "2024-05-13 15:00:00.000000"
    one = "2024-05-13 13:00:00.000000"
    assert found == [three, three, three, TimeFault.EMPTY, three, one, TimeFault.FORM, three]


# One piece of each: most are times, and some are only nearly.
PIECES = [
    ["2024", "1600", "2199", "0000", "9999", "24"], ["-", "-", "-", "", "/"],
    ["02", "12", "11", "13", "00"], ["-", "-", "-", ""], ["01", "28", "29", "30", "31", "00", "1"],
    ["T", "T", " ", "t", "", "  "], ["00", "15", "23", "24"], [":", ":", ":", ""],
    ["00", "59", "60", ""], ["", ":00", ":59", ":59", ":60", ":61", "00", ":"],
    ["", "", ".5", ",5", ".123456", ".9999995", ".123456789", ".1234567891", "."],
    ["", "Z", "Z", "z", "+02:00", "-0230", "+15:59", "+16:00", "+2360", "-23", "+02", " UTC",
     "UTC", " Z", " +02:00", "+2"],
]  # fmt: skip
written = st.tuples(*map(st.sampled_from, PIECES)).map("".join) | st.datetimes(
    datetime(1590, 1, 1), datetime(2300, 1, 1)
).map(lambda time: f"{time.isoformat()}Z")


@settings(max_examples=examples(200))
@given(st.lists(written, min_size=1, max_size=6), st.sampled_from([1, 40]))
def test_arrow_reads_nothing_but_what_the_pattern_says(texts: list[str], repeats: int) -> None:
    """Whatever stands beside a time, it is read as if it stood alone, by the pattern."""
    column, clock = Texts(pa.array(texts * repeats, pa.string())), Clock("iso", "Europe/Berlin")
    micros, faults = clock.settle(iso.read(column))
    expected, expected_faults = clock.settle(iso.read_plainly(column))
    assert faults.tolist() == expected_faults.tolist()
    assert micros[faults == 0].tolist() == expected[faults == 0].tolist()
    # Those alone, one by one, are all that there is to know.
    alone = [read(clock, text)[0] for text in texts]
    assert read(clock, *texts) == alone


def test_most_times_are_read_by_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not slowly, one bad value among them or not."""
    seen = []

    def counted(texts: Texts) -> Moments:
        seen.append(len(texts))
        return read_plainly(texts)

    read_plainly = iso.read_plainly
    monkeypatch.setattr(iso, "read_plainly", counted)
    for text in ("2024-05-13T15:00:00Z", "2024-05-13 15:00:00.123456789+02:00",
                 "2024-05-13 15:00", "2024-05-13 15:00:00.5 UTC"):  # fmt: skip
        iso.read(Texts(pa.array([text] * 500)))
        assert sum(seen) == 0
    iso.read(Texts(pa.array(["2024-05-13T15:00:00Z", "2024-05-13 15:00:00+02"] * 50 + ["never"])))
    mixed = ["2024-05-13T15:00:00Z", "2024-05-13 15:00:00"]
    iso.read(Texts(pa.array([*mixed * 50, "2024-02-30 15:00Z"])))
    assert seen == [51, 1]


@given(moments, st.sampled_from([None, 0, 120, -570, 345]), st.sampled_from(["T", " "]))
def test_iso_agrees_with_python(time: datetime, minutes: int | None, between: str) -> None:
    zone = None if minutes is None else timezone(timedelta(minutes=minutes))
    text = time.replace(tzinfo=zone).isoformat(sep=between)
    (found,) = Clock("iso", "UTC").read(pa.array([text]))[0].tolist()
    assert found == micros_of(time.replace(tzinfo=zone or UTC))


@pytest.mark.parametrize(
    ("zone", "text", "expected"),
    [
        ("Europe/Berlin", "2024-03-31 01:59:59.999999", "2024-03-31 00:59:59.999999"),
        ("Europe/Berlin", "2024-03-31 02:00:00", TimeFault.GAP),
        ("Europe/Berlin", "2024-03-31 02:59:59.999999", TimeFault.GAP),
        ("Europe/Berlin", "2024-03-31 03:00:00", "2024-03-31 01:00:00.000000"),
        ("Europe/Berlin", "2024-10-27 01:59:59", "2024-10-26 23:59:59.000000"),
        ("Europe/Berlin", "2024-10-27 02:00:00", TimeFault.TWICE),
        ("Europe/Berlin", "2024-10-27 02:59:59", TimeFault.TWICE),
        ("Europe/Berlin", "2024-10-27 02:30:00+01:00", "2024-10-27 01:30:00.000000"),
        ("Europe/Berlin", "2024-10-27 03:00:00", "2024-10-27 02:00:00.000000"),
        # Behind the last change that zone files list one by one.
        ("Europe/Berlin", "2100-07-01 12:00:00", "2100-07-01 10:00:00.000000"),
        ("Australia/Lord_Howe", "2024-10-06 02:15:00", TimeFault.GAP),
        ("Australia/Lord_Howe", "2024-10-06 02:30:00", "2024-10-05 15:30:00.000000"),
        ("UTC", "2024-03-31 02:30:00", "2024-03-31 02:30:00.000000"),
    ],
)
def test_wall_clocks(zone: str, text: str, expected: str | TimeFault) -> None:
    assert read(Clock("iso", zone), text) == [expected]


@given(st.lists(moments, min_size=1, max_size=4), st.sampled_from(ZONES))
@example([datetime(2024, 10, 27, 2, 30)], "Europe/Berlin")
@example([datetime(2024, 3, 31, 2, 30), datetime(1902, 1, 1)], "Europe/Berlin")
def test_zones_agree_with_python(times: list[datetime], name: str) -> None:
    zone = ZoneInfo(name)
    micros, faults = Clock("iso", name).read(pa.array([time.isoformat(sep=" ") for time in times]))
    for time, found, fault in zip(times, micros.tolist(), faults.tolist(), strict=True):
        sides = {micros_of(time.replace(tzinfo=zone, fold=fold)) for fold in (0, 1)}
        exist = {
            side
            for side in sides
            if (EPOCH + timedelta(microseconds=side)).astimezone(zone).replace(tzinfo=None) == time
        }
        if len(exist) == 1:
            assert (found, fault) == (exist.pop(), 0)
        else:
            assert fault == (TimeFault.TWICE if exist else TimeFault.GAP)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("first", "2024-10-27 00:30:00.000000"),
        ("second", "2024-10-27 01:30:00.000000"),
        ("reject", TimeFault.TWICE),
    ],
)
def test_the_hour_that_clocks_repeat_is_what_was_asked_for(
    choice: RepeatedHour, expected: str | TimeFault
) -> None:
    clock = Clock("iso", "Europe/Berlin", choice)
    times = ["2024-10-27 02:30:00", "2024-10-27 03:00:00", "2024-03-31 02:30:00"]
    assert read(clock, *times) == [expected, "2024-10-27 02:00:00.000000", TimeFault.GAP]
    assert read(clock, "2024-10-27 02:30:00+02:00") == ["2024-10-27 00:30:00.000000"]


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        ("+02:00", "2024-10-27 00:30:00.000000"),
        ("+0200", "2024-10-27 00:30:00.000000"),
        (" +02 ", "2024-10-27 00:30:00.000000"),
        ("-09:30", "2024-10-27 12:00:00.000000"),
        ("+00:00", "2024-10-27 02:30:00.000000"),
    ],
)
def test_a_zone_may_be_an_offset_in_summer_and_winter(offset: str, expected: str) -> None:
    assert read(Clock("iso", offset), "2024-10-27 02:30:00") == [expected]
    (summer,) = read(Clock("%d.%m.%Y %H:%M", offset), "27.03.2024 02:30")
    assert str(summer)[10:] == expected[10:]


@pytest.mark.parametrize("zone", ["+2", "+16:00", "+02:60", "2:00", "Europe/Nowhere", "", "CEST+2"])
def test_what_is_no_zone_is_refused(zone: str) -> None:
    with pytest.raises(UsageError, match=r"is not a known zone; .*Europe/Berlin, or .*\+02:00"):
        Clock("iso", zone)


@pytest.mark.parametrize(
    ("unit", "text", "expected"),
    [
        ("epoch_s", "1715612400", "2024-05-13 15:00:00.000000"),
        ("epoch_s", " 1715612400.25 ", "2024-05-13 15:00:00.250000"),
        ("epoch_s", "1715612400.", "2024-05-13 15:00:00.000000"),
        ("epoch_s", "1715612400.1234565", "2024-05-13 15:00:00.123457"),
        ("epoch_s", "+1", "1970-01-01 00:00:01.000000"),
        ("epoch_s", "-1.5", "1969-12-31 23:59:58.500000"),
        ("epoch_s", "0", "1970-01-01 00:00:00.000000"),
        ("epoch_ms", "1715612400123", "2024-05-13 15:00:00.123000"),
        ("epoch_ms", "1715612400123.4565", "2024-05-13 15:00:00.123457"),
        ("epoch_us", "1715612400123456", "2024-05-13 15:00:00.123456"),
        ("epoch_us", "1715612400123456.5", "2024-05-13 15:00:00.123457"),
        ("epoch_ns", "1715612400123456500", "2024-05-13 15:00:00.123457"),
        ("epoch_ns", "1715612400123456499.9", "2024-05-13 15:00:00.123456"),
        ("epoch_ns", "-1000", "1969-12-31 23:59:59.999999"),
        ("epoch_ns", "8999999999999999999", TimeFault.RANGE),
        ("epoch_us", "1715612400123456789", TimeFault.RANGE),
        ("epoch_s", "1715612400123", TimeFault.RANGE),
        ("epoch_s", "-99999999999", TimeFault.RANGE),
        ("epoch_s", "7258118400", TimeFault.RANGE),
        ("epoch_s", "9" * 30, TimeFault.FORM),
        ("epoch_s", "1.7e9", TimeFault.FORM),
        ("epoch_s", "0x10", TimeFault.FORM),
        ("epoch_s", "nan", TimeFault.FORM),
        ("epoch_s", "1,5", TimeFault.FORM),
        ("epoch_s", "", TimeFault.EMPTY),
    ],
)
def test_epochs(unit: str, text: str, expected: str | TimeFault) -> None:
    clock = Clock(unit, None)
    assert read(clock, text) == [expected]
    # The other way through the code: beside a value that is no plain integer.
    assert read(clock, text, "1.5", None)[0] == expected


@given(st.decimals(-(10**9), 7 * 10**9, places=9), st.sampled_from([0, 3, 6]))
def test_epochs_agree_with_decimals(number: Decimal, places: int) -> None:
    unit = {0: "epoch_s", 3: "epoch_ms", 6: "epoch_us"}[places]
    text = f"{number.scaleb(places):f}"
    (found,) = Clock(unit, None).read(pa.array([text]))[0].tolist()
    assert found == int(number.scaleb(6).quantize(Decimal(1), ROUND_HALF_UP))


@pytest.mark.parametrize(
    ("time_format", "text", "expected"),
    [
        ("%d.%m.%Y %H:%M:%S", "13.05.2024 17:00:00", "2024-05-13 15:00:00.000000"),
        ("%d.%m.%Y %H:%M:%S", "3.5.2024 17:00:00", "2024-05-03 15:00:00.000000"),
        ("%m/%d/%y %I:%M:%S %p", "05/13/24 05:00:00 PM", "2024-05-13 15:00:00.000000"),
        ("%m/%d/%y %I:%M:%S %p", "05/13/24 12:00:00 am", "2024-05-12 22:00:00.000000"),
        ("%m/%d/%y %I:%M:%S %p", "05/13/24 13:00:00 PM", TimeFault.NO_SUCH),
        ("%Y-%m-%dT%H:%M:%S.%f%z", "2024-05-13T17:00:00.5+02:00", "2024-05-13 15:00:00.500000"),
        ("%Y-%m-%dT%H:%M:%S.%f%z", "2024-05-13T15:00:00.5Z", "2024-05-13 15:00:00.500000"),
        ("%d %b %Y %H:%M:%S %Z", "13 MAY 2024 15:00:00 GMT", "2024-05-13 15:00:00.000000"),
        ("%A, %d %B %Y %R", "Monday, 13 May 2024 17:00", "2024-05-13 15:00:00.000000"),
        ("%Y%j%H%M%S", "2024134170000", "2024-05-13 15:00:00.000000"),
        ("%Y%j%H%M%S", "2023366170000", TimeFault.NO_SUCH),
        ("%Y-%m-%d", "2024-05-13", "2024-05-12 22:00:00.000000"),
        ("%Y-%m-%d %H:%M", "2024-03-31 02:30", TimeFault.GAP),
        ("%Y-%m-%d %H:%M", "2024-10-27 02:30", TimeFault.TWICE),
        ("%Y-%m-%d %H:%M", "2024-02-30 02:30", TimeFault.NO_SUCH),
        ("%Y-%m-%d %H:%M", "0001-02-03 02:30", TimeFault.RANGE),
        ("%Y-%m-%d %H:%M", "2024-05-13 17:00 ", "2024-05-13 15:00:00.000000"),
        ("%Y-%m-%d %H:%M", "2024-05-13 17:00:01", TimeFault.FORM),
        ("%Y-%m-%d %H:%M", "", TimeFault.EMPTY),
        ("%Y.%m", "2024x05", UsageError),
        ("%Y+%m+%d (%H)", "2024+05+13 (17)", "2024-05-13 15:00:00.000000"),
        ("%Y%%%m%%%d", "2024%05%13", "2024-05-12 22:00:00.000000"),
    ],
)
def test_strptime(time_format: str, text: str, expected: str | type[UsageError]) -> None:
    if isinstance(expected, type):
        with pytest.raises(UsageError):
            Clock(time_format, "Europe/Berlin")
    else:
        assert read(Clock(time_format, "Europe/Berlin"), text, b"\xff") == [
            expected,
            TimeFault.FORM,
        ]


@given(
    moments,
    st.sampled_from(
        ["%Y-%m-%d %H:%M:%S.%f", "%d/%b/%Y:%H:%M:%S", "%B %d %Y %I:%M:%S %p", "%y%m%d%H%M%S", "%c"]
    ),
)
def test_strptime_agrees_with_python(time: datetime, time_format: str) -> None:
    if time_format == "%c":
        with pytest.raises(UsageError, match="%c"):
            Clock(time_format, "UTC")
        return
    if "%y" in time_format:
        time = time.replace(year=1970 + time.year % 90)
    text = time.strftime(time_format)
    expected = datetime.strptime(text, time_format).replace(tzinfo=UTC)
    (found,) = Clock(time_format, "UTC").read(pa.array([text]))[0].tolist()
    assert found == micros_of(expected)


@pytest.mark.parametrize("blank", "\u00a0\u2007\u2009\u202f")
@pytest.mark.parametrize(
    ("time_format", "text"),
    [
        ("%m/%d/%Y, %I:%M:%S %p", "5/13/2024, 3:00:00{}PM"),
        ("%d.%m.%Y %H:%M", "13.05.2024{}15:00"),
        ("iso", "2024-05-13{}15:00:00Z"),
        ("iso", "2024-05-13T15:00:00{}Z"),
        ("iso", "{}2024-05-13T15:00:00Z{}"),
        ("epoch_s", "{}1715612400"),
    ],
)
def test_what_looks_like_a_blank_is_one(time_format: str, text: str, blank: str) -> None:
    written = text.replace("{}", blank)
    clock = Clock(time_format, "UTC")
    expected = "2024-05-13 15:00:00.000000"
    assert read(clock, written, text.replace("{}", " "), b"\xff", f"x{blank}") == [
        expected, expected, TimeFault.FORM, TimeFault.FORM,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "time_format",
    ["", "rfc3339", "%Q", "%Y-%m-%d %", "%H:%M", "%Y-%m-%d %I:%M", "%Y %y %m %d", "%Y-%m-%d %d"],
)
def test_unusable_formats_are_refused(time_format: str) -> None:
    with pytest.raises(UsageError, match="--time-format"):
        Clock(time_format, None)


@pytest.mark.parametrize(
    ("zone", "time_format", "text", "says"),
    [
        (None, "iso", "2024-05-13 15:00:00", "--timezone"),
        ("Europe/Berlin", "iso", "2024-03-31 02:30:00", "put forward"),
        ("Europe/Berlin", "iso", "2024-10-27 02:30:00", "ambiguous in Europe/Berlin"),
        (None, "iso", "1715612400", "epoch_s"),
        (
            None,
            "iso",
            "1715612400",
            "2024-05-13T15:00:00Z if these are seconds: --time-format epoch_s",
        ),
        (None, "iso", "17", "see --time-format epoch_s, epoch_ms, epoch_us, epoch_ns"),
        (None, "epoch_s", "1715612400123", "are milliseconds: --time-format epoch_ms"),
        (None, "epoch_ms", "1715612400123456", "are microseconds: --time-format epoch_us"),
        (None, "epoch_us", "1715612400123456789", "are nanoseconds: --time-format epoch_ns"),
        (None, "epoch_us", "9" * 25, "outside the years 1900 to 2199"),
        (None, "%Y%m%dT%H%M%SZ", "20240513T150000Z", "%z reads it"),
        (None, "iso", "2024-05-13", "without a time of day"),
        (None, "iso", "300000-01-01 00:00:00", "outside the years 1900 to 2199"),
        (None, "iso", "now", "not a time"),
        (None, "iso", "", "empty"),
        (None, "iso", "x" * 1000, "..."),
        (None, "epoch_s", "x", "not a number"),
        (None, "%Y-%m-%d", "x", "%Y-%m-%d"),
    ],
)
def test_reasons_help(zone: str | None, time_format: str, text: str, says: str) -> None:
    clock = Clock(time_format, zone)
    _, (fault,) = clock.read(pa.array([text]))
    reason = clock.reason(fault, text)
    assert says in reason
    assert len(reason) < 200
