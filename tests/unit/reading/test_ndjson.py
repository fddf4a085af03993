from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from loader.errors import InputError, LoaderError
from loader.kafka.batches import Messages, Share
from loader.reading import objects as plain
from loader.reading.limits import Limits
from loader.reading.lines import Block
from loader.reading.mapping import Mapping
from loader.reading.pieces import Pieces
from tests.conftest import examples

if TYPE_CHECKING:
    from tests.unit.conftest import Outcome, Read

NAME = "events.ndjson"
ROW = b'{"time": "2024-05-13T15:00:00Z", "type": "car", "source": "north"}\n'
DEEP_99 = 99 * b"[" + 99 * b"]"
EVENT = ("2024-05-13 15:00:00", "car", "north")


def with_keys(**values: object) -> bytes:
    row = {"time": "2024-05-13T15:00:00Z", "type": "car", "source": "north", **values}
    return json.dumps(row).encode() + b"\n"


@pytest.mark.parametrize("attributes", [(), ("x",)])
@pytest.mark.parametrize("key", ["x", "source", "type"])
@pytest.mark.parametrize(("opens", "closes"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_a_line_that_is_nested_too_deeply_is_rejected_before_a_parser_sees_it(
    read: Read, opens: bytes, closes: bytes, key: str, attributes: tuple[str, ...]
) -> None:
    # At 20,000 levels Arrow ends the process, at 10,000 it takes the better part of a minute.
    deep = with_keys(**{key: 0}).replace(b": 0", b":" + opens * 20_000 + b"0" + closes * 20_000)
    found = read(ROW + deep + ROW, name=NAME, attributes=attributes)
    assert found.events == [EVENT, EVENT]
    assert (found.lines, found.reasons) == ([2], ["the JSON is nested deeper than 100 levels"])


@pytest.mark.parametrize("text", ["[" * 500, '"' + "[" * 500, "\\" + "[{" * 500 + '"'])
def test_a_line_with_many_brackets_need_not_be_deep(read: Read, text: str) -> None:
    many = with_keys(x=text, y=[[[]]] * 500, z=99 * "[").replace(b'"' + 99 * b"[" + b'"', DEEP_99)
    found = read(ROW + many, name=NAME, attributes=("x",))
    assert found.events == [EVENT, EVENT]
    assert json.loads(found.attributes[1]) == {"x": text}


def test_lines_with_many_brackets_are_read_together_with_the_others() -> None:
    many, deep = with_keys(x=[{"a": [1]}] * 200), with_keys(x=0).replace(b"0}", b"[" * 101 + b"0}")
    pieces = Pieces.of_block(Block(many + ROW + deep, first_line=1))
    assert pieces.are_regular(Limits().line_bytes).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("line", "column", "says"),
    [
        (b"x", None, "is not JSON"),
        (b"{", None, "is not JSON"),
        (b"{}x}", None, "is not JSON"),
        (b'{"time": "2024', None, "is not JSON"),
        (ROW[:-1] + b",", None, "is not JSON"),
        (ROW[:-1] + ROW[:-1] + b"x", None, "is not JSON"),
        (ROW[:-1] + b"[]", None, "is not JSON"),
        (b"[]", None, "not a JSON object"),
        (b"[{}]", None, "not a JSON object"),
        (b'"a"', None, "not a JSON object"),
        (b"1", None, "not a JSON object"),
        (b"null", None, "not a JSON object"),
        (b"{}", "time", 'no key "time"'),
        (b'{"Time": 1}', "time", 'no key "time", only "Time"'),
        (with_keys(time=None)[:-1], "time", "is null"),
        (with_keys(type=None)[:-1], "type", "is null"),
        (b'{"time": "2024-05-13T15:00:00Z", "type": "car"}', "source", 'no key "source"'),
        (with_keys(time=1715612400)[:-1], "time", "epoch_s"),
        (with_keys(time=True)[:-1], "time", "true or false"),
        (with_keys(type=True)[:-1], "type", "true or false"),
        (with_keys(type=[1])[:-1], "type", "an array"),
        (with_keys(source={})[:-1], "source", "an object"),
        (with_keys(source="")[:-1], "source", "empty"),
        (with_keys(type="\0")[:-1], "type", "control character"),
        (with_keys(type="\ud800")[:-1], "type", "not UTF-8"),
        (ROW[:-1].replace(b"car", b"\xff"), "type", "not UTF-8; see --encoding"),
        (ROW[:-1].replace(b"car", b"c\tar"), None, "is not JSON"),
        (ROW[:-1].replace(b"2024", b"\xff024"), "time", "not UTF-8"),
        (ROW[:-2] + b', "type": "car"}', None, '"type" is there twice'),
        (ROW[:-2] + b', "\\u0074ype": null}', None, '"type" is there twice'),
    ],
)
def test_a_bad_line_is_rejected_alone(
    read: Read, line: bytes, column: str | None, says: str
) -> None:
    found = read(ROW + line + b"\r\n" + ROW * 100, NAME)
    assert found.events == [EVENT] * 101
    (reject,) = found.rejects
    assert (reject.line_number, reject.column_name, reject.raw) == (2, column, line)
    assert says in reject.reason
    assert (found.rows_read, found.rows_rejected) == (102, 1)


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b"  " + ROW, EVENT),
        (b"\t" + ROW[:-1] + b" \r\n", EVENT),
        (with_keys(type=82), (EVENT[0], "82", "north")),
        (with_keys(type=10**30), (EVENT[0], "1" + "0" * 30, "north")),
        (with_keys(type=82.0), (EVENT[0], "82", "north")),
        (with_keys(type=1.5), (EVENT[0], "1.5", "north")),
        (with_keys(source=-1), (EVENT[0], "car", "-1")),
        (with_keys(source=" nörth "), (EVENT[0], "car", "nörth")),
        (with_keys(source='a"b\\'), (EVENT[0], "car", 'a"b\\')),
        (with_keys(x={"time": [None]}, y="2024-01-01 00:00:00", z=float("nan")), EVENT),
        (ROW[:-2] + b', "x": 1, "x": 2}\n', EVENT),
        (ROW[:-2] + b', "x": "\xff"}\n', EVENT),
        (ROW[:-2] + b', "\xff": 1}\n', EVENT),
        (ROW[:-2] + b', "x": {"type": 1, "type": 2}}\n', EVENT),
        (ROW[:-2] + b', "x": 1e999}\n', EVENT),
        (ROW[:-2] + b', "x": "\\ud800"}\n', EVENT),
        (b"\n\r\n  \n" + ROW, EVENT),
    ],
)
def test_good_lines(read: Read, line: bytes, event: tuple[str, str, str]) -> None:
    for before in (b"", ROW, ROW + b"x\n", with_keys(type=1)):
        for attributes in ((), ("note",)):
            found = read(before + line, NAME, attributes=attributes)
            assert found.events[-1] == event
            assert found.rows_rejected == (before == ROW + b"x\n")
    assert read(line + line, NAME).events == [event] * 2


@pytest.mark.parametrize("bad", [b'{"b": ]}', b"{}{]", b'{"time": 1, "type": [], "x": {}}'])
@pytest.mark.parametrize("step", [70, 100, 3000])
def test_bad_lines_among_many_are_found_once(read: Read, bad: bytes, step: int) -> None:
    block = b"".join(with_keys(source=number) for number in range(step))
    found = read((block + bad + b"\n") * 3 + block, NAME)
    assert sorted(int(source) for _, _, source in found.events) == sorted([*range(step)] * 4)
    assert sorted(one or 0 for one in found.lines) == [(step + 1) * at for at in (1, 2, 3)]
    assert set(found.raws) == {bad}


@pytest.mark.parametrize(
    "halves",
    [
        (ROW[:-2] + b', "x": {}', b', "y": {}}'),
        (ROW[:-2] + b', "x":', b'{"y": {}}}'),
    ],
)
def test_an_object_over_two_lines_is_none(read: Read, halves: tuple[bytes, bytes]) -> None:
    # With two objects on one line there are as many objects as lines.
    lines = [ROW[:-1] * 2, *halves]
    found = read(ROW + b"\n".join(lines) + b"\n" + ROW, NAME)
    assert (found.events, found.lines, found.raws) == ([EVENT] * 4, [3, 4], lines[1:])


@pytest.mark.parametrize(
    ("unit", "time"),
    [
        ("epoch_s", 1715612400),
        ("epoch_s", 1715612400.0),
        ("epoch_s", "1715612400"),
        ("epoch_ms", 1715612400000),
        ("epoch_us", "1715612400000000"),
    ],
)
def test_epochs(read: Read, unit: str, time: object) -> None:
    line = with_keys(time=time)
    found = read(line + b"x\n" + line * 2 + with_keys(time=None), NAME, time_format=unit)
    assert found.events == [EVENT] * 3
    assert set(found.raws) == {with_keys(time=None)[:-1], b"x"}


@pytest.mark.parametrize("unit", ["epoch_s", "epoch_ms", "epoch_us"])
@pytest.mark.parametrize("others", [(), (1715612400.5,), (1715612400,), ("x",), (1.5, "x")])
def test_times_of_another_unit_say_which_they_seem_to_be(
    read: Read, unit: str, others: tuple[object, ...]
) -> None:
    nanoseconds = with_keys(time=1704067200123456789)
    rows = [nanoseconds, *(with_keys(time=one) for one in others)]
    for content in (b"".join(rows), b"".join(reversed(rows))):
        found = read(content, NAME, time_format=unit)
        (reason,) = [reason for reason in found.reasons if "170406720012345" in reason]
        assert "if these are nanoseconds: --time-format epoch_ns" in reason


def test_keys_may_be_written_differently(read: Read) -> None:
    line = ROW.replace(b"time", b"Time").replace(b"type", b" TYPE")
    assert read(line * 2, NAME).events == [EVENT] * 2


def state(label: str, start: float, **more: object) -> dict[str, object]:
    return {"camera": "gate", "label": label, "start_time": start, "end_time": None} | more


@pytest.mark.parametrize("name", ["a.ndjson", "a.json", "a.jsonl"])
def test_messages_with_the_state_before_and_after(read: Read, name: str) -> None:
    person, car = ("person", 1704067201.123456), ("car", 1704067301.75)
    messages = [
        {"type": kind, "before": state(*one), "after": state(*one, score=0.8, zones=["yard"])}
        for kind, one in (("new", person), ("end", person), ("new", car))
    ]
    options = {
        "time_column": "after.start_time",
        "time_format": "epoch_s",
        "type_column": "after.label",
        "source_column": "after.camera",
        "attributes": ("after.zones", "type"),
    }
    found = read(b"\n".join(json.dumps(one).encode() for one in messages), name, **options)
    seen = ("2024-01-01 00:00:01.123456", "person", "gate")
    assert found.events == [seen, seen, ("2024-01-01 00:01:41.750000", "car", "gate")]
    assert json.loads(found.attributes[1]) == {"after.zones": ["yard"], "type": "end"}
    whole = read(json.dumps(messages, indent=2).encode(), name, **options)
    assert (whole.events, whole.rows_read) == (found.events, 3)


def test_a_document_with_an_array_in_it(read: Read) -> None:
    content = b"""{"id": "rec-1", "areas": {"abc": {"name": "North"}},
 "history": [
  {"timestamp": "2024-01-01T08:10:10.420Z", "area": "abc", "name": "car", "id": 6},
  {"timestamp": "2024-01-01T08:10:11.303Z", "area": "abc", "name": "bicycle", "id": 7},
  {"timestamp": "2024-01-01T08:10:12.303Z", "area": "abc", "name": null, "id": 8}]}
"""
    found = read(
        content,
        "report.json",
        time_column="history[].timestamp",
        type_column="history[].name",
        source_column="history[].area",
        attributes=("id", "history[].id"),
    )
    assert found.events == [
        ("2024-01-01 08:10:10.420000", "car", "abc"),
        ("2024-01-01 08:10:11.303000", "bicycle", "abc"),
    ]
    assert json.loads(found.attributes[1]) == {"id": "rec-1", "history[].id": 7}
    assert (found.lines, found.reasons) == ([5], ["the value of history[2].name is null"])


def test_objects_one_behind_the_other_on_a_line(read: Read) -> None:
    bad = ROW[:-1].replace(b'"car"', b"null")
    found = read(ROW[:-1] * 2 + b" " + bad + b"\n" + ROW[:-1] + b'{"a": "}{"}' + ROW, NAME)
    assert found.events == [EVENT] * 4
    assert (found.lines, found.raws) == ([1, 2], [bad, b'{"a": "}{"}'])


def test_a_line_of_objects_that_is_longer_than_a_row_may_be(read: Read) -> None:
    limits = Limits(block_bytes=1000, line_bytes=300, raw_bytes=20)
    found = read(ROW[:-1] * 100 + with_keys(x="y" * 400), NAME, limits)
    assert (found.events, found.lines, found.raws) == ([EVENT] * 100, [1], [ROW[:20]])


def test_a_source_for_all_and_renamed_types(read: Read) -> None:
    found = read(
        b'{"at": "2024-05-13T15:00:00Z", "kind": 82}\n' * 2,
        NAME,
        time_column="at",
        type_column="kind",
        source="north",
        type_map={"82": "car"},
    )
    assert found.events == [EVENT] * 2


def test_attributes_keep_their_types(read: Read) -> None:
    values: list[dict[str, object]] = [
        {"speed": 12, "note": 'a"\\\n', "ok": True},
        {"speed": 12.5, "note": None, "ok": False},
        {"speed": 2**70, "box": {"x": [1, None, {"y": "é"}]}},
        {"note": "2024-01-01 00:00:00"},
        {"speed": "fast"},
        {},
    ]
    keys = ("speed", "note", "ok", "box")
    whole = read(b"".join(with_keys(**one) for one in values), NAME, attributes=keys)
    kept = [{key: one[key] for key in one if one[key] is not None} for one in values]
    assert [json.loads(one) for one in whole.attributes] == kept
    for one, expected in zip(values, kept, strict=True):
        found = read(with_keys(**one) * 2, NAME, attributes=keys)
        assert [json.loads(text) for text in found.attributes] == [expected] * 2


def test_numbers_that_jsonb_does_not_have_are_text(read: Read) -> None:
    lines = [ROW[:-2] + b', "note": %s}\n' % one for one in (b"1e999", b"[-1e999]", b"NaN", b"7")]
    found = [read(line * 2, NAME, attributes=("note",)).attributes for line in lines]
    notes = ['"Infinity"', '["-Infinity"]', '"NaN"', "7"]
    assert found == [[f'{{"note": {note}}}'] * 2 for note in notes]


def test_attributes_that_jsonb_cannot_hold_are_rejected(read: Read) -> None:
    lines = [with_keys(note=note) for note in ("a\0b", "\ud800", "\\u0000", "x\\", "ok")]
    found = read(b"".join(lines), NAME, attributes=("note",))
    assert found.lines == [1, 2]
    assert [json.loads(one)["note"] for one in found.attributes] == ["\\u0000", "x\\", "ok"]
    assert [one.column_name for one in read(lines[0] * 2, NAME, attributes=("note",)).rejects] == [
        "note",
        "note",
    ]


def test_a_row_that_is_too_long_is_rejected_with_its_start(read: Read) -> None:
    limits = Limits(block_bytes=4096, line_bytes=500, raw_bytes=20)
    for size in (600, 5000, 20000):
        bad = with_keys(note="x" * size)
        found = read(ROW + bad + ROW, NAME, limits)
        assert (found.events, found.lines, found.raws) == ([EVENT, EVENT], [2], [bad[:20]])
        assert f"{len(bad) - 1:,} bytes" in found.reasons[0]


def test_of_json_in_a_text_it_is_said_how_to_take_it_out(read: Read) -> None:
    content = json.dumps({"id": 1, "sent": {"body": ROW.decode()}}).encode()
    found = read(content, NAME, time_column="sent.time", type_column="sent.body.type")
    assert found.reasons == [
        'there is no key "time" in sent, only "body"; "sent.body" is a text that has JSON in it: '
        """take it out (jq -c '."sent"."body" | fromjson')"""
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\n \n", "is empty"),
        (b"time,type,source\n", "no line is a JSON object; line 1: .*is it another --format"),
        (ROW[:-1] + b",\n" + ROW[:-1] + b",\n", "line 1: .* a comma follows the object"),
        (b"frigate/events " + ROW, 'line 1: .*"frigate/events" stands before the object'),
        (b"2024-05-13 INFO " + ROW, 'but a number; "2024-05-13 INFO" stands before the object'),
        (json.dumps(ROW.decode()).encode(), r"a text that has JSON in it: .* \(jq -c 'fromjson'\)"),
        (ROW * 3 + b"\0" * 512, "ends in NUL bytes, as files do after a power cut"),
        (b"\x1e" + ROW + b"\x1e" + ROW, "a record separator stands before the object"),
        (b'{"time": 1,\n"type": "car"\n', "cut short or damaged: line 1: .* does not end"),
        (b'{"time": 1\n{"time": 2\n', "line 1: .* ends too early: .* on one line"),
        (b"<!doctype html>\n", "is a web page"),
        (b"[" * 20_000 + b"\n", "cut short or damaged: line 1: .* does not end"),
        (b"[" + ROW[:-1] + b"]]", "line 1: a bracket is closed that was not opened"),
        (b"[1, 2]", "no line is a JSON object"),
        (b'{"x":' + b"[" * 20_000 + b"\n", "line 1: the JSON is nested deeper"),
        (b"PAR1\0\0", "Parquet"),
        (ROW.decode().encode("utf-16-be"), "--encoding utf-16-be"),
    ],
)
def test_unusable_files(read: Read, content: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read(content, NAME)


EXAMPLES = settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
scalars = st.none() | st.booleans() | st.integers() | st.floats(width=32) | st.text(max_size=5)
objects = st.fixed_dictionaries(
    {"time": st.just("2024-05-13T15:00:00Z") | scalars, "type": scalars},
    optional={"source": scalars, "x": scalars | st.lists(scalars, max_size=2)},
)
junk = st.binary(max_size=20).map(lambda line: line.translate(None, b"\r\n"))
lines = st.lists(
    objects.map(lambda one: json.dumps(one).encode())
    | junk
    | st.text('{}[],:"\\ a1', max_size=12).map(str.encode)
    | st.sampled_from([ROW[:-1], ROW[:-1] + b"{}", b'{"a":{}', b"{}}", b"{}{}", b'{"a":1', b""]),
    max_size=12,
)


def order(found: Outcome) -> tuple[object, ...]:
    rejects = sorted(found.rejects, key=lambda reject: reject.line_number or 0)
    # As jsonb has them, which knows no other way to write a letter.
    kept = sorted(json.dumps(json.loads(one, parse_float=str)) for one in found.attributes)
    return sorted(found.events), kept, rejects, found.rows_read


@EXAMPLES
@given(lines, st.sampled_from([7, 40, 100, 1000]), st.sampled_from([(), ("x",)]))
# White for Python, and not for JSON.
@example([b"", b"\v"], 7, ())
def test_the_fate_of_a_line_does_not_depend_on_its_neighbours(
    read: Read, content: list[bytes], size: int, attributes: tuple[str, ...]
) -> None:
    data = ROW + b"\n".join(content) + b"\n"
    try:
        whole, parts = (
            read(
                data,
                NAME,
                Limits(block_bytes=block, block_lines=most_lines, line_bytes=100, raw_bytes=20),
                attributes=attributes,
            )
            for block, most_lines in ((1 << 20, 1 << 20), (size, 2))
        )
    except LoaderError:
        return
    assert order(parts) == order(whole)
    assert whole.rows_read == len(whole.events) + whole.rows_rejected
    for reject in whole.rejects:
        line = data.split(b"\n")[(reject.line_number or 0) - 1]
        assert reject.raw == line[:20] if len(line) > 100 else reject.raw in line
    assert whole.rows_read == 1 + sum(map(count_of, content))


def count_of(line: bytes) -> int:
    """Return how many objects Python finds on a line, or 1 where it is no line of objects."""
    if not line.strip(b" \t") or len(line) > 100:
        return int(len(line) > 100)
    try:
        return len(plain.read_slowly(line))
    except plain.NotAnObjectError:
        return 1


class Message(NamedTuple):
    """A message of a topic, as the client gives it."""

    value_: bytes
    offset_: int

    def value(self) -> bytes:
        return self.value_

    def offset(self) -> int:
        return self.offset_

    def partition(self) -> int:
        return 0


@pytest.mark.parametrize("line_end", [b"", b"\n"])
def test_a_message_that_is_nested_too_deeply_is_rejected(line_end: bytes) -> None:
    deep = with_keys(x=0).replace(b": 0", b":" + line_end + b"[" * 20_000 + b"]" * 20_000)[:-1]
    buffer = Share({})
    values = [ROW[:-1], deep, ROW[:-1]]
    buffer.add([Message(value, 7 + at) for at, value in enumerate(values)])
    found = list(Messages(buffer, Mapping(attributes=("x",))))
    assert sum(batch.events.num_rows for batch in found) == 2
    (reject,) = [reject for batch in found for reject in batch.rejects]
    assert (reject.message_offset, "deeper than 100" in reject.reason) == (8, True)


def test_paths_lead_into_messages_and_items_keep_their_offset() -> None:
    seen = [{"t": "2024-05-13T15:00:00Z", "k": kind} for kind in ("car", None, "van")]
    value = json.dumps({"by": {"id": "north"}, "seen": seen}, indent=1).encode()
    buffer = Share({})
    buffer.add([Message(value, 7), Message(b"{}", 8), Message(value, 9)])
    mapping = Mapping(time_column="seen[].t", type_column="seen[].k", source_column="by.id")
    found = list(Messages(buffer, mapping))
    assert sum(batch.events.num_rows for batch in found) == 4
    rejects = [reject for batch in found for reject in batch.rejects]
    assert [(reject.message_offset, reject.reason) for reject in rejects] == [
        (7, "the value of seen[1].k is null"),
        (8, 'there is no key "seen"'),
        (9, "the value of seen[1].k is null"),
    ]
    assert json.loads(rejects[0].raw) == {"by": {"id": "north"}, "seen": [seen[1]]}


def test_what_is_rejected_keeps_the_blanks_around_it(read: Read) -> None:
    bad = b' {"time": "\xff2024", "type": "car", "source": "north"} '
    found = read(ROW + bad + b"\n", name=NAME)
    assert [reject.raw for reject in found.rejects] == [bad]


@pytest.mark.parametrize("value", [b"", b" ", b"\n"])
def test_a_message_that_is_empty_may_come_alone(value: bytes) -> None:
    share = Share({})
    share.add([Message(value, 7)])
    found = list(Messages(share, Mapping()))
    assert sum(batch.events.num_rows for batch in found) == 0
    (reject,) = [reject for batch in found for reject in batch.rejects]
    assert (reject.message_offset, reject.reason) == (7, "the message is empty")
