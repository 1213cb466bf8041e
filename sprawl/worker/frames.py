"""What goes over the socket between the node and its worker process.

In: frames. Out: the same frames. Invariants: a body is received into one buffer of its own size; a
length above its bound is refused before anything is reserved. Layout, little-endian::

    0 u8 version = 1 · 1 u8 kind · 2 u16 zero · 4 u32 head length · 8 u32 body length
    12 head, JSON · body, bytes

Kinds: 1 request (id, name, urgency, left_ms, members) · 2 answer (id, members) · 3 error (id, code,
detail, members) · 4 cancel (id) · 5 log (level, name, text).
"""

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import orjson

from sprawl.errors import BadAnswer, TooLarge
from sprawl.limits import WORKER_BODY_BYTES_MAX, WORKER_HEAD_BYTES_MAX, WORKER_PIECE_BYTES

VERSION: Final = 1
_START: Final = struct.Struct("<BBHII")

Body = bytes | bytearray | memoryview


class Kind(IntEnum):
    """What a frame is."""

    REQUEST = 1
    ANSWER = 2
    ERROR = 3
    CANCEL = 4
    LOG = 5


_KINDS: Final = frozenset(int(kind) for kind in Kind)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as it came."""

    kind: Kind
    head: Mapping[str, object] = field(default_factory=dict)
    body: Body = b""


def frame_start(kind: Kind, head: Mapping[str, object], body_bytes: int = 0) -> bytes:
    """Everything before the body; TooLarge when a part is above its bound."""
    data = orjson.dumps(head)
    if len(data) > WORKER_HEAD_BYTES_MAX:
        raise TooLarge(
            f"members of {len(data)} bytes exceed worker_head_bytes_max {WORKER_HEAD_BYTES_MAX}"
        )
    if body_bytes > WORKER_BODY_BYTES_MAX:
        raise TooLarge(
            f"body of {body_bytes} bytes exceeds worker_body_bytes_max {WORKER_BODY_BYTES_MAX}"
        )
    return _START.pack(VERSION, kind, 0, len(data), body_bytes) + data


class FrameReader:
    """Turns received bytes into frames, without input or output of its own.

    Receive into ``buffer()``, then say how many bytes came with ``received``.
    """

    def __init__(self) -> None:
        self._part = memoryview(bytearray(_START.size))
        self._filled = 0
        self._kind: Kind | None = None
        self._body_bytes = 0
        self._head: Mapping[str, object] | None = None

    def buffer(self) -> memoryview:
        """Where the next bytes belong; never empty."""
        return self._part[self._filled :]

    def received(self, byte_count: int) -> Frame | None:
        """A frame when it is whole now; BadAnswer for what is none."""
        self._filled += byte_count
        while self._filled == len(self._part):
            frame = self._part_done()
            if frame is not None:
                return frame
        return None

    def _part_done(self) -> Frame | None:
        if self._kind is None:
            version, kind, _, head_bytes, self._body_bytes = _START.unpack(self._part)
            is_sound = head_bytes <= WORKER_HEAD_BYTES_MAX
            is_sound &= self._body_bytes <= WORKER_BODY_BYTES_MAX
            if version != VERSION or kind not in _KINDS or not is_sound:
                raise BadAnswer(f"no frame of the worker begins with {bytes(self._part).hex()}")
            self._kind = Kind(kind)
            self._expect(head_bytes)
            return None
        if self._head is None:
            head = orjson.loads(self._part)
            if not isinstance(head, dict):
                raise BadAnswer("the head of a frame of the worker is no object")
            self._head = head
            self._expect(self._body_bytes)
            return None
        frame = Frame(self._kind, self._head, self._part)
        self._kind = self._head = None
        self._expect(_START.size)
        return frame

    def _expect(self, byte_count: int) -> None:
        # A large bytearray is filled with zeros first, which would hold the loop; mapped pages are
        # made one by one as bytes come.
        is_large = byte_count > WORKER_PIECE_BYTES
        self._part = memoryview(mmap.mmap(-1, byte_count) if is_large else bytearray(byte_count))
        self._filled = 0
