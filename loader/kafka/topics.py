"""Topics: which topic a name stands for, so that one made anew is not taken for the old one."""

from __future__ import annotations

from typing import Any, Final

from loader.errors import InputError
from loader.kafka.client import BrokerError, kafka

TIMEOUT_SECONDS: Final = 15.0
# Brokers before Kafka 2.8 give topics no id.
_NO_ID: Final = "?"


def identity(consumer: Any, admin: Any, topic: str) -> str:
    """Return the cluster and the id of a topic; ``?`` for the id where the broker has none.

    Raises:
        InputError: there is no such topic.
        BrokerError: the broker does not answer.
    """
    library = kafka()
    try:
        # The consumer asks: an admin client might create the topic by asking.
        found = consumer.list_topics(topic, timeout=TIMEOUT_SECONDS)
        error = found.topics[topic].error
        if error is not None:
            raise library.KafkaException(error)
        described = admin.describe_topics(
            library.TopicCollection([topic]), request_timeout=TIMEOUT_SECONDS
        )
        topic_id = str(described[topic].result(TIMEOUT_SECONDS).topic_id or _NO_ID)
    except library.KafkaException as raised:
        code = raised.args[0].code()
        if code == library.KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise InputError(f"there is no topic {topic}; create it, then run this again") from None
        if code != library.KafkaError._UNSUPPORTED_FEATURE:
            raise BrokerError(f"topic {topic}: {raised.args[0].str()}") from None
        topic_id = _NO_ID
    except TimeoutError:
        raise BrokerError(f"topic {topic}: the broker did not say what it is in time") from None
    return f"{found.cluster_id}/{topic_id}"


def is_same(stored: str, found: str) -> bool:
    """Tell whether two identities may be of one topic; without an id, nobody can tell more."""
    if stored.endswith(f"/{_NO_ID}") or found.endswith(f"/{_NO_ID}"):
        return stored.rpartition("/")[0] == found.rpartition("/")[0]
    return stored == found


def another_topic(topic: str, group: str) -> InputError:
    """Return the error to raise when a topic is not the one that a group has loaded."""
    return InputError(
        f"topic {topic} is not the one that group {group} has loaded: it was deleted and made "
        "anew, or is on another cluster; to load the new one from its beginning: "
        "loader consume --new-topic restart"
    )
