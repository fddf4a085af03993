"""Paths into nested inputs: the same in JSON, in Parquet, and beside a slow reader."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loader.errors import InputError
from loader.reading import fields, objects, unpack
from loader.reading.in_memory import EventsInMemory
from loader.reading.limits import Limits
from loader.reading.mapping import Mapping
from tests.conftest import examples

if TYPE_CHECKING:
    from tests.unit.conftest import Read

TIME = "2024-01-01T08:00:00Z"
MOMENT = "2024-01-01 08:00:00"
IMAGES: dict[str, Any] = {
    "time_column": "images[].datetime",
    "type_column": "images[].detections[].category",
    "source_column": "info.camera",
}


def image(*categories: str | None, datetime: str = TIME) -> dict[str, Any]:
    return {"datetime": datetime, "detections": [{"category": one} for one in categories]}


def document(*images: Any) -> dict[str, Any]:
    return {"images": list(images), "info": {"camera": "gate"}}


def as_parquet(*rows: dict[str, Any]) -> bytes:
    output = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), output)
    return output.getvalue()


def as_json(*rows: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


WRITERS = {"a.ndjson": as_json, "a.parquet": as_parquet}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("time", ("time",)),
        ("after.start_time", ("after", "start_time")),
        (r"after\.start.time", ("after.start", "time")),
        ("images[].detections[].category", ("images", None, "detections", None, "category")),
        ("times[]", ("times", None)),
        ("a[][].b", ("a", None, None, "b")),
        ("a[].b[0][12].c", ("a", None, "b", 0, 12, "c")),
        (r"tags\[]", ("tags[]",)),
        (r"C:\dir", ("C:\\dir",)),
        # What is no path is a name.
        *((name, (name,)) for name in ("", ".", "a..b", "a.", ".a", "[]", "[].a", "a[-1]", "a[]b")),
    ],
)
def test_a_path_is_what_it_says_and_all_else_is_a_name(name: str, path: fields.Path) -> None:
    assert fields.parse(name) == path
    assert len(path) == 1 or fields.parse(fields.shown(path)) == path


@pytest.mark.parametrize("name", WRITERS)
def test_each_item_is_an_event_with_what_stands_above_it(read: Read, name: str) -> None:
    rows = [document(image("1", "2"), image(), image("3")), document(image("4"))]
    found = read(WRITERS[name](*rows), name, **IMAGES, attributes=("info", "info.camera"))
    assert found.events == [(MOMENT, one, "gate") for one in "1234"]
    above = {"info": {"camera": "gate"}, "info.camera": "gate"}
    assert [json.loads(one) for one in found.attributes] == [above] * 4


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_missing_rejects_the_item_and_says_where_it_should_be(
    read: Read, name: str
) -> None:
    bad = [
        image(None),
        image("1", datetime="25:00"),
        {"datetime": TIME, "detections": None},
        image("1", None),
    ]
    rows = [document(*bad, image("5")), {"images": None, "info": {"camera": "gate"}}]
    found = read(WRITERS[name](*rows), name, **IMAGES)
    assert found.events == [(MOMENT, "1", "gate"), (MOMENT, "5", "gate")]
    assert found.lines == [1, 1, 1, 1, 2]
    assert [(reject.column_name, reject.reason) for reject in found.rejects] == [
        (IMAGES["type_column"], "the value of images[0].detections[0].category is null"),
        (IMAGES["time_column"], '"25:00" is not a time such as 2024-05-13T15:00:00Z; see '
            "--time-format"),
        (IMAGES["type_column"], "images[2].detections is null, not an array"),
        (IMAGES["type_column"], "the value of images[3].detections[1].category is null"),
        (IMAGES["time_column"], "images is null, not an array"),
    ]  # fmt: skip
    # What is kept is a document with this item alone, which the same options read again.
    again = read(b"\n".join(found.raws), "a.ndjson", **IMAGES)
    assert (again.events, again.rows_rejected) == ([], 5)
    mended = [raw.replace(b'"category": null', b'"category":"6"') for raw in found.raws]
    assert len(read(b"\n".join(mended), "a.ndjson", **IMAGES).events) == 2


@pytest.mark.parametrize("name", WRITERS)
def test_a_key_that_has_a_dot_comes_before_what_a_path_leads_to(read: Read, name: str) -> None:
    rows = [{"a.b": "car", "a": {"b": "van"}, "time": TIME, "source": "gate"}]
    found = read(WRITERS[name](*rows), name, type_column="a.b", attributes=("a.b", r"a\.b"))
    assert found.events == [(MOMENT, "car", "gate")]
    assert json.loads(found.attributes[0]) == {"a.b": "car", r"a\.b": "car"}


def test_each_line_of_json_has_its_own_keys(read: Read) -> None:
    rows: list[dict[str, Any]] = [
        {"a.b": "car"},
        {"a": {"b": "van"}},
        {"a.b": None, "a": {"b": "bus"}},
    ]
    content = as_json(*({**row, "time": TIME, "source": "gate"} for row in rows))
    found = read(content, "a.ndjson", type_column="a.b", attributes=("a.b",))
    assert [kind for _, kind, _ in found.events] == ["car", "van", "bus"]
    assert [json.loads(one)["a.b"] for one in found.attributes] == ["car", "van", "bus"]
    numbers = content.replace(b'"van"', b"7").replace(b'"bus"', b"8")
    assert [kind for _, kind, _ in read(numbers, "a.ndjson", type_column="a.b").events] == [
        "car",
        "7",
        "8",
    ]
    line = as_json({"a": {"b": 7}, "time": TIME, "source": "gate"})
    found = read(
        line + line.replace(b'"a": ', b'"a.b": "car", "a": '), "a.ndjson", type_column="a.b"
    )
    assert [kind for _, kind, _ in found.events] == ["7", "car"]


@pytest.mark.parametrize("key", ['we"ird', "a\\b", "a\tb", "ü", "a/b", "a b"])
def test_any_key_can_be_named(read: Read, key: str) -> None:
    rows = [{key: "car", "in": {key: "van"}, "time": TIME, "source": "gate"}]
    for content in (as_json(*rows) * 2, as_json(*rows, {"time": TIME}).replace(b"a/b", b"a\\/b")):
        for name in (key, f"in.{key}"):
            found = read(content, "a.ndjson", type_column=name, attributes=("in",))
            assert found.events[0] == (MOMENT, "car" if name == key else "van", "gate")


@pytest.mark.parametrize("name", WRITERS)
def test_inner_keys_may_be_written_differently(read: Read, name: str) -> None:
    rows = [{"After": {"Label ": "car"}, "time": TIME, "source": "gate"}]
    found = read(WRITERS[name](*rows), name, type_column="after.label")
    assert found.events == [(MOMENT, "car", "gate")]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"type_column": "a[].b", "source_column": "c[].d"}, "go into different arrays"),
        ({"type_column": "a.b"}, None),
        ({"type_column": "time.x"}, None),
        ({"type_column": "a[].x"}, None),
    ],
)
def test_paths_that_lead_nowhere(
    read: Read, name: str, options: dict[str, str], says: str | None
) -> None:
    row = {"a": [{"b": "car"}], "c": [{"d": "gate"}], "time": TIME, "source": "gate"}
    column = options["type_column"]
    if says is None and name == "a.ndjson":
        # Another line may have it.
        found = read(as_json(row), name, **options)
        assert (found.events, [reject.column_name for reject in found.rejects]) == ([], [column])
        return
    with pytest.raises(InputError, match=says or f'no column "{re.escape(column)}"'):
        read(WRITERS[name](row), name, **options)


def test_a_wanted_key_that_is_there_twice_rejects_the_line(read: Read) -> None:
    line = as_json({"a": {"b": "car"}, "time": TIME, "source": "gate"})
    twice = line.replace(b'"b": "car"', b'"b": "car", "b": "van"')
    escaped = line.replace(b'"b": "car"', b'"b": "car", "\\u0062": "van"')
    outer = line.replace(b'"a": {', b'"a": 1, "a": {')
    beside = line.replace(b'"b"', b'"c": {"b": 1}, "d": "b", "x": 1, "x": 2, "b"')
    content = line + twice + escaped + outer + beside
    found = read(content, "a.ndjson", type_column="a.b")
    assert (found.events, found.lines) == ([(MOMENT, "car", "gate")] * 2, [2, 3, 4])
    twice_told = [f'the key "{key}" is there twice' for key in "bba"]
    assert found.reasons == twice_told


def test_a_key_that_is_there_twice_is_told_beside_one_that_is_written_with_an_escape(
    read: Read,
) -> None:
    """Together they are as often in the text as there are values."""
    line = as_json({"time": TIME, "type": "car", "source": "gate", "x": [1]})
    escaped = line.replace(b'"type"', b'"t\\u0079pe"')
    twice = line.replace(b'"type": "car"', b'"type": "car", "type": "van"')
    found = read(line + escaped + twice, "a.json", attributes=("x",))
    assert len(found.events) == 2
    assert found.reasons == ['the key "type" is there twice']


def test_keys_of_the_same_name_inside_of_values_are_no_reason_to_look_at_each_object(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"time": TIME, "type": "car", "source": "gate"}
    content = as_json(
        *[row | {"before": row, "after": row | {"box": [number]}} for number in range(9)]
    )
    monkeypatch.delattr(unpack, "_may_be_twice")
    found = read(content, "a.json", attributes=("after",))
    assert [json.loads(str(one))["after"]["box"] for one in found.attributes] == [
        [number] for number in range(9)
    ]


@pytest.mark.parametrize("longest", [120, 1 << 20])
def test_of_items_in_which_a_wanted_key_is_there_twice_only_these_are_rejected(
    read: Read, longest: int
) -> None:
    good = json.dumps({"t": TIME, "k": "car", "x": 1})
    twice = good.replace('"k": "car"', '"k": "car", "k": "van"')
    late = good.replace("2024", "never")
    unwanted = good.replace('"x": 1', '"x": 1, "x": 2')
    content = ",\n".join([good, twice, late, unwanted, twice, good]).encode()
    content = b'{"s": "gate", "a": [\n' + content + b"]}"
    limits = Limits(block_bytes=300, line_bytes=longest)
    found = read(content, "a.json", limits, **PATHS)
    assert found.events == [(MOMENT, "car", "gate")] * 3
    rejects = sorted(found.rejects, key=lambda one: one.line_number or 0)
    assert [one.line_number for one in rejects] == [3, 4, 6]
    assert [one.reason for one in rejects[::2]] == ['the key "k" is there twice'] * 2
    assert "never" in rejects[1].reason
    for one, item in zip(rejects, (twice, late, twice), strict=True):
        assert one.raw.replace(b" ", b"") == (
            b'{"s":"gate","a":[' + item.replace(" ", "").encode() + b"]}"
        )
    # Above the items, it is all of them.
    above = content.replace(b'"s"', b'"s": "x", "s"')
    if longest > 1000:
        assert read(above, "a.json", limits, **PATHS).rows_rejected == 1


def test_paths_lead_into_what_a_program_has_in_memory() -> None:
    table = pa.Table.from_pylist([document(image("1", None)), document(image("2"))])
    mapping = Mapping(**IMAGES)
    frames = list(EventsInMemory(table.to_batches(), mapping, origin="python", key=None))
    assert sum(batch.events.num_rows for batch in frames) == 2
    (reject,) = [reject for batch in frames for reject in batch.rejects]
    assert reject.reason == "the value of images[0].detections[1].category is null"


DOCUMENTS = settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
names = st.sampled_from(["car", 'a"b', "\\", "[{", "]}", "ü"]) | scalars
items = st.fixed_dictionaries({}, optional={"t": st.just(TIME) | scalars, "k": names, "x": scalars})
arrays = st.lists(items | scalars, max_size=4) | scalars
rows = st.lists(
    st.fixed_dictionaries({}, optional={"s": names, "a": arrays, "b": scalars}) | scalars,
    min_size=1,
    max_size=6,
)
PATHS = {"time_column": "a[].t", "type_column": "a[].k", "source_column": "s"}


def slowly(row: Any) -> list[tuple[Any, Any, Any]]:
    """Return the events of an object as Python finds them; None for what is missing."""
    row = json.loads(json.dumps(row), parse_float=Decimal, parse_constant=str)
    values = row.get("a")
    if not isinstance(values, list):
        return [(None, None, row.get("s"))]
    found = [one if isinstance(one, dict) else {} for one in values]
    return [(one.get("t"), one.get("k"), row.get("s")) for one in found]


def is_good(event: tuple[Any, Any, Any]) -> bool:
    def is_name(value: Any) -> bool:
        text = objects.text(value)
        shown = (text or b"").decode().strip()
        return shown != "" and not re.search(r"[\x00-\x1f\x7f]", shown)

    return event[0] == TIME and is_name(event[1]) and is_name(event[2])


def written(given: list[Any], shape: str) -> bytes:
    texts = [json.dumps(row).encode() for row in given]
    match shape:
        case "lines":
            return b"\n".join(texts)
        case "array":
            return b"[" + b", ".join(texts) + b"]"
        case "one a line":
            return b"[\n" + b"\n,".join(texts) + b"\n]\n"
    return json.dumps(given, indent=1).encode()


@DOCUMENTS
@given(
    rows,
    st.sampled_from(["lines", "array", "one a line", "indented"]),
    st.sampled_from([300, 4 << 20]),
)
def test_all_shapes_of_json_give_what_python_finds(
    read: Read, given: list[Any], shape: str, block: int
) -> None:
    given = [{"s": "gate", "a": [{"t": TIME, "k": "car"}]}, *given]
    found = read(written(given, shape), "a.json", Limits(block_bytes=block), **PATHS)
    expected = [
        event
        for row in given
        for event in (slowly(row) if isinstance(row, dict) else [(None, None, None)])
    ]
    good = [event for event in expected if is_good(event)]
    shown = [
        (MOMENT, *((objects.text(name) or b"").decode().strip() for name in event[1:]))
        for event in good
    ]
    # Inside of a block, those that are alike come first.
    assert sorted(found.events) == sorted(shown)
    assert found.rows_read == len(expected)


def nested(count: int) -> bytes:
    rows = [{"t": TIME, "k": "car", "x": ']}\\"[' * (at % 3)} for at in range(count)]
    rows[count // 2]["k"] = "\t"
    head = {"s": "gate", "a.b": 1, "skip": {"a": [{"t": 1}]}, "data": {"other": [[1]], "a": rows}}
    return json.dumps(head | {"tail": [{"a": [{"t": 2}]}]}, indent=1).encode()


DEEP = {"time_column": "data.a[].t", "type_column": "data.a[].k", "source_column": "s"}


@pytest.mark.parametrize("block", [700, 5000])
def test_a_document_larger_than_a_row_is_read_item_by_item(read: Read, block: int) -> None:
    content = nested(500)
    limits = Limits(block_bytes=block, line_bytes=600, raw_bytes=50)
    options = DEEP | {"attributes": ("data.a[].x", "tail")}
    found, whole = (read(content, "a.json", one, **options) for one in (limits, Limits()))
    assert (found.events, found.lines) == (whole.events, whole.lines)
    # Who names no path into it learns where to look.
    (reason,) = read(content, "a.json", limits).reasons
    assert reason.endswith("has it events in an array? see: loader inspect")
    # Of the whole, they are as they are written.
    assert found.attributes == [json.dumps(json.loads(one)) for one in whole.attributes]
    assert len(found.events) == 499
    (reject,) = found.rejects
    assert content.split(b"\n")[(reject.line_number or 0) - 1].strip() == b"{"
    item = {"t": TIME, "k": "\t", "x": ']}\\"['}
    tail = [{"a": [{"t": 2}]}]
    assert json.loads(reject.raw) == {"s": "gate", "data": {"a": [item]}, "tail": tail}
    assert read(reject.raw, "a.json", **DEEP).reasons == found.reasons


@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
@pytest.mark.parametrize("block", [300, 5000])
def test_what_stands_behind_the_array_of_a_large_document_counts_too(
    read: Read, name: str, block: int
) -> None:
    items: list[dict[str, Any]] = [{"t": TIME, "k": "car", "x": ']}\\"['} for _ in range(100)]
    items[70] |= {"k": None}
    documents: list[Any] = [
        {"at": {"seen": items, "n": 1}, "by": {"a": [[1]], "id": f"gate {at}"}} for at in range(2)
    ]
    # One that has it nowhere, one that is too short to be cut, and what is no document.
    documents += [{"at": {"seen": items}}, documents[0] | {"at": {"seen": items[:1]}}, 7]
    content = b"\n".join(json.dumps(one).encode() for one in documents)
    options = {"time_column": "at.seen[].t", "type_column": "at.seen[].k", "source_column": "by.id"}
    limits = Limits(block_bytes=block, line_bytes=250, raw_bytes=50)
    if name.endswith(".gz"):
        content = gzip.compress(content)
    found, whole = read(content, name, limits, **options), read(content, name, **options)
    sources = [f"gate {at}" for at in range(2) for _ in range(99)]
    assert [source for _, _, source in found.events] == [*sources, "gate 0"]
    assert (sorted(found.events), found.lines) == (sorted(whole.events), whole.lines)
    assert found.reasons == whole.reasons
    assert 'there is no key "by", only "at"' in found.reasons
    assert "the value of at.seen[70].k is null" in found.reasons


LARGE: dict[str, st.SearchStrategy[Any]] = {
    "s": names,
    "x": items | scalars,
    "y": st.just([{"a": []}]),
    "z": st.just("]{" * 500),
}


@settings(DOCUMENTS, max_examples=examples(60))
@given(
    st.lists(st.just({"t": TIME, "k": "car", "x": [1]}) | items | scalars, max_size=8),
    st.permutations([*LARGE, "a"]),
    st.data(),
    st.sampled_from([40, 300]),
)
def test_a_large_document_gives_what_a_small_one_gives(
    read: Read, given: list[Any], keys: list[str], data: Any, block: int
) -> None:
    first = {"s": "gate", "a": [{"t": TIME, "k": "car"}]}
    document = {key: data.draw(LARGE[key]) if key in LARGE else given for key in keys}
    # Where an item stands that only Python reads is not told to the line.
    document = json.loads(json.dumps(document), parse_constant=str)
    content = written([first, document], "indented")
    options = PATHS | {"attributes": ("a[].x", "y")}
    # Items are short enough, and the document is not.
    longest = max(len(json.dumps(one, indent=1)) for one in [first, *given]) + 100
    limits = Limits(block_bytes=block, line_bytes=longest)
    whole, parts = (read(content, "a.json", one, **options) for one in (Limits(), limits))
    assert sorted(parts.events) == sorted(whole.events)
    expected, found = (
        [
            sorted(zip(one.lines, one.reasons, strict=True)),
            sorted(json.dumps(json.loads(text)) for text in one.attributes),
        ]
        for one in (whole, parts)
    )
    assert found == expected


def test_any_number_of_large_documents_may_have_columns_behind_their_arrays(read: Read) -> None:
    document = json.dumps({"a": [{"t": TIME, "k": "car"}] * 3, "s": "gate"}).encode()
    limits = Limits(block_bytes=200, line_bytes=100)
    found = read(b"\n".join([document] * 1100), "a.json", limits, **PATHS)
    assert found.events == [(MOMENT, "car", "gate")] * 3300


@pytest.mark.parametrize("long", ["y" * 300, "]{" * 150, "\\" * 150])
def test_an_object_that_is_too_long_and_has_no_array_takes_none_of_the_next(
    read: Read, long: str
) -> None:
    event = {"a": [{"t": TIME, "k": "car"}], "s": "gate"}
    limits = Limits(block_bytes=50, line_bytes=200, raw_bytes=20)
    found = read(as_json({"x": long, "s": "gate"}, event), "a.json", limits, **PATHS)
    assert found.events == [(MOMENT, "car", "gate")]
    assert found.lines == [1]
    assert "more than the 200 allowed" in found.reasons[0]


def test_a_large_document_that_is_damaged_behind_its_array_is_refused(read: Read) -> None:
    content = json.dumps({"a": [{"t": TIME, "k": "car"}] * 100, "s": "gate"}).encode()
    limits = Limits(block_bytes=300, line_bytes=250, raw_bytes=50)
    for bad in (content[:-5], content + b"}", content.replace(b'"s"', b'"s":1,"s"')):
        with pytest.raises(InputError, match="cut short or damaged"):
            read(bad, "a.json", limits, **PATHS)


def test_a_copy_that_does_not_fit_says_so(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.TemporaryFile", fail)
    content = json.dumps({"a": [{"t": TIME, "k": "car"}] * 100, "s": "gate"}).encode()
    limits = Limits(block_bytes=300, line_bytes=250, raw_bytes=50)
    with pytest.raises(InputError, match=r"a.json: .* behind its array.*No space left"):
        read(content, "a.json", limits, **PATHS)


@pytest.mark.parametrize("block", [60, 4 << 20])
def test_arrays_in_arrays_have_the_objects_of_all(read: Read, block: int) -> None:
    rows = [{"time": TIME, "type": str(at), "source": "gate", "x": [[1]]} for at in range(9)]
    content = json.dumps([rows[:4], [], [[rows[4]], [rows[5], 7]], *rows[6:]], indent=1).encode()
    found = read(content, "a.json", Limits(block_bytes=block, line_bytes=200))
    assert sorted(kind for _, kind, _ in found.events) == list("012345678")
    assert (found.raws, found.reasons) == ([b"7"], ["the line is not a JSON object but a number"])


@pytest.mark.parametrize("name", WRITERS)
def test_an_item_of_an_array_can_be_named(read: Read, name: str) -> None:
    best = [[["3", "0.9"], ["1", "0.1"]], [["2", "0.8"]], [], None]
    rows: list[dict[str, Any]] = [
        {"d": [{"c": one} for one in best], "tags": [TIME, "gate"]},
        {"d": [{"c": [["4", "0.7"]]}], "tags": None},
    ]
    options = {"time_column": "tags[0]", "source_column": "tags[1]", "type_column": "d[].c[0][0]"}
    found = read(WRITERS[name](*rows), name, **options, attributes=("d[].c[0][1]",))
    assert found.events == [(MOMENT, "3", "gate"), (MOMENT, "2", "gate")]
    assert [json.loads(one) for one in found.attributes] == [
        {"d[].c[0][1]": "0.9"},
        {"d[].c[0][1]": "0.8"},
    ]
    assert found.lines == [1, 1, 2]
    assert found.reasons == [
        "there is no d[2].c[0]: d[2].c has 0 items",
        "d[3].c is null, not an array",
        "tags is null, not an array",
    ]


def test_an_item_of_an_array_may_be_of_another_kind_than_the_next(read: Read) -> None:
    row = {"c": [["3", 0.9], [1, True]], "time": TIME, "source": "gate"}
    found = read(as_json(row) * 3, "a.ndjson", type_column="c[0][0]", attributes=("c[1][1]",))
    assert found.events == [(MOMENT, "3", "gate")] * 3
    assert json.loads(found.attributes[0]) == {"c[1][1]": True}


def test_an_object_of_an_array_that_is_too_long_is_rejected_alone(read: Read) -> None:
    event = {"time": TIME, "type": "car", "source": "gate"}
    long = event | {"x": '[{"\\' * 3000}
    content = json.dumps([event, long, event, long | {"x": [1] * 5000}, event]).encode()
    for block in (700, 1 << 20):
        limits = Limits(block_bytes=block, line_bytes=500, raw_bytes=20)
        found = read(content, "a.json", limits)
        assert found.events == [(MOMENT, "car", "gate")] * 3
        sizes = [len(json.dumps(one)) for one in (long, long | {"x": [1] * 5000})]
        assert [
            f"{size:,} bytes" in reason for size, reason in zip(sizes, found.reasons, strict=True)
        ]
        assert {reject.raw for reject in found.rejects} == {json.dumps(long).encode()[:20]}


def test_an_empty_array_has_no_events(read: Read) -> None:
    assert read(b" []\n", "a.json").rows_read == 0


@pytest.mark.parametrize("attributes", [(), ("x",)])
def test_values_that_only_python_reads_are_found_inside(
    read: Read, attributes: tuple[str, ...]
) -> None:
    good = as_json({"a": {"k": "car"}, "x": 1, "t": TIME, "s": "gate"})
    bad = [b"\xff", b"\\ud800", b"\\u0000"]
    lines = [good.replace(b"car", one) for one in bad] + [good.replace(b'"car"', b"1e999")]
    lines += [good.replace(b"1", b"NaN", 1), good.replace(b'"x": 1', b'"x": 1e999')]
    options = {"time_column": "t", "type_column": "a.k", "source_column": "s"}
    for content in (good + b"".join(lines), b"".join([good, *reversed(lines)])):
        found = read(content, "a.ndjson", **options, attributes=attributes)
        kinds = [kind for _, kind, _ in found.events]
        assert sorted(kinds) == ["Infinity", "car", "car", "car"]
        assert found.rows_rejected == 3
        assert sum("not UTF-8" in reason for reason in found.reasons) == 2


@pytest.mark.parametrize(
    "options",
    [
        {"type_column": "a.k", "source_column": "s"},
        {"type_column": "a.k", "source_column": "s", "attributes": ("x", "a", "b[]")},
        {"type_column": "b[].k", "source_column": "b[].s[0]", "attributes": ("b[].x",)},
    ],
)
def test_values_of_several_kinds_and_broken_lines_are_no_reason_to_go_one_by_one(
    read: Read, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """One by one is ten times as slow; so only what is broken goes there."""
    row = {"t": TIME, "s": "gate", "type": "k", "a": {"k": "car"}, "before": {"k": "car", "t": 1}}
    others: list[dict[str, Any]] = [
        {"b": [{"k": 7, "s": ["gate"], "x": 1.5}, {"k": "van", "s": [8], "x": [1]}]},
        {"b": [], "a": {"k": 8}, "x": [1, "2"]},
        {"b": [{"k": "bus", "s": ["gate", 1]}], "s": 9, "x": {"k": 1.0}},
    ]
    broken = b'{"t": oops, "k": "k"}\n'
    content = as_json(*(row | one for one in others)) * 20
    whole = read(content, "a.json", time_column="t", **options)
    assert whole.rows_rejected == 0
    one_by_one = []

    def read_one(text: bytes) -> Any:
        one_by_one.append(text)
        raise objects.NotAnObjectError

    monkeypatch.setattr(objects, "read", read_one)
    found = read(content + broken + content, "a.json", time_column="t", **options)
    assert found.events == whole.events * 2
    assert found.attributes == whole.attributes * 2
    assert one_by_one == [broken[:-1]]
    assert found.lines == [61]
