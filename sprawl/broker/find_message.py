"""Finds one message by its id: ours, or the one its publisher gave.

In: an id as text. Out: the message with its place. Invariants: an id of our own form that names no
message may still be one that a publisher gave; ids are at most 255 bytes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sprawl.broker.engine import Engine, StoredMessage
from sprawl.broker.tiers import Disk
from sprawl.errors import Expired, NotFound
from sprawl.limits import IDEMPOTENCY_KEY_BYTES_MAX

_OURS: Final = re.compile(r"([a-z2-7]{13})-(0|[1-9][0-9]{0,3})-(0|[1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class FoundMessage:
    """A stored message and where it lies; ``message_id`` is always ours."""

    message_id: str
    partition: int
    offset: int
    stored: StoredMessage
    tier: str = "memory"


async def find_message(engine: Engine, disk: Disk | None, message_id: str) -> FoundMessage:
    """The message; NotFound when there is none of this id, Expired when it is gone by age."""
    if (ours := _OURS.fullmatch(message_id)) is not None:
        partition, offset = int(ours[2]), int(ours[3])
        stored = _unless_gone(message_id, lambda: engine.message(ours[1], partition, offset))
        if stored is not None:
            place = (message_id, partition, offset)
            return await _whole(engine, disk, message_id, place, stored)
    if 0 < len(message_id.encode("utf-8", "replace")) <= IDEMPOTENCY_KEY_BYTES_MAX:
        stored = _unless_gone(message_id, lambda: engine.message_by_key(message_id))
        if stored is not None:
            partition, offset = stored["partition"], stored["offset"]
            place = (f"{stored['topic_id']}-{partition}-{offset}", partition, offset)
            return await _whole(engine, disk, message_id, place, stored)
    raise NotFound(f"message {message_id[:64]!r} is not held here", code="message_not_found")


async def _whole(
    engine: Engine,
    disk: Disk | None,
    message_id: str,
    place: tuple[str, int, int],
    stored: StoredMessage,
) -> FoundMessage:
    want = stored.get("want")
    if want is None:
        return FoundMessage(*place, stored)
    assert disk is not None, "what lies on disk has a disk tier"
    page = await disk.page(want)
    read = _unless_gone(message_id, lambda: engine.message_in(page, want))
    assert read is not None
    return FoundMessage(*place, read, "disk")


def _unless_gone(message_id: str, find: Callable[[], StoredMessage | None]) -> StoredMessage | None:
    try:
        return find()
    except Expired as error:
        # The log speaks of an offset; who asks here knows a message.
        detail = f"message {message_id[:64]!r} is gone: {error.detail}"
        raise Expired(detail, code="message_expired") from error
