from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from loader.database.connection import redact
from loader.database.conninfo import with_connection
from loader.delivery.destinations import destination_names, find_destination, find_destinations
from loader.errors import UsageError
from loader.settings import Settings, read_settings

WHOLE = """
partition_by = "week"

[destinations.realtime]
dsn_env = "REALTIME_DSN"
types = ["car", " van "]
sources = ["gate"]
since = 2024-05-13T00:00:00+02:00
until = 2025-01-01T00:00:00Z
partition_by = "day"
retain = "14d"

[destinations.archive]
dsn_env = "ARCHIVE_DSN"
"""
DSNS = {
    "REALTIME_DSN": "host=a dbname=realtime password=one",
    "ARCHIVE_DSN": "postgresql://me:two@b/archive",
}


def settings(tmp_path: Path, text: str | None = WHOLE, **environ: str) -> Settings:
    if text is not None:
        (tmp_path / "loader.toml").write_text(text)
    return read_settings(environ=DSNS | environ, cwd=tmp_path)


def test_all_of_it_is_read(tmp_path: Path) -> None:
    realtime, archive = find_destinations(settings(tmp_path))
    assert (realtime.name, archive.name) == ("realtime", "archive")
    assert realtime.selection is not None
    assert realtime.selection.types == ("car", "van")
    assert realtime.selection.sources == ("gate",)
    assert realtime.selection.since == datetime(2024, 5, 12, 22, tzinfo=UTC)
    assert (realtime.retain, realtime.settings.partition_by) == ("14 days", "day")
    assert (archive.selection, archive.retain, archive.settings.partition_by) == (
        None,
        None,
        "week",
    )
    assert "dbname=realtime" in realtime.dsn()


def test_what_the_environment_says_of_partitions_wins_over_the_general_key(tmp_path: Path) -> None:
    found = find_destinations(settings(tmp_path, LOADER_PARTITION_BY="month"))
    assert [one.settings.partition_by for one in found] == ["day", "month"]


def test_names_choose(tmp_path: Path) -> None:
    given = settings(tmp_path)
    assert [one.name for one in find_destinations(given, ["archive", "realtime"])] == [
        "realtime", "archive",
    ]  # fmt: skip
    assert find_destination(given, "archive").name == "archive"
    with pytest.raises(UsageError, match='"backup" is not one of realtime, archive'):
        find_destinations(given, ["backup"])
    with pytest.raises(UsageError, match="--to realtime or --to archive"):
        find_destination(given)


def test_a_file_as_editors_on_windows_write_it(tmp_path: Path) -> None:
    text = "\ufeff" + WHOLE.replace("\n", "\r\n")
    assert len(find_destinations(settings(tmp_path, text))) == 2


def test_without_a_file_there_is_one_database(tmp_path: Path) -> None:
    given = settings(tmp_path, None, LOADER_DSN="host=x", LOADER_PARTITION_BY="day")
    (only,) = find_destinations(given)
    assert (only.name, only.dsn(), only.settings.partition_by) == (None, "host=x", "day")
    assert destination_names(given) == ()
    with pytest.raises(UsageError, match="there are no destinations in"):
        find_destination(given, "archive")


def test_a_file_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(WHOLE)
    given = settings(tmp_path, None, LOADER_CONFIG=str(tmp_path / "other.toml"))
    assert destination_names(given) == ("realtime", "archive")
    with pytest.raises(UsageError, match=r"none\.toml: cannot be read: No such file"):
        destination_names(settings(tmp_path, None, LOADER_CONFIG=str(tmp_path / "none.toml")))


def test_a_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    given = settings(tmp_path, ARCHIVE_DSN="")
    with pytest.raises(UsageError, match=r"archive\.dsn_env: .* ARCHIVE_DSN is not set; set it"):
        find_destinations(given)
    assert len(find_destinations(given, needs_dsn=False)) == 2
    assert find_destination(given, "realtime").name == "realtime"


def test_a_connection_string_that_cannot_be_read_is_not_shown(tmp_path: Path) -> None:
    given = settings(tmp_path, ARCHIVE_DSN="postgresql://me:p@ss@host/db")
    with pytest.raises(UsageError) as raised:
        find_destinations(given)
    assert "ARCHIVE_DSN (destination archive) cannot be read" in str(raised.value)
    assert "p@ss" not in str(raised.value)


def test_one_database_under_two_names_is_refused(tmp_path: Path) -> None:
    given = settings(tmp_path, ARCHIVE_DSN="postgresql://other@a/realtime")
    with pytest.raises(UsageError, match="realtime and archive are the same database"):
        find_destinations(given)


def test_no_password_is_shown_of_any(tmp_path: Path) -> None:
    for one in find_destinations(settings(tmp_path)):
        shown = redact(f"{DSNS['ARCHIVE_DSN']} and one and two", one.settings)
        assert shown == "*** and *** and ***"
        assert "password=one" not in repr(one)
        assert "two" not in repr(one)


def test_another_process_connects_as_this_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    given = {"PGHOST": "wrong", "PGPORT": "5433", "PGPASSWORD": "wrong", "PGUSER": "me"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    dsn = find_destination(settings(tmp_path), "realtime").dsn()
    assert with_connection({"PATH": "/bin", **given}, dsn) == {
        "PATH": "/bin", "PGHOST": "a", "PGPORT": "5433", "PGDATABASE": "realtime", "PGUSER": "me",
        "PGPASSWORD": "one",
    }  # fmt: skip


def test_a_service_is_resolved_for_programs_that_know_of_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = tmp_path / "services"
    services.write_text("[marts]\nhost=db.example\nport=6543\nuser=alice\nsslmode=require\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    monkeypatch.setenv("PGSERVICE", "another")
    found = with_connection(os.environ, "service=marts dbname=events")
    del found["PGSERVICEFILE"]  # without a service, it says nothing
    assert {name: value for name, value in found.items() if name.startswith("PG")} == {
        "PGHOST": "db.example", "PGPORT": "6543", "PGUSER": "alice", "PGDATABASE": "events",
        "PGSSLMODE": "require",
    }  # fmt: skip
    assert os.environ["PGSERVICE"] == "another"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = ", "is no TOML: Invalid value (at end of document)"),
        ("a = 1", "a: is not one of partition_by, as, destinations"),
        ('partition_by = "year"', "partition_by: 'year' is not one of month, week, day"),
        ("destinations = 3", "destinations: is no table; write [destinations.NAME] for each"),
        ("[destinations]\na = 3", "destinations.a: is no table; write [destinations.a]"),
        ('[destinations."a b"]', "destinations.a b: a name has letters, digits, - and _ only"),
        ("[destinations.a]", "destinations.a: dsn_env: is missing; name an environment variable"),
        (
            '[destinations.a]\ndsn_env = "postgresql://me:secret@host/db"',
            "destinations.a: dsn_env: is not the name of an environment variable",
        ),
        (
            '[destinations.a]\ndsn = "postgresql://me:secret@host/db"',
            "destinations.a: dsn: passwords do not belong in this file",
        ),
        ("[destinations.a]\ndsn_env = true", "destinations.a: dsn_env: True is not a text"),
        ("{}kept = 3", "destinations.a: kept: is not one of dsn_env, types, sources"),
        (
            '{}types = "car"',
            "destinations.a: types: 'car' is one text where several are meant; write ['car']",
        ),
        ("{}types = []", "destinations.a: types: none are wanted"),
        ("{}sources = [1]", "destinations.a: sources: [1] has 1, which is not a text"),
        ('{}since = "2024"', "destinations.a: since: '2024' is not a time such as 2024-05-13T15"),
        (
            "{}since = 2024-05-13",
            "destinations.a: since: 2024-05-13 is a date without a time of day",
        ),
        ("{}since = 2024-05-13T00:00:00", "a: since: 2024-05-13T00:00:00 has no offset"),
        (
            "{}since = 2024-05-13T00:00:00Z\nuntil = 2024-05-12T00:00:00Z",
            "destinations.a: since is not before until",
        ),
        ('{}retain = "soon"', 'destinations.a: retain: "soon" is not an age such as 13months'),
        ('{}retain = "3d"', "destinations.a: retain: 3d is less than 7 days"),
        ("{}retain = 14", 'destinations.a: retain: "14" is not an age such as 13months'),
        ('{}partition_by = "hour"', "destinations.a: partition_by: 'hour' is not one of month"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "loader.toml"
    path.write_text(text.replace("{}", '[destinations.a]\ndsn_env = "A"\n'))
    with pytest.raises(UsageError) as raised:
        find_destinations(read_settings(environ={}, cwd=tmp_path), needs_dsn=False)
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    assert says in message
    assert "\n" not in message
    assert "secret" not in message
    assert raised.value.exit_code == 2


def test_what_is_no_text_is_no_toml(tmp_path: Path) -> None:
    (tmp_path / "loader.toml").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="is no TOML"):
        find_destinations(read_settings(environ={}, cwd=tmp_path))
