"""Known formats: options under a name, from the loader and from loader.toml."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from loader.api import LoadOptions, known_format, load_files
from loader.cli import main
from loader.delivery.destinations import find_formats
from loader.errors import UsageError
from loader.reading.batch import Reject
from loader.reading.inputs import open_reading
from loader.reading.known import as_toml, mapping_of, shipped_formats
from loader.reading.mapping import Mapping
from loader.reading.paths import expand
from loader.settings import read_settings

SAMPLES = Path(__file__).parents[2] / "docs/samples"
# What is given beside the format, as its note says.
GIVEN = {
    "atspm": {"timezone": "America/Denver"},
    "megadetector": {"timezone": "Europe/Berlin"},
}
FIRST, SECOND = "2026-03-02T08:10:10.420", "2026-03-02T08:10:11.303"
EXPECTED = {
    "atspm": [
        ("2026-03-02T15:00:00.400", "vehicle", "7115"),
        ("2026-03-02T15:00:07.000", "pedestrian", "7115"),
    ],
    "axis": [
        ("2026-03-02T08:10:10.420150", "Human", "1"),
        ("2026-03-02T08:10:10.420150", "Car", "1"),
    ],
    "axis-events": [(FIRST, "human", "B8A44F000001")],
    "camtrap-dp": [
        ("2026-03-02T02:57:37", "animal", "north"),
        ("2026-03-02T04:10:00", "human", "north"),
    ],
    "deepstream": [(FIRST, "moving", "cam-1"), (SECOND, "entry", "cam-1")],
    "deepstream-minimal": [
        (FIRST, "Vehicle", "cam-1"),
        (FIRST, "Person", "cam-1"),
        ("2026-03-02T08:10:10.486", "Person", "cam-1"),
    ],
    "frigate": [
        ("2026-03-02T08:10:05.125", "person", "gate"),
        ("2026-03-02T08:10:05.125", "person", "gate"),
        ("2026-03-02T08:11:40.750", "car", "street"),
    ],
    "frigate-events": [
        ("2026-03-02T08:10:05.125", "person", "gate"),
        ("2026-03-02T08:11:40.750", "car", "street"),
    ],
    "hikvision": [("2026-03-02T08:10:10", "VMD", "4")],
    "home-assistant": [
        (FIRST, "on", "binary_sensor.hall_motion"),
        (SECOND, "on", "binary_sensor.front_door"),
    ],
    "home-assistant-api": [
        (FIRST, "on", "binary_sensor.hall_motion"),
        (SECOND, "on", "binary_sensor.front_door"),
    ],
    "megadetector": [
        ("2026-03-02T01:57:37", "animal", "cam1"),
        ("2026-03-02T08:10:00", "person", "cam2"),
    ],
    "onvif": [(FIRST, "Line at the gate", "1"), (SECOND, "Field behind", "2")],
    "opendatacam": [(FIRST, "car", "94af"), (SECOND, "bicycle", "94af")],
    "opendatacam-csv": [(FIRST, "car", "North gate"), (SECOND, "bicycle", "North gate")],
    "opendatacam-csv-2": [(FIRST, "car", "North gate"), (SECOND, "person", "South gate")],
    "rekognition": [(FIRST, "PERSON", "gate"), (FIRST, "PET", "gate")],
    "rekognition-faces": [
        ("2026-03-02T08:10:10.500", "face", "door"),
        ("2026-03-02T08:10:10.500", "face", "door"),
    ],
    "ttn": [("2026-03-02T08:10:10.420681", "uplink", "door-1"), (SECOND, "uplink", "door-2")],
    "ttn-storage": [
        ("2026-03-02T08:10:10.420681", "uplink", "door-1"),
        (SECOND, "uplink", "door-2"),
    ],
    "ultralytics": [(FIRST, "person", "gate"), ("2026-03-02T08:10:10.620", "car", "gate")],
}


def sample(name: str) -> Path:
    (found,) = SAMPLES.glob(f"{name}.*")
    return found


def formats(tmp_path: Path, text: str) -> dict[str, Mapping]:
    (tmp_path / "loader.toml").write_text(text)
    found = find_formats(read_settings(environ={}, cwd=tmp_path))
    return {name: mapping_of(one.options) for name, one in found.items()}


def test_every_shipped_format_has_a_sample_and_says_what_it_is() -> None:
    assert {path.stem for path in SAMPLES.iterdir()} == set(shipped_formats()) == set(EXPECTED)
    for one in shipped_formats().values():
        assert one.about
        assert one.see.startswith("https://")


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_is_read_as_its_format(name: str) -> None:
    mapping = mapping_of(shipped_formats()[name].options, GIVEN.get(name, {}))
    (an_input,) = expand([str(sample(name))], mapping)
    events: list[dict[str, Any]] = []
    rejects: list[Reject] = []
    with open_reading(an_input, mapping) as reading:
        for batch in reading:
            events += batch.events.to_pylist()
            rejects += batch.rejects
    assert rejects == []
    assert [(one["event_time"], one["event_type"], one["source"]) for one in events] == [
        (datetime.fromisoformat(time).replace(tzinfo=UTC), event_type, source)
        for time, event_type, source in EXPECTED[name]
    ]


def test_the_file_says_what_format_inputs_have_where_nothing_else_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loader.toml").write_text('as = "mine"\n[formats.mine]\ntype_column = "what"\n')
    Path("a.csv").write_text("time,what,source\n2026-03-02T08:00:00Z,car,gate\n")
    assert main(["load", "a.csv", "--dry-run"]) == 0
    (found,) = load_files("a.csv", options=LoadOptions(dry_run=True))
    assert found.rows_loaded == 1
    assert main(["load", "a.csv", "--type-column", "source", "--dry-run"]) == 2
    assert main(["load", "a.csv", "--type-column", "other", "--dry-run"]) == 4
    capsys.readouterr()
    assert main(["inspect", "a.csv"]) == 0
    assert "loader load a.csv --time-column time" in capsys.readouterr().out
    Path("loader.toml").write_text('as = "frigat"\n')
    assert main(["load", "a.csv", "--dry-run"]) == 2
    assert 'loader.toml: as: "frigat" is no known format (did you mean "frigate"?)' in (
        capsys.readouterr().err
    )
    # A shipped format that is asked for does not begin with the other.
    assert main(["load", str(sample("frigate")), "--as", "frigate", "--dry-run"]) == 0
    Path("loader.toml").write_text("as = 7\n")
    assert main(["load", "a.csv", "--dry-run"]) == 2


def test_a_format_of_ones_own_begins_with_another_and_says_what_differs(tmp_path: Path) -> None:
    found = formats(
        tmp_path,
        """
        [formats.signals]
        from = "atspm"
        timezone = "Europe/Berlin"
        time-column = "When"
        type_map = { "90" = "walker", "45" = "call" }

        [formats.opendatacam-csv]
        from = "opendatacam-csv"
        source = "bridge"

        [formats.bridge]
        from = "opendatacam-csv"
        source_column = "frameId"
        """,
    )
    signals = found["signals"]
    assert (signals.timezone, signals.time_column) == ("Europe/Berlin", "When")
    assert signals.type_column == "EventCode"
    assert signals.type_map == {"82": "vehicle", "90": "walker", "45": "call"}
    assert found["opendatacam-csv"].source == "bridge"
    # One source for all, and a column for it: what is said last counts.
    assert (found["bridge"].source, found["bridge"].source_column) == (None, "frameId")
    assert found["ultralytics"].type_column == "name"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("formats = 3", r"formats: is no table; write \[formats.NAME\] for each"),
        ("[formats]\nmine = 3", r"formats.mine: is no table; write \[formats.mine\]"),
        ("[formats.mine]\ntime_colum = 'a'", r'time_colum: .* \(did you mean "time_column"\?\)'),
        ("[formats.mine]\nworkers = 2", "workers: is no option that says how to read; there are"),
        ("[formats.mine]\nfrom = 'atspn'", r'mine: "atspn" is no .* \(did you mean "atspm"\?\)'),
        ("[formats.mine]\ntime_column = 3", "formats.mine: time_column: 3 is not a text"),
        ("[formats.mine]\nabout = 3", "formats.mine: about: 3 is not a text"),
        ("[formats.mine]\ntimezone = 'Mars'", 'formats.mine: --timezone "Mars" is not a known'),
    ],
)
def test_mistakes_are_named_with_their_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=rf"loader\.toml: .*{message}"):
        formats(tmp_path, text)


def test_options_win_over_the_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loader.toml").write_text(
        "[formats.mine]\ntime_column = 'when'\nsource = 'gate'\ntime_format = 'epoch_s'\n"
    )
    file = tmp_path / "a.csv"
    file.write_text("when,seen,type,who\n1,1772438405,car,x\n")
    load = ["load", "--dry-run", "--json", "--as", "mine"]
    assert main([*load, "--time-column", "seen", str(file)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["rows_loaded"], result["first_event_at"][:10]) == (1, "2026-03-02")
    # So does what is the default otherwise.
    assert main([*load, "--time-format", "iso", str(file)]) == 3

    assert main([*load[:-1], "nine", str(file)]) == 2
    assert '"nine" is no known format (did you mean "mine"?); see: loader formats' in (
        capsys.readouterr().err
    )


def test_conditions_on_other_columns_and_renamings_of_other_types_add_up() -> None:
    layers: tuple[dict[str, Any], ...] = (
        {"where": ["score>=0.2", "state=on"], "type_map": {"1": "car", "2": "van"}},
        {"where": ["score>=0.5"], "type_map": {"2": "truck"}},
        {"where": ["gate!=north"]},
    )
    mapping = mapping_of(*layers)
    assert mapping.selection is not None
    assert mapping.selection.where == ("state=on", "score>=0.5", "gate!=north")
    assert mapping.type_map == {"1": "car", "2": "truck"}


def test_a_pattern_of_a_column_goes_with_it() -> None:
    base = {"type_column": "path", "type_pattern": "([^/]+)$", "source_pattern": "(.)"}
    assert mapping_of(base, {"type": "door"}).type_pattern is None
    assert mapping_of(base, {"type_column": "name"}).type_pattern is None
    assert mapping_of(base, {"type_pattern": "^(.)"}).type_column == "path"
    assert mapping_of(base, {"time_column": "at"}).source_pattern == "(.)"


def test_a_program_gets_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loader.toml").write_text("[formats.mine]\nfrom = 'atspm'\n")
    mapping = known_format("mine", timezone="America/Denver", types=["vehicle"])
    assert (mapping.time_column, mapping.timezone) == ("Timestamp", "America/Denver")
    assert mapping.selection is not None
    assert mapping.selection.types == ("vehicle",)
    with pytest.raises(UsageError, match=r'timezon: .* \(did you mean "timezone"\?\)'):
        known_format("mine", timezon="UTC")


def test_formats_are_listed_and_what_one_says_may_stand_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["formats"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in EXPECTED)
    for name, one in shipped_formats().items():
        assert main(["formats", name]) == 0
        text = capsys.readouterr().out
        assert text == f"{as_toml(one)}\n"
        (tmp_path / "loader.toml").write_text(text)
        own = find_formats(read_settings(environ={}, cwd=tmp_path))[name]
        assert (own.options, own.note, own.is_shipped) == (one.options, one.note, False)
        (tmp_path / "loader.toml").unlink()
    assert main(["formats", "--json", "atspm"]) == 0
    (shown_as_json,) = json.loads(capsys.readouterr().out)
    assert shown_as_json["options"]["type_map"] == {"82": "vehicle", "90": "pedestrian"}
