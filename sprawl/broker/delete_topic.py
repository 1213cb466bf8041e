"""Deletes a topic, and brings it back within its grace.

In: a name and the time. Out: nothing, or NotFound. Invariant: after return nobody reads or writes
the topic; its messages stay until the grace is over.
"""

from sprawl.broker.engine import Engine
from sprawl.broker.topic_name import check_topic_name
from sprawl.errors import NotFound


def delete_topic(engine: Engine, name: str, now_ns: int) -> None:
    """Deletes the topic; NotFound when there is none."""
    if not engine.topic_delete(check_topic_name(name), now_ns):
        raise NotFound(f"topic {name!r} does not exist", code="topic_not_found")


def undelete_topic(engine: Engine, name: str) -> None:
    """Brings the topic back; NotFound when it was not deleted or its grace is over."""
    if not engine.topic_undelete(check_topic_name(name)):
        raise NotFound(f"topic {name!r} was not deleted within its grace", code="topic_not_found")
