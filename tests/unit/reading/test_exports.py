"""What recorders, counters and spreadsheets export, loaded by options alone."""

from __future__ import annotations

import gzip
import lzma
from typing import TYPE_CHECKING, Any

import pytest

from loader.errors import InputError, UsageError
from loader.reading.inputs import expand, open_reading
from loader.reading.limits import Limits
from loader.reading.mapping import Mapping
from loader.reading.selection import Selection

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.conftest import Read

TIME = "2024-01-01 00:00:01"


def test_a_door_contact_has_one_type(read: Read) -> None:
    content = b"time,source\n2024-01-01T00:00:01Z,door\n2024-01-01T00:00:02Z,\n"
    found = read(content, type=" opened ")
    assert found.events == [(TIME, "opened", "door")]
    assert [(one.column_name, one.reason) for one in found.rejects] == [
        ("source", "the source is empty")
    ]
    with pytest.raises(InputError, match=r'no column "type".*--type NAME'):
        read(content)
    # The column may be there all the same, and is not looked at.
    both = read(b"time,type,source\n2024-01-01T00:00:01Z,,door\n", type="opened", source="d")
    assert both.events == [(TIME, "opened", "d")]


@pytest.mark.parametrize("format_", ["csv", "ndjson"])
def test_date_and_time_may_stand_in_two_columns(read: Read, format_: str) -> None:
    rows = [("2024-01-01", "00:00:01"), ("2024-01-01", "25:00"), ("", "00:00:01"), ("", "")]
    if format_ == "csv":
        lines = [f"{date},{time},car,a" for date, time in rows]
        content = "\n".join(["date,time,type,source", *lines, '"2024-01-01",00:00:01,car,"a"'])
    else:
        content = "\n".join(
            f'{{"date": "{date}", "time": "{time}", "type": "car", "source": "a"}}'
            for date, time in [*rows, rows[0]]
        )
    found = read(content.encode(), format=format_, time_column="date,time", timezone="UTC")
    assert found.events == [(TIME, "car", "a")] * 2
    first = 2 if format_ == "csv" else 1
    assert [(one.line_number, one.column_name) for one in found.rejects] == [
        (first + at, "date,time") for at in (1, 2, 3)
    ]
    assert "2024-01-01 25:00" in found.reasons[0]


def test_a_forgotten_quote_swallows_no_row_of_two_time_columns(read: Read) -> None:
    rows = b"01.05.2024,8:00,car,a\n"
    content = b"date,time,type,source\n" + rows + b'01.05.2024,8:00,"car,a\n' + rows * 2 + b'x,"\n'
    options = {"time_format": "%d.%m.%Y %H:%M", "timezone": "UTC", "time_column": "date, time"}
    found = read(content, **options)
    assert (len(found.events), found.lines) == (3, [3, 6])


def test_a_comma_in_a_name_is_quoted(read: Read) -> None:
    content = b'"date, local",type,source\n2024-01-01T00:00:01Z,car,a\n'
    assert read(content, time_column='"date, local"').events == [(TIME, "car", "a")]
    with pytest.raises(InputError, match='no column "date"'):
        read(content, time_column="date, local")


@pytest.mark.parametrize(
    ("pattern", "source"),
    [
        ("{source}/*", "cam1"),
        ("{source}/*/*", "site"),
        ("{source}_*.csv", "north"),
        ("*_{source}.*", "2024-01-01"),
        ("c?m{source}/*.csv", "1"),
        ("/{source}/*.csv", None),
        ("{source}.ndjson", None),
        ("m{source}/*", None),
    ],
)
def test_the_source_may_be_a_part_of_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, source: str | None
) -> None:
    folder = tmp_path / "site" / "cam1"
    folder.mkdir(parents=True)
    (folder / "north_2024-01-01.csv").write_text("time,type\n2024-01-01T00:00:01Z,car\n")
    mapping = Mapping(source_from_path=pattern)

    def sources(path: str) -> set[str]:
        (an_input,) = expand([path], mapping)
        with open_reading(an_input, mapping) as reading:
            return {row["source"] for batch in reading for row in batch.events.to_pylist()}

    # Wherever somebody stands, the path is the same.
    for path in (str(folder), ".", "north_2024-01-01.csv"):
        monkeypatch.chdir(folder)
        if source is None:
            with pytest.raises(InputError, match=r"path does not end like .*--source-from-path"):
                sources(path)
        else:
            assert sources(path) == {source}


def test_the_source_of_the_path_is_part_of_what_the_content_means() -> None:
    mapping = Mapping(source_from_path="{source}/*")
    one, other = (mapping.of_file(f"/data/{name}/a.csv").meaning("csv") for name in "ab")
    assert one != other
    assert one == Mapping(source="a").meaning("csv")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"source_from_path": "*/x"}, "needs {source} once"),
        ({"source_from_path": "{source}/{source}"}, "needs {source} once"),
        ({"source_from_path": "{source}/*", "source": "a"}, "both say who saw it"),
        ({"time_column": "date,,time"}, "--time-column has an empty name"),
        ({"time_column": "date,Date"}, "names .* twice"),
        ({"time_column": "date,type"}, "--time-column and --type-column both name"),
        ({"type": " "}, "--type ' ' is not a name"),
    ],
)
def test_what_contradicts_itself_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Mapping(**given)


def test_only_what_is_on_is_taken_of_a_home(read: Read) -> None:
    content = (
        b"entity_id,state,last_changed\nbinary_sensor.hall_motion,on,2024-01-01T00:00:01.000Z\n"
        b"binary_sensor.hall_motion,off,2024-01-01T00:01:00.000Z\n"
        b"binary_sensor.hall_motion,unavailable,2024-01-01T08:02:00.000Z\n"
    )
    options = {"time_column": "last_changed", "source_column": "entity_id"}
    motion = Selection(where=("state=on",))
    found = read(content, **options, type="motion", selection=motion)
    assert found.events == [(TIME, "motion", "binary_sensor.hall_motion")]
    assert (found.rows_read, found.rows_rejected) == (3, 0)
    states = read(content, **options, type_column="state", selection=Selection(types=("on",)))
    assert (len(states.events), states.rows_read) == (1, 3)
    with pytest.raises(InputError, match=r'no column "status".*--where'):
        read(content, **options, type="motion", selection=Selection(where=("status=on",)))


PLAIN = "time,type,source\n2024-01-01T00:00:01Z,Fußgänger,Straße\n"


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("asked", [None, "cp1252"])
@pytest.mark.parametrize("block", [3, 4096])
def test_a_mark_says_the_encoding(read: Read, mark: str, asked: str | None, block: int) -> None:
    limits = Limits(block_bytes=block)
    found = read((PLAIN * 2).encode(mark), encoding=asked, limits=limits)
    assert found.events == [(TIME, "Fußgänger", "Straße")] * 2
    assert found.lines == [3]
    lines = '{"time": "2024-01-01T00:00:01Z", "type": "Fußgänger", "source": "Straße"}\n' * 3
    assert len(read(lines.encode(mark), "a.ndjson").events) == 3


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16-le", "utf-16-be", "UTF8"])
def test_an_encoding_may_be_told(read: Read, encoding: str) -> None:
    content = PLAIN.encode(encoding)
    found = read(content, encoding=encoding)
    assert found.events == [(TIME, "Fußgänger", "Straße")]
    assert found.header == b"time,type,source"
    if encoding in ("cp1252", "latin-1"):
        # Without it: these are no names, and the option is named.
        (reason,) = read(content).reasons
        assert "see --encoding" in reason


@pytest.mark.parametrize(
    ("encoding", "bad"),
    [("cp1252", b"\x81"), ("utf-16-le", b"\x00\xd8"), ("shift_jis", b"\x81"), ("ascii", b"\xe4")],
)
def test_what_an_encoding_does_not_have_rejects_its_row(
    read: Read, encoding: str, bad: bytes
) -> None:
    lines = "time,type,source\n2024-01-01T00:00:01Z,car,a\n2024-01-01T00:00:02Z,ca{},a\n"
    before, after = (lines + lines[17:44]).encode(encoding).split("{}".encode(encoding))
    found = read(before + bad + after, encoding=encoding)
    assert (len(found.events), found.lines) == (2, [3])
    assert found.reasons == ["the type is not UTF-8; see --encoding"]


@pytest.mark.parametrize("encoding", ["", "german", "utf-8\0", "base64", "unicode_escape", "idna"])
def test_what_is_no_encoding_is_refused(encoding: str) -> None:
    with pytest.raises(UsageError, match="is no name of an encoding"):
        Mapping(encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf-16", "UTF_32"])
def test_an_encoding_that_needs_a_mark_is_told_with_its_order(read: Read, encoding: str) -> None:
    assert read(PLAIN.encode(encoding), encoding=encoding).events == [(TIME, "Fußgänger", "Straße")]
    with pytest.raises(InputError, match=r"no mark to tell its bytes' order: --encoding utf-..-le"):
        read(PLAIN.encode(f"{encoding}-le"), encoding=encoding)


def test_a_header_says_that_it_is_not_utf_8(read: Read) -> None:
    content = "Zeit,Größe,Typ,Quelle\n2024-01-01T00:00:01Z,1,Pkw,a\n".encode("cp1252")
    columns = {"time_column": "Zeit", "type_column": "Typ", "source_column": "Quelle"}
    with pytest.raises(InputError, match="--encoding, such as cp1252"):
        read(content, **columns)
    found = read(content, **columns, encoding="cp1252", attributes=("Größe",))
    assert (found.events, found.attributes) == ([(TIME, "Pkw", "a")], ['{"Größe": "1"}'])


@pytest.mark.parametrize("name", ["a.tsv", "a.TSV.gz", "a.tsv.xz"])
def test_tabs_are_known_by_the_name(read: Read, name: str) -> None:
    content = b"time\ttype\tsource\n2024-01-01T00:00:01Z\tcar\ta, b\n"
    packed = {"gz": gzip.compress(content), "xz": lzma.compress(content)}
    found = read(packed.get(name[-2:], content), name)
    assert found.events == [(TIME, "car", "a, b")]
    assert found.fingerprint == read(content, "a.csv", delimiter="tab").fingerprint
    commas = read(PLAIN.encode(), "b.tsv", delimiter=",")
    assert commas.events == [(TIME, "Fußgänger", "Straße")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("block", [7, 4096])
def test_lines_above_the_header_are_skipped_when_told(read: Read, end: bytes, block: int) -> None:
    above = [b'# Export of "device 7', b"", b"# " + b"x" * 100]
    rows = [b"time,type,source", b"2024-01-01T00:00:01Z,car,c", b"x"]
    limits = Limits(block_bytes=block, line_bytes=200)
    found = read(end.join([*above, *rows]), skip_lines=3, limits=limits)
    assert (found.events, found.lines) == ([(TIME, "car", "c")], [6])
    # What is exported to be mended has these lines too, so that it is loaded as this was.
    assert found.header is not None
    again = read(found.header + b"\n" + rows[1], skip_lines=3, limits=limits)
    assert again.events == found.events
    bare = read(end.join([*above, *rows[1:]]), skip_lines=3, columns=("time", "type", "source"))
    assert (bare.events, bare.lines) == ([(TIME, "car", "c")], [5])
    with pytest.raises(InputError, match="is empty"):
        read(end.join([*above, *rows]), skip_lines=9, limits=limits)
    with pytest.raises(InputError, match="is --skip-lines right"):
        read(end.join([b"#"] * 300), skip_lines=200, limits=limits)


def test_skipping_and_a_separator_go_together(read: Read) -> None:
    content = b"Export\r\nsep=;\r\ntime;type;source\r\n2024-01-01T00:00:01Z;car;cam\r\n"
    assert read(content, skip_lines=1).events == [(TIME, "car", "cam")]


def test_blanks_around_quotes_are_no_text(read: Read) -> None:
    content = (
        b'"Timestamp", "Counter", "ObjectClass", "objectID"\n'
        b'"2024-01-01T00:00:01Z", "yellow, ""a"" ", "person", "281"\n'
        b'  "2024-01-01T00:00:01Z"\t,\t"yellow, ""a"" ",person  , "two\n lines" \n'
        b'"2024-01-01T00:00:01Z", "yellow, ""a"" ",person  ," " \n'
        b'"2024-01-01T00:00:01Z", ye"llow, "person", "281"\n'
    )
    columns = {"time_column": "Timestamp", "type_column": "ObjectClass", "source_column": "Counter"}
    found = read(content, **columns, attributes=("objectID",))
    assert found.events == [(TIME, "person", 'yellow, "a"')] * 3
    assert found.attributes == ['{"objectID": "281"}', '{"objectID": "two\\u000a lines"}',
                                '{"objectID": " "}']  # fmt: skip
    assert (found.lines, found.raws) == ([6], [content.splitlines()[5]])
    with_tabs = content.replace(b"\t", b"").replace(b"yellow,", b"yellow").replace(b",", b"\t")
    tabs = read(with_tabs, **columns, attributes=("objectID",), delimiter="tab")
    assert tabs.events == [(TIME, "person", 'yellow "a"')] * 3
    assert (tabs.attributes, tabs.lines) == (found.attributes, [6])


def test_counts_are_no_events(read: Read) -> None:
    content = (
        b'"Start Time","End Time","Enter","Exit"\n'
        b'"2024-01-01 00:00:00","2024-01-01 00:59:59","4","2"\n'
    )
    with pytest.raises(
        InputError,
        match=r'no column "time"; there are "Start Time".*counts per interval, not events',
    ):
        read(content)
