"""What members of each role may do, and what not, logged in as such."""

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection, errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from loader.database.connection import connect
from loader.server.cluster import Cluster

Run = Callable[..., Any]
Write = Callable[..., Path]

# What dbt makes, as far as the loader looks at it.
MODELS = """
set role {transformer};
create table analytics.model_progress
    (model_name text primary key, load_seq bigint, definition jsonb, updated_at timestamptz);
grant select, {lock} on analytics.model_progress to {loader};
create view analytics.category_activity_periods_live as
select 'people' as category, count(*) as event_count, min(event_time) as started_at,
    max(event_time) as ended_at
from raw.events having count(*) > 0;
grant select on analytics.category_activity_periods_live to {reader}
"""


@dataclass(frozen=True, kw_only=True)
class People:
    """The DSNs of users, and the roles that they belong to; each name is a new one."""

    roles: dict[str, str]
    dsns: dict[str, str]

    def options(self) -> list[str]:
        """The options of ``loader roles`` that name the roles."""
        return [f"--{role}-role={name}" for role, name in self.roles.items()]


@pytest.fixture
def people(cluster: Cluster, database: str, run_loader: Run) -> Iterator[People]:
    """After ``loader roles``: a user for each role, one without any, and their DSNs."""
    suffix = uuid.uuid4().hex[:8]
    # Roles belong to the whole server, so each test has its own; hostile, to be quoted.
    roles = {role: f'The "{role}" {suffix}' for role in ("loader", "transformer", "reader")}
    users = {role: f"{role} {suffix}" for role in (*roles, "nobody")}
    dsn = cluster.dsn(database)
    people = People(
        roles=roles,
        dsns={role: make_conninfo(dsn, user=user) for role, user in users.items()},
    )
    outcome = run_loader("roles", *people.options())
    assert outcome.exit_code == 0, outcome.stderr
    with psycopg.connect(dsn, autocommit=True) as admin:
        for role, user in users.items():
            admin.execute(sql.SQL("create role {} login").format(sql.Identifier(user)))
            if role in roles:
                grant = sql.SQL("grant {} to {}")
                admin.execute(grant.format(sql.Identifier(roles[role]), sql.Identifier(user)))
        yield people
        for name in (*users.values(), *roles.values()):
            drop = sql.SQL("drop owned by {name} cascade; drop role {name}")
            admin.execute(drop.format(name=sql.Identifier(name)))


@pytest.fixture
def models(people: People, conn: Connection) -> None:
    """What dbt would make."""
    names = {role: sql.Identifier(name) for role, name in people.roles.items()}
    lock = "maintain" if conn.info.server_version >= 170000 else "update"
    conn.execute(sql.SQL(MODELS).format(**names, lock=sql.SQL(lock)))
    conn.execute("reset role")


def owners(conn: Connection, schema: str) -> set[str]:
    """Return who owns what is in a schema."""
    rows = conn.execute(
        "select distinct pg_get_userbyid(relowner) from pg_class"
        " where relnamespace = %s::regnamespace and relkind <> 'i'"
        " union select pg_get_userbyid(nspowner) from pg_namespace where nspname = %s",
        [schema, schema],
    )
    return {owner for (owner,) in rows}


@pytest.mark.usefixtures("models")
def test_a_loader_does_all_of_its_work(
    people: People, run_loader: Run, write_events: Write, conn: Connection
) -> None:
    me = ("--dsn", people.dsns["loader"])
    first = write_events("1.csv", count=5, bad=2)
    assert run_loader(*me, "load", first).exit_code == 3
    june = write_events("2.csv", count=7, start="2024-06-01T00")
    assert run_loader(*me, "load", june, "--dedupe", "exact").exit_code == 0
    assert run_loader(*me, "withdraw", "1").exit_code == 0
    for command in (["loads"], ["rejects"], ["status"]):
        outcome = run_loader(*me, *command)
        assert (outcome.exit_code, outcome.stderr) == (0, "")
    conn.execute("insert into analytics.model_progress values ('fct', 3)")
    status = json.loads(run_loader(*me, "status", "--json").stdout)
    assert [model["loads_behind"] for model in status["models"]] == [0]
    done = json.loads(run_loader(*me, "maintain", "--json").stdout)
    assert (done["purged_rows"], done["purge_waits_for"]) == (5, None)
    conn.execute("create schema secret")
    conn.execute("create table secret.model_progress (like analytics.model_progress)")
    status = json.loads(run_loader(*me, "status", "--json").stdout)
    assert (len(status["models"]), status["unreadable_models"]) == (1, ["secret"])
    shown = run_loader(*me, "status").stdout
    assert "this user may not read secret.model_progress" in shown
    assert "analytics.fct" in shown
    assert owners(conn, "raw") == {people.roles["loader"]}


def test_a_superuser_loads_for_the_owner(
    people: People, run_loader: Run, write_events: Write, conn: Connection
) -> None:
    assert run_loader("load", write_events()).exit_code == 0
    assert run_loader("load", write_events("2.csv", count=4)).exit_code == 0
    assert owners(conn, "raw") == {people.roles["loader"]}
    outcome = run_loader("--dsn", people.dsns["loader"], "load", write_events("3.csv", count=5))
    assert outcome.exit_code == 0, outcome.stderr


def test_what_was_there_is_handed_over_once(
    cluster: Cluster, people: People, run_loader: Run, conn: Connection
) -> None:
    conn.execute("reset role")
    conn.execute("create table analytics.mine as select 1 as one")
    conn.execute("create table analytics_internal.mine as select 1 as one")
    conn.execute("create function analytics.two() returns int language sql as 'select 2'")
    with (
        psycopg.connect(cluster.dsn(conn.info.dbname), autocommit=True) as busy,
        busy.transaction(),
    ):
        outcome = run_loader("roles", *people.options())
        assert outcome.exit_code == 0, outcome.stderr
        assert outcome.stdout.startswith("new roles: none\n")
        for schema in ("analytics", "analytics_internal"):
            assert owners(conn, schema) == {people.roles["transformer"]}
        # Nothing is left to change, so nobody has to wait for anybody.
        busy.execute("lock table raw.events, analytics.mine in access share mode")
        assert run_loader("roles", *people.options()).exit_code == 0
    found = conn.execute(
        "select pg_get_userbyid(proowner) from pg_proc where proname = 'two'"
    ).fetchone()
    assert found == (people.roles["transformer"],)


def test_what_strangers_may_have_put_there_is_not_handed_over(
    people: People, run_loader: Run, conn: Connection
) -> None:
    """A function with its definer's rights would get those of the role."""
    conn.execute("reset role")
    conn.execute("create extension citext with schema public")
    conn.execute("grant create on schema public to public")
    options = (*people.options(), "--schema", "public")
    refused = run_loader("roles", *options)
    assert refused.exit_code == 2
    assert 'first: revoke create on schema "public" from public, and look' in refused.stderr
    conn.execute("revoke create on schema public from public")
    assert run_loader("roles", *options).exit_code == 0
    found = conn.execute(
        "select distinct proowner::regrole::text from pg_proc"
        " where pronamespace = 'public'::regnamespace"
    ).fetchall()
    assert found == [("postgres",)]


def test_the_search_path_of_a_database_is_not_that_of_the_loader(
    people: People, run_loader: Run, write_events: Write, conn: Connection
) -> None:
    """Or whoever may create somewhere in it would run functions with the loader's rights."""
    conn.execute("reset role")
    for function in (
        "to_regnamespace(text) returns regnamespace", "to_regclass(text) returns regclass",
        "clock_timestamp() returns timestamptz", "pg_notify(text, text) returns void",
        "set_config(text, text, boolean) returns text",
        "hashtextextended(text, bigint) returns bigint",
        "has_table_privilege(oid, text, text) returns boolean",
    ):  # fmt: skip
        conn.execute(
            f"create function public.{function} language plpgsql as"
            " $$ begin raise 'a function of % runs', current_user; end $$".encode()
        )
    database = sql.Identifier(conn.info.dbname)
    conn.execute(sql.SQL("alter database {} set search_path = public, pg_catalog").format(database))
    for me, withdrawn in ((["--dsn", people.dsns["loader"]], 1), ([], 3)):
        path = write_events(f"{withdrawn}.csv", count=3 + withdrawn, bad=1)
        for command in (
            ["load", path, "--dedupe", "exact", "--alert"], ["status"], ["loads"], ["rejects"],
            ["maintain"], ["withdraw", str(withdrawn)],
        ):  # fmt: skip
            outcome = run_loader(*me, *command)
            assert outcome.exit_code == (3 if "load" in command else 0), outcome.stderr


@pytest.mark.usefixtures("models")
def test_a_reader_sees_the_live_views(people: People, run_loader: Run) -> None:
    outcome = run_loader("--dsn", people.dsns["reader"], "periods", "--json")
    assert outcome.exit_code == 0, outcome.stderr


@pytest.mark.usefixtures("models")
def test_what_one_may_not_is_one_line_that_says_what_to_grant(
    people: People, run_loader: Run, write_events: Write
) -> None:
    assert run_loader("load", write_events()).exit_code == 0
    more = write_events("more.csv", count=4)
    for who, command, missing, needed in (
        ("loader", ["periods"], "view category_activity_periods_live", "reader"),
        ("reader", ["status"], "schema raw", "loader"),
        ("reader", ["loads"], "schema raw", "loader"),
        ("reader", ["rejects"], "schema raw", "loader"),
        ("reader", ["withdraw", "1"], "schema raw", "loader"),
        ("reader", ["maintain"], "schema raw", "loader"),
        ("reader", ["load", more], "schema raw", "loader"),
        ("transformer", ["withdraw", "1"], "table schema_version", "loader"),
        ("transformer", ["load", more], "table schema_version", "loader"),
        ("nobody", ["load", more], "schema raw", "loader"),
        ("nobody", ["periods"], "schema analytics", "reader"),
    ):
        dsn = people.dsns[who]
        outcome = run_loader("--dsn", dsn, *command)
        assert (outcome.exit_code, outcome.stdout) == (1, ""), (who, command)
        assert outcome.stderr == (
            f"loader: the database refuses: permission denied for {missing}; what this command "
            f"needs, members of the role {needed} have; an administrator can: grant {needed} "
            f'to "{conninfo_to_dict(dsn)["user"]}" (the roles are set up by: loader roles); '
            f"who is a member and does not inherit: export PGOPTIONS='-c role={needed}'\n"
        )


@pytest.mark.usefixtures("models")
def test_the_server_refuses_what_is_not_theirs(people: People) -> None:
    forbidden = {
        "loader": [
            "select * from analytics.category_activity_periods_live",
            "create table analytics.mine (x int)",
            "delete from analytics.model_progress",
            "create schema mine",
        ],
        "transformer": [
            "insert into raw.event_chunks values (now(), now(), 1, 1, 1, '{}', '{}')",
            "delete from raw.loads",
            "create table raw.mine (x int)",
            "select nextval('raw.loads_load_id_seq')",
        ],
        "reader": [
            "select * from raw.loads",
            "select * from analytics.model_progress",
            "create table analytics.mine (x int)",
            "create table public.mine (x int)",
            "create schema mine",
        ],
    }
    for who, statements in forbidden.items():
        with psycopg.connect(people.dsns[who], autocommit=True) as conn:
            for statement in statements:
                with pytest.raises(errors.InsufficientPrivilege):
                    conn.execute(statement.encode())


# A stranger's tables of the name that the loader looks for. Each would tell, from a function of its
# own, who reads it; or hold everything back, or be in the way.
TRAPS = """
create schema traps;
grant usage on schema traps to public;
create table traps.told (who text);
create function traps.tell() returns bigint language plpgsql as $$ begin
    insert into traps.told values (current_user || ', ' || session_user);
    return 1;
end $$;
create type traps.trap as (x int);
create function traps.to_text(traps.trap) returns text
language sql as $$ select traps.tell()::text $$;
create function traps.to_jsonb(traps.trap) returns jsonb
language sql as $$ select to_jsonb(traps.tell()) $$;
create function traps.to_bigint(traps.trap) returns bigint
language sql as $$ select traps.tell() $$;
create cast (traps.trap as text) with function traps.to_text;
create cast (traps.trap as jsonb) with function traps.to_jsonb as implicit;
create cast (traps.trap as bigint) with function traps.to_bigint as implicit;
create domain traps.checked as text check (traps.tell() = 1);
create function traps.twice(text) returns text immutable
language sql as $$ select traps.tell()::text $$;
create function traps.fire() returns trigger language plpgsql as $$ begin
    perform traps.tell();
    return new;
end $$;

create view {schema_1}.model_progress as
select
    'fct' as model_name, traps.tell() as load_seq, '{{}}'::jsonb as definition, now() as updated_at;

create table {schema_2}.model_progress
(model_name traps.trap, load_seq traps.trap, definition traps.trap, updated_at timestamptz);
insert into {schema_2}.model_progress values (row(1), row(1), row(1), now());

create table {schema_3}.model_progress (
    model_name text, load_seq bigint default traps.tell(), definition jsonb,
    updated_at timestamptz, more traps.checked
);
create index on {schema_3}.model_progress (traps.twice(model_name));
create statistics {schema_3}.more
on (traps.twice(model_name)), load_seq from {schema_3}.model_progress;
create trigger trap before insert or update on {schema_3}.model_progress
for each row execute function traps.fire();
insert into {schema_3}.model_progress values ('a', null, '{{}}', now()), ('b', null, '{{}}', now());
create policy trap on {schema_3}.model_progress using (traps.tell() = 1);
alter table {schema_3}.model_progress enable row level security, force row level security;

create table {schema_4}.model_progress
(model_name text, load_seq bigint, definition jsonb, updated_at timestamptz)
partition by list (model_name);
create table {schema_4}.part partition of {schema_4}.model_progress default;
"""


def test_nobody_makes_the_loader_run_their_functions(
    people: People, run_loader: Run, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    conn.execute("reset role")
    conn.execute(f"grant create on database {conn.info.dbname} to public".encode())
    schemas = {f"schema_{number}": f"strange_{number}" for number in range(1, 5)}
    with psycopg.connect(people.dsns["nobody"], autocommit=True) as mallory:
        for schema in schemas.values():
            mallory.execute(f"create schema {schema}".encode())
        mallory.execute(TRAPS.format(**schemas).encode())
        mallory.execute("grant insert on traps.told to public")
        for schema in schemas.values():
            mallory.execute(f"grant usage on schema {schema} to public".encode())
            mallory.execute(f"grant all on {schema}.model_progress to public".encode())
        mallory.execute("truncate traps.told")
    for me in (["--dsn", people.dsns["loader"]], []):
        status = json.loads(run_loader(*me, "status", "--json").stdout)
        assert (status["models"], status["unreadable_models"]) == ([], [])
        done = json.loads(run_loader(*me, "maintain", "--json").stdout)
        assert done["purge_waits_for"] is None

    # The same when the table was put there after the look at it.
    table: dict[str, int] = {}
    monkeypatch.setattr("loader.database.models.progress_schemas", lambda _: table)
    monkeypatch.setattr("loader.database.status.progress_schemas", lambda _: table)
    for schema in schemas.values():
        table.clear()
        table[schema] = 0
        for me in (["--dsn", people.dsns["loader"]], []):
            assert run_loader(*me, "status").exit_code == 0
            assert run_loader(*me, "maintain").exit_code == 0
    assert conn.execute("select who from traps.told").fetchall() == []


@pytest.mark.usefixtures("models")
def test_maintenance_waits_when_a_schema_of_marks_is_made_or_renamed_meanwhile(
    run_loader: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was locked must be what was read, and nothing else may have come."""
    looks = count()
    monkeypatch.setattr(
        "loader.database.models.progress_schemas", lambda _: {"analytics": next(looks)}
    )
    done = json.loads(run_loader("maintain", "--json").stdout)
    assert done["purge_waits_for"] == "somebody who makes or renames schemas of dbt"


def test_new_tables_of_the_loader_can_be_read_by_the_transformer(people: People) -> None:
    with connect(people.dsns["loader"]) as conn:
        conn.execute("create table raw.new (x int)")
    with psycopg.connect(people.dsns["transformer"]) as conn:
        assert conn.execute("select count(*) from raw.new").fetchone() == (0,)


def test_the_owner_of_the_database_can_set_up_roles_without_being_superuser(
    cluster: Cluster, run_loader: Run
) -> None:
    suffix = uuid.uuid4().hex[:8]
    admin, name = f"admin_{suffix}", f"managed_{suffix}"
    options = [f"--{role}-role={role}_{suffix}" for role in ("loader", "transformer", "reader")]
    with psycopg.connect(cluster.dsn(), autocommit=True) as superuser:
        superuser.execute(f"create role {admin} login".encode())
        superuser.execute(f"create database {name} owner {admin}".encode())
        dsn = make_conninfo(cluster.dsn(name), user=admin)
        refused = run_loader("--dsn", dsn, "roles", *options)
        assert refused.exit_code == 1
        assert refused.stderr.count("\n") == 1
        assert "nothing was changed; run this as a superuser" in refused.stderr
        superuser.execute(f"alter role {admin} createrole".encode())
        for _ in range(2):
            outcome = run_loader("--dsn", dsn, "roles", *options)
            assert outcome.exit_code == 0, outcome.stderr
        with psycopg.connect(cluster.dsn(name)) as conn:
            assert owners(conn, "raw") == {f"loader_{suffix}"}
        superuser.execute(f"drop database {name} with (force)".encode())
        for role in ("loader", "transformer", "reader", "admin"):
            superuser.execute(f"drop role {role}_{suffix}".encode())


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--reader-role", "loader"], "need names of their own"),
        (["--schema", "raw"], "schema raw is the loader's"),
        (["--reader-role", "pg_me"], "pg_me"),
    ],
)
def test_roles_that_make_no_sense(
    run_loader: Run, cluster: Cluster, options: list[str], complaint: str
) -> None:
    outcome = run_loader("roles", *options)
    assert outcome.exit_code in (1, 2)
    assert complaint in outcome.stderr
    with psycopg.connect(cluster.dsn()) as conn:
        assert conn.execute("select 1 from pg_roles where rolname = 'loader'").fetchone() is None
