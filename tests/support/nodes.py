"""The nodes of a Citus cluster, and how they die."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import psycopg
from psycopg import Connection

from tests.support.waits import wait_until

# Waits, for a while, for a transaction that is prepared and not committed, has the connections of
# others end before it is, and then dies: PostgreSQL starts anew.
DIE_BETWEEN = """
do $do$
begin
    perform pg_sleep({});
    for attempt in 1..{} loop
        if exists (select from pg_prepared_xacts where gid like 'citus\\_0\\_%') then
            perform pg_terminate_backend(pid) from pg_stat_activity
            where pid <> pg_backend_pid() and backend_type = 'client backend';
            execute $$copy (select 1) to program 'kill -9 $PPID'$$;
        end if;
    end loop;
end
$do$
"""
DIE = "copy (select pg_sleep({})) to program 'cat >/dev/null; kill -9 $PPID'"


class Death(Thread):
    """A node that dies, at some moment or between PREPARE and COMMIT, and comes back by itself.

    Attributes:
        is_between: whether it dies between PREPARE and COMMIT.
        is_dead: whether it did die, once this has ended.
        begun: set when it is about to.
    """

    def __init__(
        self, conn: Connection, generator: random.Random, *, within: float, looks: int
    ) -> None:
        super().__init__()
        self.is_between = generator.random() < 0.7
        self.is_dead = False
        self.begun = Event()
        delay = generator.uniform(0, within)
        self._dsn = conn.info.dsn
        self._command = DIE_BETWEEN.format(delay, looks) if self.is_between else DIE.format(delay)
        found = nodes(conn)
        self._node = found[generator.randrange(len(found))]

    def run(self) -> None:
        """Have it die, and learn whether it did."""
        with psycopg.connect(self._dsn, autocommit=True) as conn:
            self.begun.set()
            _, name, port = self._node
            (answer,) = conn.execute(
                "select success from master_run_on_worker(%s, %s, %s, true)",
                [[name], [port], [self._command]],
            ).fetchall()
            self.is_dead = not answer[0]


@contextmanager
def death(
    conn: Connection, generator: random.Random, *, within: float = 0.4, looks: int = 200_000
) -> Iterator[Death]:
    """Have a node die beside what is done here; it is back afterwards.

    Args:
        conn: a connection to the coordinator.
        generator: which node, how and when.
        within: seconds, in which it dies, or begins to look for something prepared.
        looks: how often it looks.
    """
    one = Death(conn, generator, within=within, looks=looks)
    one.start()
    one.begun.wait()
    yield one
    one.join()
    wait_until(lambda: _all_answer(conn))


def nodes(conn: Connection) -> list[tuple[int, str, int]]:
    """Return the nodes that hold events: id, name, port."""
    return conn.execute(
        "select nodeid, nodename, nodeport from pg_dist_node where groupid <> 0 order by nodeid"
    ).fetchall()


@contextmanager
def one_away(conn: Connection) -> Iterator[None]:
    """Have the coordinator look for a node where there is none."""
    (node, name, port), *_ = nodes(conn)
    move = "select citus_update_node(%s, %s, %s)"
    conn.execute(move, [node, name, 1])
    try:
        yield
    finally:
        conn.execute(move, [node, name, port])
        # Nodes are told of it in the background, and nothing can be dropped before.
        synced = "select bool_and(metadatasynced) from pg_dist_node"
        wait_until(lambda: conn.execute(synced.encode()).fetchone() == (True,))


def _all_answer(conn: Connection) -> bool:
    found = conn.execute(
        "select bool_and(success) from run_command_on_workers('select 1')"
    ).fetchone()
    return found == (True,)
