"""What the cloud tier asks of an object store, whoever implements it.

In: keys, bytes, deadlines. Out: bytes and what is known of an object. Invariants: an object is
whole or absent, never half; ``create_only`` makes a new one or none; a list may be stale and an
answer may lie, so what is dropped elsewhere was read back before. The calls block: they belong on a
pool's thread of the worker process. Errors: ObjectNotFound, ObjectExists, ObjectDamaged (what came
is not what is there, retried until the deadline), StoreRefused (keys, rights, clock, name),
StoreUnreachable (no sound answer before the deadline), TooLarge, StorageFull.
Source: the S3 API as all its implementations have it; docs/design.md section 2.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sprawl.clock import SECOND_NS, Clock
from sprawl.errors import StoreRefused, TooLarge
from sprawl.limits import OBJECT_BYTES_MAX, OBJECT_KEY_BYTES_MAX

Bytes = bytes | bytearray | memoryview

_PART_BYTES_MAX: Final = 255
# No plus sign: servers differ in whether a list shows it as one.
_PART: Final = re.compile(r"[A-Za-z0-9_=.@-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as its store knows it; ``etag`` is opaque and changes with the content."""

    key: str
    size_bytes: int
    etag: str
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload in parts that was begun and not ended: it costs room until it is aborted."""

    key: str
    upload_id: str
    begun_ns: int


class Deadline:
    """A point of the monotonic clock at which a call gives up."""

    def __init__(self, clock: Clock, timeout_s: float) -> None:
        self._clock = clock
        self._end_ns = clock.monotonic_ns() + int(timeout_s * SECOND_NS)

    @property
    def left_s(self) -> float:
        """Seconds until then, 0 when it has passed."""
        return max(0, self._end_ns - self._clock.monotonic_ns()) / SECOND_NS

    @property
    def has_passed(self) -> bool:
        """Whether nothing is left."""
        return self.left_s == 0


class ObjectStore(Protocol):
    """Objects under keys, in one bucket."""

    def put(
        self, key: str, data: Bytes, deadline: Deadline, *, create_only: bool = False
    ) -> ObjectInfo:
        """Stores the whole object, durably when it returns; the store has confirmed its content.

        With ``create_only`` ObjectExists when there is one; else it takes the place of an older. Of
        several that create at once one wins where the server has conditional puts, else the last:
        names that follow from the content make that harmless.
        """

    def get(
        self, key: str, deadline: Deadline, *, start: int = 0, length: int | None = None
    ) -> bytes:
        """The bytes ``[start, start + length)``, or what of them there is; to the end without one.

        Empty when ``start`` is not below the size. Never less than the store said there is.
        """

    def head(self, key: str, deadline: Deadline) -> ObjectInfo:
        """What is known of an object."""

    def page(
        self, prefix: str, deadline: Deadline, *, after: str = "", limit: int = 1_000
    ) -> Sequence[ObjectInfo]:
        """Objects whose keys begin with ``prefix`` and are above ``after``, in the keys' order.

        At most ``limit`` (1 to ``OBJECTS_PAGE_MAX``); fewer mean that there are no more.
        """

    def delete(self, key: str, deadline: Deadline) -> None:
        """Removes an object; nothing happens when there is none."""


class Leftovers(Protocol):
    """What killed processes leave behind in a store."""

    def uploads(self, prefix: str, deadline: Deadline) -> Sequence[Upload]:
        """Unfinished uploads below ``prefix``, at most ``OBJECTS_PAGE_MAX`` of them."""

    def abort(self, upload: Upload, deadline: Deadline) -> None:
        """Gives back the room of one; nothing happens when it is gone."""


class Store(ObjectStore, Leftovers, Protocol):
    """All that the cloud tier uses."""

    def prepare(self, deadline: Deadline) -> None:
        """Makes the bucket when it is missing, and asks whether it can be used at all."""

    def close(self) -> None:
        """Gives back connections; no call may be open."""


def require_key(key: str) -> None:
    """Raises StoreRefused for a key that not every store could hold."""
    if len(key) > OBJECT_KEY_BYTES_MAX:
        raise StoreRefused(
            f"object key of {len(key)} bytes exceeds object_key_bytes_max {OBJECT_KEY_BYTES_MAX}"
        )
    for part in key.split("/"):
        is_sound = _PART.fullmatch(part) and len(part) <= _PART_BYTES_MAX
        if not is_sound or part.startswith("."):
            raise StoreRefused(f"object key {key!r}: {part!r} can be no part of a path")


def require_size(key: str, data: Bytes) -> None:
    """Raises TooLarge for more than one request should carry."""
    if len(data) > OBJECT_BYTES_MAX:
        raise TooLarge(
            f"object {key} of {len(data)} bytes exceeds object_bytes_max {OBJECT_BYTES_MAX}"
        )
