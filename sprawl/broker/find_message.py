"""Finds one message by its id: ours, or the one its publisher gave.

In: an id as text. Out: the message with its place, from whichever tier holds it. Invariants: an id
of our own form that names no message may still be one that a publisher gave; ids are at most 255
bytes; what memory let go of is read from disk without blocking the loop.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from sprawl.broker.disk_waits import DiskWaits
from sprawl.broker.engine import Engine, StoredMessage
from sprawl.errors import Expired, NotFound
from sprawl.limits import IDEMPOTENCY_KEY_BYTES_MAX

_OURS: Final = re.compile(r"([a-z2-7]{13})-(0|[1-9][0-9]{0,3})-(0|[1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class FoundMessage:
    """A stored message and where it lies; ``message_id`` is always ours."""

    message_id: str
    partition: int
    offset: int
    tier: Literal["memory", "disk", "cloud"]
    stored: StoredMessage


async def find_message(engine: Engine, disk: DiskWaits, message_id: str) -> FoundMessage:
    """The message; NotFound when there is none of this id, Expired when it is gone by age.

    Raises Unavailable when it lies on a disk that cannot be read.
    """
    found = None
    if (ours := _OURS.fullmatch(message_id)) is not None:
        place = (ours[1], int(ours[2]), int(ours[3]))
        found = await _at(engine, disk, message_id, place)
    if (
        found is None
        and 0 < len(message_id.encode("utf-8", "replace")) <= IDEMPOTENCY_KEY_BYTES_MAX
    ):
        known = engine.message_by_key(message_id)
        found = await _at(engine, disk, message_id, known) if known is not None else None
    if found is None:
        raise NotFound(f"message {message_id[:64]!r} is not held here", code="message_not_found")
    return found


async def _at(
    engine: Engine, disk: DiskWaits, message_id: str, place: tuple[str, int, int]
) -> FoundMessage | None:
    tier: Literal["memory", "disk", "cloud"] = "memory"
    try:
        stored = engine.message(*place)
        if isinstance(stored, tuple):
            page = await disk.page(stored)
            tier = "cloud" if page.is_cold else "disk"
            stored = engine.message(*place, page)
    except Expired as error:
        # The log speaks of an offset; who asks here knows a message.
        detail = f"message {message_id[:64]!r} is gone: {error.detail}"
        raise Expired(detail, code="message_expired") from error
    if stored is None:
        return None
    assert not isinstance(stored, tuple), "a page covers what it was read for"
    topic_id, partition, offset = place
    return FoundMessage(f"{topic_id}-{partition}-{offset}", partition, offset, tier, stored)
