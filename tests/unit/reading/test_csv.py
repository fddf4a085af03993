from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loader.errors import InputError
from loader.reading.limits import Limits

if TYPE_CHECKING:
    from tests.unit.conftest import Read

HEADER = b"time,type,source\n"
ROW = b"2024-05-13T15:00:00Z,car,north\n"
EVENT = ("2024-05-13 15:00:00", "car", "north")


@pytest.mark.parametrize(
    ("line", "column", "says"),
    [
        (b"\\.", None, "1 fields instead of 3"),
        (b"2024-05-13T15:00:00Z,car", None, "2 fields instead of 3"),
        (b"2024-05-13T15:00:00Z,car,north,", None, "4 fields instead of 3"),
        (b'2024-05-13T15:00:00Z,"car,north', None, "not closed"),
        (b'2024-05-13T15:00:00Z,car,"north', None, "not closed"),
        (b'2024-05-13T15:00:00Z,ca"r,north', None, "inside a field"),
        (b'2024-05-13T15:00:00Z,"car"s,north', None, "inside a field"),
        (b'2024-05-13T15:00:00Z, "car"s,north', None, "inside a field"),
        (b'2024-05-13T15:00:00Z, "car" "s",north', None, "inside a field"),
        (b'2024-05-13T15:00:00Z,c "ar",north', None, "inside a field"),
        (b'2024-05-13T15:00:00Z, "car,north', None, "not closed"),
        (b"now,car,north", "time", "not a time"),
        (b"infinity,car,north", "time", "not a time"),
        (b",car,north", "time", "empty"),
        (b",,", "time", "empty"),
        (b"2024-05-13 15:00:00,car,north", "time", "--timezone"),
        (b"2024-02-30T15:00:00Z,car,north", "time", "does not exist"),
        (b"\xff\xfe,car,north", "time", "not a time"),
        (b"2024-05-13T15:00:00Z\0,car,north", "time", "not a time"),
        (b"2024-05-13T15:00:00Z,,north", "type", "the type is empty"),
        (b'2024-05-13T15:00:00Z,"",north', "type", "the type is empty"),
        (b"2024-05-13T15:00:00Z,car, \t", "source", "the source is empty"),
        (b"2024-05-13T15:00:00Z,car,\xff", "source", "not UTF-8"),
        (b"2024-05-13T15:00:00Z,c\0r,north", "type", "control character"),
        (b"2024-05-13T15:00:00Z,car,no\x1brth", "source", "control character"),
        (b"2024-05-13T15:00:00Z,car," + b"n" * 201, "source", "longer than 200 bytes"),
        (b"x,y,z", "time", "not a time"),
        (HEADER[:-1], "time", "not a time"),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_bad_line_is_rejected_alone(
    read: Read, line: bytes, column: str | None, says: str, end: bytes
) -> None:
    content = (HEADER + ROW).replace(b"\n", end) + line + (b"\n" + ROW + ROW).replace(b"\n", end)
    found = read(content)
    assert found.events == [EVENT] * 3
    (reject,) = found.rejects
    assert (reject.line_number, reject.column_name, reject.raw) == (3, column, line)
    assert says in reject.reason
    assert (found.rows_read, found.rows_rejected) == (4, 1)
    # As the last line, without a line end.
    last = read((HEADER + ROW).replace(b"\n", end) + line)
    assert (last.events, last.raws, last.reasons) == ([EVENT], [line], found.reasons)


def test_plain(read: Read) -> None:
    found = read(HEADER + ROW + ROW)
    assert found.events == [EVENT, EVENT]
    assert (found.rejects, found.rows_read, found.header) == ([], 2, HEADER[:-1])


@pytest.mark.parametrize(
    "header", [b"\xef\xbb\xbftime,type,source", b" Time ,TYPE,Source", b'"time","type",source']
)
def test_headers_may_be_written_differently(read: Read, header: bytes) -> None:
    assert read(header + b"\n" + ROW).events == [EVENT]


def test_an_exact_name_wins_over_one_in_another_case(read: Read) -> None:
    found = read(b"TIME,time,type,source\nx," + ROW)
    assert found.events == [EVENT]


def test_other_columns_may_repeat_and_hold_anything(read: Read) -> None:
    found = read(b"x,time,x,type,source,\n\xff,2024-05-13T15:00:00Z,\0,car,north,\n")
    assert found.events == [EVENT]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_line_ends(read: Read, end: bytes) -> None:
    assert read((HEADER + ROW * 3).replace(b"\n", end)).events == [EVENT] * 3


def test_line_ends_may_mix(read: Read) -> None:
    found = read(HEADER + ROW[:-1] + b"\r\n" + ROW[:-1] + b"\r" + ROW + b"x\r\n" + ROW[:-1])
    assert found.events == [EVENT] * 4
    assert (found.lines, found.raws) == ([5], [b"x"])


@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b"  \t\n", b"\n\n\n"])
def test_blank_lines_are_no_rows(read: Read, blank: bytes) -> None:
    found = read(blank + HEADER + blank + ROW + blank + b"x\n" + ROW + blank)
    assert (found.events, found.rows_read) == ([EVENT, EVENT], 3)
    assert found.lines == [3 + 3 * blank.count(b"\n")]


@pytest.mark.parametrize("delimiter", [";", "\t", "|", "\\t", "tab"])
def test_delimiters(read: Read, delimiter: str) -> None:
    sign = b"\t" if len(delimiter) > 1 else delimiter.encode()
    found = read((HEADER + ROW).replace(b",", sign), delimiter=delimiter)
    assert found.events == [EVENT]


def test_rows_of_empty_fields_between_tabs_are_rows(read: Read) -> None:
    found = read((HEADER + b",,\n" + ROW).replace(b",", b"\t"), delimiter="\t")
    assert (found.events, found.raws) == ([EVENT], [b"\t\t"])


def test_columns_name_a_file_without_header(read: Read) -> None:
    found = read(ROW + b"x,y\n", columns=("time", "type", "source"))
    assert (found.events, found.lines, found.header) == ([EVENT], [2], None)


def test_columns_are_mapped(read: Read) -> None:
    found = read(
        b"when,what,where\n1715612400,82,north\n1715612400,90,north\n",
        time_column="when",
        type_column="what",
        source="all",
        time_format="epoch_s",
        type_map={"82": "car", " 90 ": "pedestrian"},
    )
    assert found.events == [
        ("2024-05-13 15:00:00", "car", "all"),
        ("2024-05-13 15:00:00", "pedestrian", "all"),
    ]


def test_names_are_trimmed_and_merged(read: Read) -> None:
    row = b"2024-05-13T15:00:00Z, car ,\xc2\xa0north\n"
    assert read(HEADER + ROW + row).events == [EVENT, EVENT]


def test_quoted_fields(read: Read) -> None:
    row = b'"2024-05-13T15:00:00Z","c""a,r","n, o"\n'
    found = read(HEADER + ROW + row + b'2024-05-13T15:00:00Z,"""",x\n' + ROW)
    assert found.events == [
        EVENT,
        ("2024-05-13 15:00:00", 'c"a,r', "n, o"),
        ("2024-05-13 15:00:00", '"', "x"),
        EVENT,
    ]


def test_a_quoted_field_may_go_over_lines(read: Read) -> None:
    note = b'2024-05-13T15:00:00Z,car,north,"one,\r\n\r\n ""two""\n"\n'
    header = b"time,type,source,note\n"
    found = read(header + note + b"x\n" + note, attributes=("note",))
    assert found.events == [EVENT, EVENT]
    assert found.attributes == [r'{"note": "one,\u000d\u000a\u000d\u000a \"two\"\u000a"}'] * 2
    assert (found.lines, found.raws) == ([6], [b"x"])


def test_a_rejected_row_of_several_lines_is_kept_whole(read: Read) -> None:
    row = b'now,car,north,"one\n\ntwo"'
    found = read(b"time,type,source,note\n" + row + b"\n")
    assert (found.events, found.lines, found.raws) == ([], [2], [row])


def test_a_forgotten_quote_swallows_no_good_row(read: Read) -> None:
    bad = b'2024-05-13T15:00:00Z,car,"north\n'
    # The quote after the good rows would close the first one, and make one long source of all.
    found = read(HEADER + bad + ROW * 3 + b'2024-05-13T15:00:00Z,car,north"\n' + ROW)
    assert found.events == [EVENT] * 4
    assert found.lines == [2, 6]


def test_a_row_may_begin_with_a_field_of_several_lines(read: Read) -> None:
    # The last line of it alone has the time where it belongs, too.
    row = b'"one,\n","2024-05-13T15:00:00Z","car","north"\n'
    assert read(b"note,time,type,source\n" + row * 2).events == [EVENT, EVENT]


def test_a_forgotten_quote_ends_with_the_longest_row(read: Read) -> None:
    limits = Limits(block_bytes=256, line_bytes=200)
    bad = b'2024-05-13T15:00:00Z,car,"north\n'
    found = read(HEADER + bad + b"x\n" * 200 + b'"\n' + ROW, limits=limits)
    assert found.events == [EVENT]
    assert found.rows_rejected == 202


@pytest.mark.parametrize("size", [500, 5_000, 50_000])
@pytest.mark.parametrize("end", [b"\n", b"\r"])
def test_a_row_that_is_too_long_is_rejected_with_its_start(
    read: Read, size: int, end: bytes
) -> None:
    limits = Limits(block_bytes=4096, line_bytes=400, raw_bytes=30)
    bad = b"2024-05-13T15:00:00Z,car,".ljust(size, b"x")
    found = read((HEADER + ROW + bad + b"\n" + ROW + b"y\n").replace(b"\n", end), limits=limits)
    assert found.events == [EVENT, EVENT]
    assert (found.lines, found.raws) == ([3, 5], [bad[:30], b"y"])
    assert f"{size:,} bytes" in found.reasons[0]
    assert read(HEADER + bad, limits=limits).raws == [bad[:30]]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("block", [7, 75, 1 << 20])
def test_the_longest_row_is_still_a_row(read: Read, end: bytes, block: int) -> None:
    longest = ROW[:-1].ljust(150)
    limits = Limits(block_bytes=block, line_bytes=150, raw_bytes=20)
    found = read(end.join([HEADER[:-1], longest, longest + b" ", longest, b""]), limits=limits)
    assert (found.events, found.lines) == ([EVENT, EVENT], [3])


def test_kept_rejects_are_bounded_but_all_are_counted(read: Read) -> None:
    limits = Limits(block_bytes=1000, rejects_kept=150)
    found = read(HEADER + (b"x\n" + b"now,a,b\n") * 1000 + ROW, limits=limits)
    assert (len(found.rejects), found.rows_rejected, found.rows_read) == (150, 2000, 2001)
    assert found.lines == list(range(2, 152))


def test_attributes_keep_texts(read: Read) -> None:
    header = b"time,type,source,note,speed\n"
    row = b"2024-05-13T15:00:00Z,car,north,"
    content = header + row + b"a\\b\tc,5\n" + row + b",\n" + row + b"\xff,1\n" + row + b"a,\0\n"
    found = read(content, attributes=("note", "speed"))
    assert found.attributes == [
        r'{"note": "a\\b\u0009c", "speed": "5"}',
        '{"note": "", "speed": ""}',
    ]
    assert [(one.line_number, one.column_name) for one in found.rejects] == [
        (4, "note"),
        (5, "speed"),
    ]


def test_a_needed_column_may_be_an_attribute_too(read: Read) -> None:
    found = read(HEADER + ROW, attributes=("type", "time"))
    assert found.attributes == ['{"type": "car", "time": "2024-05-13T15:00:00Z"}']


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\n \r\n", "is empty"),
        (b"when,type,source\n" + ROW, r'no column "time"; there are "when", .*--time-column'),
        (b"time,what,source\n" + ROW, "--type-column"),
        (b"time,type,where\n" + ROW, "--source-column.*--source NAME"),
        (b"time,type,source,time\n" + ROW, r'"time" is there 2 times \(columns 1 and 4\)'),
        (b"Time,type,source,TIME\n" + ROW, "is there 2 times"),
        (b"time;type;source\n", "--delimiter ';'"),
        (b"time\ttype\tsource\n", r"--delimiter '\\t'"),
        (b"time,ty\xffpe,source\n", "not UTF-8.*--encoding, such as cp1252"),
        (b"time,type,source,\0\n", "binary"),
        (b'time,"type,source\n' + ROW, "header"),
        (b"PAR1" + ROW, "is Parquet"),
        (b"PK\x03\x04" + ROW, r"zip archive, as spreadsheets \(.xlsx"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1" + ROW, "old Office"),
        (b"%PDF-1.7\n" + ROW, "is a PDF"),
        (b"\n <!DOCTYPE html>\n<html>" + ROW, "web page, perhaps one that asks to log in"),
        (b"<HTML><body>" + ROW, "web page"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>' + ROW, "is XML"),
        (b"<events>\n<event/>\n", "looks like XML"),
        (b'{"time": 1, "type": "car"}\n', "looks like JSON: --format ndjson"),
        (b"# Export\n# created\n" + HEADER + ROW, "line 3 looks like the header: --skip-lines 2"),
        (b"\nExport\n\n" + HEADER + ROW, "line 3 looks like the header"),
        (
            b"Export;;\nTime;type;source\n",
            "line 2 looks like the header: --skip-lines 1 --delimiter ';'",
        ),
        (b"# when,what,where\n" + ROW, "looks like a comment"),
        (ROW + ROW, "seems to have no header: name its columns with --columns"),
        (bytes(range(32)) * 100, "is not text"),
        ((HEADER + ROW).decode().encode("utf-16-le"), "--encoding utf-16-le"),
        ((HEADER + ROW).decode().encode("utf-16-be"), "--encoding utf-16-be"),
        (b"t" * 5000 + b"\n" + ROW, "first line is longer"),
    ],
)
def test_unusable_files(read: Read, content: bytes, says: str) -> None:
    limits = Limits(block_bytes=4096, line_bytes=2048)
    with pytest.raises(InputError, match=says) as caught:
        read(content, limits=limits)
    assert "events.csv: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\n"])
@pytest.mark.parametrize("line", [b"sep=;\n", b'"sep=;"\r\n', b"SEP=;\n\n", b"sep=;;;\n"])
@pytest.mark.parametrize("block_bytes", [8, 4096])
def test_a_spreadsheet_says_itself_what_separates_its_fields(
    read: Read, start: bytes, line: bytes, block_bytes: int
) -> None:
    limits = Limits(block_bytes=block_bytes, line_bytes=2048)
    content = (HEADER + ROW + b"25:00,car,north\n").replace(b",", b";")
    found = read(start + line + content, limits=limits)
    assert found.events == [EVENT]
    assert found.lines == [3 + (start + line).count(b"\n")]
    # What is exported is loaded as this is.
    assert read((found.header or b"") + b"\n" + ROW.replace(b",", b";")).events == [EVENT]
    bare = read(start + line + ROW.replace(b",", b";"), columns=("time", "type", "source"))
    assert (bare.events, bare.rows_rejected) == ([EVENT], 0)


def test_a_column_may_be_called_like_markup(read: Read) -> None:
    assert read(b"<time>,type,source\n" + ROW, time_column="<time>").events == [EVENT]


def test_attributes_must_be_there(read: Read) -> None:
    with pytest.raises(InputError, match=r'no column "speed".*--attributes'):
        read(HEADER + ROW, attributes=("speed",))


def test_a_header_without_rows_is_fine(read: Read) -> None:
    for content in (HEADER, HEADER[:-1], HEADER + b"\n\n"):
        found = read(content)
        assert (found.events, found.rows_read) == ([], 0)
