"""Settings that people have, and that must not change a result."""

import psycopg
from psycopg import sql

# Their clocks change on 31 March 2024, at midnight of 26 April, and by half an hour on 7 April.
ZONES = ("Europe/Berlin", "Africa/Cairo", "Australia/Lord_Howe")

_SETTINGS = (
    {"datestyle": "SQL, DMY", "intervalstyle": "iso_8601", "search_path": "odd, pg_catalog"},
    {"datestyle": "German", "intervalstyle": "sql_standard", "extra_float_digits": "-10"},
    {"datestyle": "Postgres, MDY", "intervalstyle": "postgres_verbose", "bytea_output": "escape",
     "default_transaction_isolation": "repeatable read", "quote_all_identifiers": "on"},
)  # fmt: skip

_TRAPS = """
create schema if not exists odd;
-- Found instead of PostgreSQL's own where this schema comes first.
create or replace function odd.date_bin(interval, timestamptz, timestamptz) returns timestamptz
language sql as 'select $2';
create or replace function odd.md5(text) returns text language sql as 'select $1';
"""


def set_oddly(dsn: str, number: int) -> None:
    """Give a database some settings; sessions that begin after this have them."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(_TRAPS)
        database = sql.Identifier(conn.info.dbname)
        conn.execute(sql.SQL("alter database {} reset all").format(database))
        settings = {"timezone": ZONES[number % 3], **_SETTINGS[number % 3]}
        for name, value in settings.items():
            statement = sql.SQL("alter database {} set {} to {}")
            value_sql = (
                sql.SQL(", ").join(map(sql.Identifier, value.split(", ")))
                if name == "search_path"
                else sql.Literal(value)
            )
            conn.execute(statement.format(database, sql.SQL(name), value_sql))
