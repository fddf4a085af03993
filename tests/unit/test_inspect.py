"""``loader inspect``: what a file seems to be, and a command that loads it."""

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loader.cli import main

from .test_known import EXPECTED, sample

Capture = pytest.CaptureFixture[str]
SECONDS = "2026-03-02T08:00:0%dZ"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder without ``loader.toml``."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def inspected(path: str | Path, capsys: Capture) -> dict[str, Any]:
    assert main(["inspect", "--json", str(path)]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def loaded(command: str, capsys: Capture) -> dict[str, Any]:
    """Run a command that was proposed, but for writing anything."""
    loader, *arguments = shlex.split(command)
    assert loader == "loader"
    assert main([*arguments, "--dry-run", "--json"]) == 0, capsys.readouterr().err
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.parametrize("name", EXPECTED)
def test_known_formats_come_first_and_their_command_loads_the_sample(
    name: str, capsys: Capture
) -> None:
    found = inspected(sample(name), capsys)
    assert found["known"][0] == name
    assert found["command"].startswith(
        shlex.join(["loader", "load", str(sample(name)), "--as", name])
    )
    result = loaded(found["command"], capsys)
    assert result["rows_loaded"] == found["rows_usable"] == len(EXPECTED[name])
    assert result["rows_rejected"] == found["rows_rejected"] == 0


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.csv", "time,type,source\n2026-03-02T08:00:05Z,car,a\n", ""),
        (
            "b.csv",
            "Klasse;Zeit;class\n2;02.03.2026 08:00:05;Pkw\n3;02.03.2026 08:01:05;Lkw\n",
            "--delimiter ';' --time-column Zeit --time-format '%d.%m.%Y %H:%M:%S' --timezone UTC"
            " --type-column class --source b",
        ),
        (
            "c.csv",
            "1772438405000,car,gate\n1772438441000,van,gate\n",
            "--columns time,type,source --time-format epoch_ms",
        ),
        (
            "d.csv",
            "# counter 7\n# since monday\nseen,label,camera_id\n2026-03-02 08:00:05+01:00,car,c\n",
            "--skip-lines 2 --time-column seen --type-column label --source-column camera_id",
        ),
        ("e.tsv", "time\ttype\tsource\n2026-03-02T08:00:05Z\tcar\ta\n", ""),
        (
            "f.csv",
            "date,time,vehicle_class\n2026-03-02,08:00:05,car\n",
            "--time-column date,time --timezone UTC --type-column vehicle_class --source f",
        ),
        (
            "g.csv",
            "time,Größe,type,source\n2026-03-02T08:00:05Z,1,Fußgänger,a\n".encode("cp1252"),
            "--encoding cp1252",
        ),
        (
            "door.csv",
            "opened\n2026-03-02T08:00:05Z\n2026-03-02T08:00:06Z\n",
            "--time-column opened --type event --source door",
        ),
        (
            "h.json",
            '[{"when": {"at": 1772438405}, "what": "car", "who": {"camera": "g"}}]',
            "--time-column when.at --time-format epoch_s --type-column what"
            " --source-column who.camera",
        ),
        (
            "i.json",
            '{"site": "s",\n "passed": [{"time": "2026-03-02T08:00:05Z", "class": "car"}]}',
            "--time-column 'passed[].time' --type-column 'passed[].class' --source-column site",
        ),
        ("k.csv", '{"time":"2026-03-02T08:00:05Z","type":"car","source":"a"}\n', "--format ndjson"),
        (
            "half.json",
            '{"time":"2026-03-02T08:00:05Z","type":"car","source":"a","b\\ud83d":"\\ud83d"}\n',
            "",
        ),
        ("i.log", "time,type,source\n2026-03-02T08:00:05Z,car,a\n", "--format csv"),
        (
            "two.json",
            '{"cams": [{"camera": "x"}], "seen": [{"time": "2026-03-02T08:00:05Z", "kind": 1}]}',
            "--time-column 'seen[].time' --type-column 'seen[].kind' --source two",
        ),
        (
            "-k.csv",
            '"Date, UTC";type;source\n2026-03-02T08:00:05Z;car;a\n',
            "--delimiter ';' --time-column '\"Date, UTC\"'",
        ),
        (
            "j.ndjson",
            '{"a.time": "2026-03-02T08:00:05Z", "type": "car", "source": "x"}\n',
            r"--time-column 'a\.time'",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 9 else "",
)
def test_any_other_file_gets_columns_that_could_be_it(
    name: str, content: str | bytes, options: str, capsys: Capture
) -> None:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    path = f"./{name}" if name.startswith("-") else name
    found = inspected(path, capsys)
    assert found["command"] == f"loader load {path} {options}".strip()
    assert loaded(found["command"], capsys)["rows_loaded"] == found["rows_usable"] > 0


def test_parquet_is_looked_at_with_what_is_nested_in_it(capsys: Capture) -> None:
    rows = [{"seen": {"time": 1772438405, "class": "car"}, "cam": "a"}]
    pq.write_table(pa.Table.from_pylist(rows), "a.parquet")
    found = inspected("a.parquet", capsys)
    assert [column["name"] for column in found["columns"]] == ["seen.time", "seen.class", "cam"]
    assert loaded(found["command"], capsys)["rows_loaded"] == 1


def test_a_large_document_is_known_by_its_beginning(capsys: Capture) -> None:
    passed = {"time": SECONDS % 1, "class": "car", "note": "x]}" * 300}
    document = {"site": "north", "passed": [passed] * 3000}
    Path("large.json").write_text(json.dumps(document, indent=1))
    assert Path("large.json").stat().st_size > 2 << 20
    found = inspected("large.json", capsys)
    assert found["shape"] == "JSON (a document)"
    assert "--time-column 'passed[].time'" in found["command"]
    assert loaded(found["command"], capsys)["rows_loaded"] == 3000


@pytest.mark.parametrize(
    ("name", "shown"), [("home-assistant-api", "JSON (an array)"), ("frigate", "ndjson")]
)
def test_json_is_called_what_it_is(name: str, shown: str, capsys: Capture) -> None:
    assert main(["inspect", str(sample(name))]) == 0
    assert f"{sample(name)}: {shown}, as {name}\n" in capsys.readouterr().out


def test_one_bad_row_hides_nothing_and_is_shown(capsys: Capture) -> None:
    rows = "".join(f"{SECONDS % (at % 10)},car,a\n" for at in range(20))
    Path("a.csv").write_text(f"time,type,source\n25:00,car,a\n{rows}")
    assert main(["inspect", "a.csv"]) == 0
    shown = capsys.readouterr().out
    assert '20 rows of its beginning are usable, 1 not: "25:00" is not a time' in shown
    assert "\n  loader load a.csv\n" in shown
    # Of JSON, what is bad comes in a batch of its own.
    good = json.dumps({"time": SECONDS % 1, "type": "car", "source": "a"})
    Path("b.ndjson").write_text(f"{good},\n{good}\n")
    found = inspected("b.ndjson", capsys)
    assert (found["rows_usable"], found["rows_rejected"]) == (1, 1)
    assert "a comma follows the object" in found["problem"]


def test_columns_that_are_there_twice_are_said_of_parquet_too(capsys: Capture) -> None:
    columns = [pa.array([SECONDS % 1]), pa.array(["car"]), pa.array(["van"]), pa.array(["a"])]
    pq.write_table(pa.table(columns, names=["time", "type", "type", "source"]), "a.parquet")
    assert main(["inspect", "a.parquet"]) == 4
    assert 'column "type" is there 2 times' in capsys.readouterr().err


def test_what_only_a_person_knows_is_said(capsys: Capture) -> None:
    Path("a.csv").write_text("opened\n2026-03-02 08:00:05\n")
    assert main(["inspect", "a.csv"]) == 0
    shown = capsys.readouterr().out
    assert "put the one of the place instead of UTC" in shown
    assert "No column seems to say what was seen" in shown
    assert "No column seems to say who saw it" in shown


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Start Time,End Time,Enter\n2026-03-02 00:00:00,2026-03-02 00:59:59,4\n", "not events"),
        (b"a,b\n1,2\n", "no way to load it was found: no column seems to hold times"),
        (b'{"id": 1, "body": "{\\"time\\": 1}"}\n', "(jq -c '.\"body\" | fromjson')"),
        (b"", "holds no rows"),
        (b"time,type,source\n", "holds no rows"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(32)) * 20, "is not text"),
        (b"<html><body>log in</body></html>", "is a web page"),
    ],
)
def test_what_cannot_be_loaded_is_said(content: bytes, message: str, capsys: Capture) -> None:
    Path("a.csv").write_bytes(content)
    assert main(["inspect", "a.csv"]) == 4
    said = capsys.readouterr().err
    assert message in said
    assert said.count("a.csv") == 1


def test_what_can_be_read_only_once_is_refused(capsys: Capture) -> None:
    os.mkfifo("a.csv")
    for path in ("a.csv", "-"):
        assert main(["inspect", path]) == 4
        assert f"{path}: is read several times, so it must be a file" in capsys.readouterr().err
    assert main(["inspect", "b.csv"]) == 4
    assert "b.csv: no such file or directory" in capsys.readouterr().err


def test_what_is_no_json_at_all_is_said(capsys: Capture) -> None:
    Path("a.ndjson").write_text('topic {"time": 1}\n')
    assert main(["inspect", "a.ndjson"]) == 4
    assert "a.ndjson: no line is a JSON object; line 1: " in capsys.readouterr().err


def test_names_and_values_cannot_touch_the_terminal(capsys: Capture) -> None:
    Path("a.csv").write_text("time,type,[red]source,x\n2026-03-02T08:00:05Z,car,a,\x1b[31m\n")
    assert main(["inspect", "a.csv"]) == 0
    shown = capsys.readouterr().out
    assert "[red]source" in shown
    assert "\x1b" not in shown


def test_a_format_of_ones_own_is_found_too(capsys: Capture) -> None:
    Path("loader.toml").write_text(
        "[formats.mine]\ntime_column = 'when'\ntype_column = 'sort'\nsource = 'gate'\n"
    )
    Path("a.csv").write_text("sort,when\ncar,2026-03-02T08:00:05Z\n")
    assert inspected("a.csv", capsys)["command"] == "loader load a.csv --as mine"
