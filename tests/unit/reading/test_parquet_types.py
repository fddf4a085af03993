"""Every type that a Parquet file may have, in every place: exact, or rejected with the reason.

What is expected comes from Python's own values of the same table.
"""

from __future__ import annotations

import base64
import io
import json
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from loader.errors import InputError
from loader.reading.limits import Limits
from tests.unit.conftest import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.conftest import Read

NAME = "events.parquet"
NOW = datetime(2024, 5, 13, 15, 0, 0, 123456, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ROWS = 7
GAP = 2
# Old, new, before 1970, and the last that there may be.
MOMENTS = [
    NOW,
    datetime(1900, 1, 1, tzinfo=UTC),
    None,
    datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2199, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    EPOCH,
    datetime(2024, 2, 29, 12, tzinfo=UTC),
]
IDS = [uuid.UUID(int=number) for number in range(ROWS)]


def stored(table: pa.Table, **options: Any) -> bytes:
    """A file of several row groups."""
    output = io.BytesIO()
    pq.write_table(table, output, row_group_size=3, **options)
    return output.getvalue()


def with_gap(values: list[Any], kind: pa.DataType | None = None) -> pa.Array[Any]:
    """An array in which one value is null."""
    return pa.array([None if at == GAP else one for at, one in enumerate(values)], kind)


def as_dictionary(values: pa.Array[Any]) -> Any:
    """The same values, each with an entry of its own in a dictionary."""
    at = pa.array([None if number == GAP else number for number in range(ROWS)], pa.int32())
    return pa.DictionaryArray.from_arrays(at, values.fill_null(values[0]))


def decimals(texts: str) -> list[Any]:
    return [Decimal(one) for one in texts.split()]


def table(**columns: Any) -> pa.Table:
    base = {"time": pa.array([NOW] * ROWS), "type": ["car"] * ROWS, "source": ["north"] * ROWS}
    return pa.table({**base, **columns})


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "-08:00", "Mars/Phobos", None])
@pytest.mark.parametrize("is_dictionary", [False, True])
def test_instants(read: Read, unit: str, zone: str | None, is_dictionary: bool) -> None:
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    micros = [
        None if one is None else (one - EPOCH) // timedelta(microseconds=1) for one in MOMENTS
    ]
    ticks = [None if one is None else one * per_second // 10**6 for one in micros]
    times: Any = pa.array(ticks, pa.int64()).cast(pa.timestamp(unit, zone))
    if is_dictionary:
        times = as_dictionary(times)
    options = {"timezone": "UTC"} if zone is None else {}
    found = read(stored(table(time=times)), NAME, **options)
    expected = [
        EPOCH + timedelta(microseconds=one * 10**6 // per_second)
        for one in ticks
        if one is not None
    ]
    assert [event[0] for event in found.events] == [shown(one) for one in expected]
    assert (found.lines, found.reasons) == ([GAP + 1], ["the value is null"])


@pytest.mark.parametrize("version", ["1.0", "2.6"])
def test_old_instants_of_96_bits(read: Read, version: str) -> None:
    # Nanoseconds in 64 bits wrap in the year 2262, and turn 2608 into 2023.
    moments = [*MOMENTS[:-1], datetime(2608, 6, 1, tzinfo=UTC)]
    times = pa.array([one and one.replace(tzinfo=None) for one in moments], pa.timestamp("us"))
    content = stored(table(time=times), use_deprecated_int96_timestamps=True, version=version)
    found = read(content, NAME, timezone="UTC")
    assert [event[0] for event in found.events] == [shown(one) for one in moments[:-1] if one]
    assert found.lines == [GAP + 1, ROWS]
    assert "outside the years" in found.reasons[1]


SECONDS_WITH_MICROS = decimals("0 1.5 2 -1 1715612400.123456 0.000001 3")
SECONDS = [0, 1, 2, -1, 1_715_612_400, 86_400, 4_102_444_800]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.int8(), [0, 1, 2, -1, 127, -128, 3]),
        (pa.int16(), [0, 1, 2, -1, 32767, -32768, 3]),
        (pa.int32(), [*SECONDS[:-1], 2**31 - 1]),
        (pa.int64(), SECONDS),
        (pa.uint8(), [0, 1, 2, 3, 255, 4, 5]),
        (pa.uint32(), [0, 1, 2, 3, 2**32 - 1, 4, 5]),
        (pa.uint64(), [0, 1, 2, 3, 2**32, 4, 5]),
        (pa.float16(), [0.0, 1.5, 2.0, -1.25, 1024.0, 0.5, 3.0]),
        (pa.float32(), [0.0, 1.5, 2.0, -1.25, 65536.5, 0.5, 3.0]),
        (pa.float64(), [0.0, 1.5, 2.0, -1.25, 1715612400.123456, 0.000001, 3.0]),
        (pa.decimal128(20, 6), SECONDS_WITH_MICROS),
        (pa.decimal256(50, 6), SECONDS_WITH_MICROS),
        (pa.decimal32(9, 3), decimals("0 1.5 2 -1 123456.789 0.001 3")),
        (pa.string(), ["0", "1.5", "2", "-1", "1715612400.123456", "0.000001", "3"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_dictionary", [False, True])
def test_numbers_of_seconds(
    read: Read, kind: pa.DataType, values: list[Any], is_dictionary: bool
) -> None:
    times: Any = with_gap(values, kind)
    if is_dictionary:
        times = as_dictionary(times)
    found = read(stored(table(time=times)), NAME, time_format="epoch_s")
    expected = [
        shown(EPOCH + timedelta(microseconds=int(Decimal(str(one)) * 10**6)))
        for at, one in enumerate(values)
        if at != GAP
    ]
    assert [event[0] for event in found.events] == expected
    assert (found.lines, found.reasons) == ([GAP + 1], ["the value is null"])


TEXTS = ["a", "ü", "x", "", 'q"\\', " b ", "c" * 20]
DAYS = [
    date(2024, 2, 29),
    date(1900, 1, 1),
    NOW.date(),
    date(2199, 12, 31),
    *[date(2000, 1, 1)] * 3,
]
WHOLE = [0, 1, 2, -1, 127, -128, 3]
DECIMALS = decimals("1.50 100.00 0.00 -0.01 123456789012345678901234.56 2.00 3.10")
FLOATS = [1.1, 82.0, 0.0, -0.25, 1e22, 5e-324, 0.1]
MOMENTS_OR_NOW = [one or NOW for one in MOMENTS]


def exact(value: Any) -> Any:
    return value


def number(value: Any) -> Any:
    return Decimal(str(value))


# A type, its values, and how JSON has them.
KINDS: dict[str, tuple[pa.DataType, list[Any], Callable[[Any], Any]]] = {
    "string": (pa.string(), TEXTS, exact),
    "large_string": (pa.large_string(), TEXTS, exact),
    "string_view": (pa.string_view(), TEXTS, exact),
    "binary": (pa.binary(), [one.encode() for one in TEXTS], bytes.decode),
    "large_binary": (pa.large_binary(), [one.encode() for one in TEXTS], bytes.decode),
    "binary_view": (pa.binary_view(), [one.encode() for one in TEXTS], bytes.decode),
    "fixed": (pa.binary(3), [b"abc", b"x y", b"   ", b"123", b"<&>", b"{} ", b"zzz"], bytes.decode),
    "int8": (pa.int8(), WHOLE, number),
    "int64": (pa.int64(), [*WHOLE[:-2], 2**63 - 1, -(2**63)], number),
    "uint64": (pa.uint64(), [0, 1, 2, 3, 2**64 - 1, 2**53 + 1, 4], number),
    "float32": (pa.float32(), [1.5, 82.0, 0.0, -0.25, 1024.0, 3.0, 0.5], number),
    "float16": (pa.float16(), [1.5, 82.0, 0.0, -0.25, 1024.0, 3.0, 0.5], number),
    "float64": (pa.float64(), FLOATS, number),
    "decimal32": (pa.decimal32(9, 2), decimals("1.50 1 0 -1 2 3 4"), number),
    "decimal128": (pa.decimal128(38, 2), DECIMALS, number),
    "decimal256": (pa.decimal256(60, 2), DECIMALS, number),
    "bool": (pa.bool_(), [True, False] * 3 + [True], exact),
    "date32": (pa.date32(), DAYS, str),
    "date64": (pa.date64(), DAYS, str),
    "time32": (pa.time32("ms"), [time(1, 2, 3), time(0)] * 3 + [time(23, 59)],
               lambda one: f"{one}.000"),
    "instant": (pa.timestamp("us", "Europe/Berlin"), MOMENTS_OR_NOW,
                lambda one: f"{one:%Y-%m-%d %H:%M:%S.%f}Z"),
    "moment": (pa.timestamp("us"), [one.replace(tzinfo=None) for one in MOMENTS_OR_NOW],
               lambda one: f"{one:%Y-%m-%d %H:%M:%S.%f}"),
    "uuid": (pa.uuid(), [one.bytes for one in IDS], lambda one: str(uuid.UUID(bytes=one))),
    "list": (pa.list_(pa.int64()), [[1], [], [2], [None, 3], [4], [5], [6]], exact),
    "large_list": (pa.large_list(pa.string()), [["a"], [], ["b"], [None, 'ü"'], ["c"]] + [[]] * 2,
                   exact),
    "fixed_list": (pa.list_(pa.int8(), 2), [[1, 2]] * ROWS, exact),
    "struct": (pa.struct([("a", pa.float64()), ("b", pa.decimal128(5, 2)), ("c", pa.binary())]),
               [{"a": 0.1, "b": Decimal("1.50"), "c": b"x"}, {"a": None, "b": None, "c": None}] * 3
               + [{"a": 2.0, "b": Decimal("-0.01"), "c": "ü".encode()}],
               lambda one: {"a": one["a"] and number(one["a"]), "b": one["b"],
                            "c": one["c"] and one["c"].decode()}),
    "map": (pa.map_(pa.string(), pa.int64()), [[("a", 1)], []] * 3 + [[("b", 2), ("b", 3)]],
            lambda one: [list(pair) for pair in one]),
}  # fmt: skip


def column_of(kind: str) -> pa.Array[Any]:
    arrow, values, _ = KINDS[kind]
    if isinstance(arrow, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(arrow, with_gap(values, arrow.storage_type))
    return with_gap(values, arrow)


@pytest.mark.parametrize("kind", KINDS)
def test_attributes(read: Read, kind: str) -> None:
    _, values, expected = KINDS[kind]
    found = read(stored(table(extra=column_of(kind))), NAME, attributes=("extra",))
    assert len(found.events) == ROWS
    read_back = [
        json.loads(one, parse_float=Decimal, parse_int=Decimal).get("extra")
        for one in found.attributes
    ]
    assert read_back == [None if at == GAP else expected(one) for at, one in enumerate(values)]


@pytest.mark.parametrize("column", ["type", "source"])
@pytest.mark.parametrize("kind", KINDS)
def test_names(read: Read, kind: str, column: str) -> None:
    arrow, values, expected = KINDS[kind]
    content = stored(table(**{column: column_of(kind)}))
    if pa.types.is_nested(arrow):
        with pytest.raises(InputError, match=f'"{column}" holds .*, not names'):
            read(content, NAME)
        return
    found = read(content, NAME)
    names = [event[1 if column == "type" else 2] for event in found.events]
    wanted = [expected(one) for at, one in enumerate(values) if at != GAP]
    if expected is number:
        # 82.0 is 82, and no digit is lost.
        assert [Decimal(name) for name in names] == wanted
        assert not any(name.endswith(".0") for name in names)
    elif kind == "bool":
        assert names == [str(one).lower() for one in wanted]
    else:
        assert names == [one.strip() for one in wanted if one.strip()]
    assert GAP + 1 in found.lines
    assert len(found.lines) + len(names) == ROWS


NANOSECONDS = pa.array([1] + [0] * (ROWS - 1), pa.int64()).cast(pa.timestamp("ns"))


@pytest.mark.parametrize(
    "nested",
    [
        pa.StructArray.from_arrays([pa.array([b"\xff"] + [b"x"] * (ROWS - 1))], ["a"]),
        pa.StructArray.from_arrays([pa.array(["\0"] + ["x"] * (ROWS - 1))], ["a"]),
        pa.StructArray.from_arrays([NANOSECONDS], ["a"]),
        pa.StructArray.from_arrays([NANOSECONDS.cast(pa.int64()).cast(pa.duration("ns"))], ["a"]),
    ],
)
def test_nested_values_that_json_cannot_hold_are_rejected(
    read: Read, nested: pa.Array[Any]
) -> None:
    found = read(stored(table(extra=nested)), NAME, attributes=("extra",))
    assert (found.lines, len(found.attributes)) == ([1], ROWS - 1)
    assert "cannot" in found.reasons[0]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_does_not_have_are_text(read: Read, number: float) -> None:
    """The database would refuse the whole load."""
    columns = {"flat": pa.array([number] * ROWS), "deep": pa.array([{"a": [number]}] * ROWS)}
    found = read(stored(table(**columns)), NAME, attributes=tuple(columns))

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    text = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(number)]
    assert json.loads(found.attributes[0], parse_constant=refuse) == {
        "flat": text,
        "deep": {"a": [text]},
    }


def test_rejected_rows_are_shown_exactly(read: Read) -> None:
    columns = {
        "time": pa.array([2**64 - 1] * ROWS, pa.uint64()),
        "type": pa.array(["ü"] * ROWS, pa.string_view()),
        "source": with_gap([Decimal("1.50")] * ROWS),
    }
    found = read(
        stored(table(**columns)), NAME, time_format="epoch_s", limits=Limits(rejects_kept=1)
    )
    assert found.reasons == ['"18446744073709551615" lies outside the years 1900 to 2199']
    assert json.loads(found.raws[0]) == {"time": 2**64 - 1, "type": "ü", "source": "1.50"}


class Keys(pe.KmsClient):
    """Keeps no key safe: wraps one by leaving it as it is."""

    def __init__(self, _: pe.KmsConnectionConfig) -> None:
        super().__init__()

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> str:  # noqa: ARG002
        return base64.b64encode(key_bytes).decode()

    # The stubs of pyarrow say that it returns a str.
    def unwrap_key(self, wrapped_key: str, master_key_identifier: str) -> Any:  # noqa: ARG002
        return base64.b64decode(wrapped_key)


@pytest.mark.parametrize("plaintext_footer", [True, False])
def test_an_encrypted_file_is_said_to_be_one(read: Read, plaintext_footer: bool) -> None:
    properties = pe.CryptoFactory(Keys).file_encryption_properties(
        pe.KmsConnectionConfig(),
        pe.EncryptionConfiguration(
            footer_key="one", column_keys={"two": ["type"]}, plaintext_footer=plaintext_footer
        ),
    )
    with pytest.raises(InputError, match=r"events\.parquet: is encrypted") as caught:
        read(stored(table(), encryption_properties=properties), NAME)
    assert "\n" not in str(caught.value)
