"""Kafka's client library has brokers for tests in it, over TCP, that go wrong when told to.

They can do what no broker can that would run here: delete old messages, fail a request, let a
topic grow. Python's client does not show them, but the library behind it does.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum

from confluent_kafka import cimpl

from tests.support.brokers import Producing

# What is linked to the module is found through it.
_LIBRARY = ctypes.CDLL(cimpl.__file__)
for _name in ("conf_new", "new", "handle_mock_cluster", "mock_cluster_bootstraps"):
    getattr(_LIBRARY, f"rd_kafka_{_name}").restype = ctypes.c_void_p


class Request(IntEnum):
    """Kinds of requests, as the protocol numbers them."""

    FETCH = 1
    METADATA = 3
    OFFSET_COMMIT = 8
    HEARTBEAT = 12
    SYNC_GROUP = 14


@dataclass(frozen=True, kw_only=True)
class MockBrokers(Producing):
    """Running brokers, numbered from 1.

    Attributes:
        cluster: what the library calls them by.
    """

    cluster: ctypes.c_void_p

    def create(self, topic: str, partitions: int = 1) -> None:
        """Create a topic, which every broker has."""
        self._call("topic_create", topic.encode(), partitions, 1)

    def delete(self, topic: str) -> None:
        """Delete a topic, with its messages."""
        self._call("topic_delete", topic.encode())

    def forget_ids(self) -> None:
        """Do not know the ids of topics any more, as brokers before Kafka 2.8."""
        self._call("set_apiversion", Request.METADATA, 0, 9)

    def delete_messages(self, topic: str, partition: int, before: int) -> None:
        """Delete the messages of a partition before an offset, as retention does."""
        self._call("partition_delete_records", topic.encode(), partition, ctypes.c_int64(before))

    def stop(self, number: int = 1) -> None:
        """Hang up, and take no connection."""
        self._call("broker_set_down", number)

    def start(self, number: int = 1) -> None:
        """Take connections again."""
        self._call("broker_set_up", number)

    def slow_down(self, milliseconds: int) -> None:
        """Take so long for each answer."""
        self._call("broker_set_rtt", -1, milliseconds)

    def hand_over(self, number: int, *, topic: str, group: str) -> None:
        """Let a broker lead both partitions of a topic, look after a group, and be in control."""
        for partition in (0, 1):
            self._call("partition_set_leader", topic.encode(), partition, number)
        self._call("coordinator_set", b"group", group.encode(), number)
        self._do("set_controller_id", number)

    def fail(self, request: Request, *errors: int) -> None:
        """Answer the next requests of a kind with these errors."""
        codes = (ctypes.c_int * len(errors))(*errors)
        self._do("push_request_errors_array", ctypes.c_int16(request), ctypes.c_size_t(len(errors)),
                 codes)  # fmt: skip

    def _call(self, name: str, *arguments: object) -> None:
        error = self._do(name, *arguments)
        assert error == 0, f"{name} failed with {error}"

    def _do(self, name: str, *arguments: object) -> int:
        return int(getattr(_LIBRARY, f"rd_kafka_mock_{name}")(self.cluster, *arguments))


@contextmanager
def running_mocks(number: int = 1) -> Iterator[MockBrokers]:
    """Start so many brokers; they end, and forget all, at the end."""
    said = ctypes.create_string_buffer(512)
    conf = ctypes.c_void_p(_LIBRARY.rd_kafka_conf_new())
    # It would tell standard error of each connection that ends.
    for option, value in (("test.mock.num.brokers", number), ("log_level", 2)):
        _LIBRARY.rd_kafka_conf_set(conf, option.encode(), str(value).encode(), said, 512)
    owner = ctypes.c_void_p(_LIBRARY.rd_kafka_new(0, conf, said, 512))
    assert owner, said.value
    cluster = ctypes.c_void_p(_LIBRARY.rd_kafka_handle_mock_cluster(owner))
    try:
        address = ctypes.string_at(_LIBRARY.rd_kafka_mock_cluster_bootstraps(cluster)).decode()
        # A group need not wait for members that may come; somebody must say what a topic is.
        _LIBRARY.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0)
        _LIBRARY.rd_kafka_mock_set_controller_id(cluster, 1)
        yield MockBrokers(address=address, cluster=cluster)
    finally:
        _LIBRARY.rd_kafka_destroy(owner)
