"""What clients saw of a node, one JSON line per event, written before the client's next step.

In: events as they end. Out: a file that ``checker`` reads. Invariants: times are nanoseconds of one
machine's monotonic clock; a line is in the file when ``write`` returns, whole or not at all, also
when several processes write to one file; an outcome is ``ok`` only for an answer that says so,
``fail`` only for one that says that nothing was stored, ``unknown`` for everything else.

Events, absent members are unknown or do not apply:

    {t_inv, t_ret, proc, op, topic, partition, slot, producer, seq, msg_id, hash, level, reached,
     outcome, offset, epoch, node, status, ttl_s, seen, gaps, group, generation, assignment, final,
     up_to_date, ranges}
    {t, fault, target, phase}

``op`` is pub, poll, ack, commit, seek, sub, admin, or audit (``ranges`` holds what the files held of
a partition at ``t_inv``, at ``level``). ``seen`` is ``[[offset, msg_id, hash, attempt], …]``,
``gaps`` is ``[[first, end, reason], …]``, ``assignment`` counts the times a reader began anew,
``final`` marks the last read of all, ``up_to_date`` that it came to the end of the partition.
``phase`` is start, done (it has happened: a process that it ended is dead) or stop.
"""

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import msgspec
import orjson
import xxhash

Event = dict[str, Any]
Outcome = Literal["ok", "fail", "unknown"]
Level = Literal["memory", "disk", "quorum", "quorum-disk", "cloud"]
Seen = tuple[int, str, str, int]
"""Offset, message id, hash and attempt of a message that was read."""

# Statuses after which certainly nothing is stored; 409 says so of its own call only.
REFUSED: Final = frozenset(
    {400, 401, 403, 404, 405, 408, 409, 410, 411, 412, 413, 415, 416, 422, 429, 431, 501, 503, 507}
)


def now() -> int:
    """Nanoseconds of the monotonic clock."""
    return time.monotonic_ns()


def content_hash(value: bytes) -> str:
    """What stands for a value in a history: XXH3-64 in hexadecimal."""
    return xxhash.xxh3_64_hexdigest(value)


def outcome_of(status: int | None) -> str:
    """What a client may conclude of a publish; None is a connection without an answer."""
    if status in (200, 201):
        return "ok"
    return "fail" if status in REFUSED else "unknown"


class History:
    """Appends events to a file; use it as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def write(self, event: Event) -> None:
        """Appends one event; the kernel has it on return."""
        self.write_all([event])

    def write_all(self, events: Iterable[Event]) -> None:
        """Appends events that one answer told; the kernel has them on return."""
        lines = b"".join(orjson.dumps(e, option=orjson.OPT_APPEND_NEWLINE) for e in events)
        assert os.write(self._handle, lines) == len(lines), "the history's disk is full"

    def fault(self, fault: str, target: str, phase: str) -> None:
        """Appends that a fault began (``start``), has happened (``done``) or ended (``stop``)."""
        self.write({"t": now(), "fault": fault, "target": target, "phase": phase})

    def close(self) -> None:
        """Closes the file; twice does nothing."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Publish(msgspec.Struct, gc=False):
    """One attempt to publish; -1 and the empty text are unknown."""

    msg_id: str
    t_inv: int
    t_ret: int
    topic: str
    partition: int
    outcome: Outcome
    hash: str
    offset: int = -1
    producer: str = ""
    seq: int = -1
    level: Level = "memory"
    reached: Level | Literal[""] = ""
    epoch: int = -1
    ttl_s: int = 0
    slot: int = -1
    node: str = ""


class Poll(msgspec.Struct, gc=False):
    """One read."""

    t_inv: int
    t_ret: int
    topic: str
    partition: int
    proc: str = ""
    group: str | None = None
    assignment: int = 0
    start: int | None = msgspec.field(default=None, name="from")
    seen: list[Seen] = msgspec.field(default_factory=list)
    gaps: list[tuple[int, int, str]] = msgspec.field(default_factory=list)
    final: bool = False
    up_to_date: bool = False


class Move(msgspec.Struct):
    """A commit, or a reset (``seek``), of a group's place."""

    op: Literal["commit", "seek"]
    t_inv: int
    t_ret: int
    topic: str
    partition: int
    offset: int
    group: str | None = None
    outcome: Outcome = "ok"


class Audit(msgspec.Struct):
    """What the files held."""

    t_inv: int
    topic: str
    partition: int
    level: Level
    ranges: list[tuple[int, int]]


class Happened(msgspec.Struct):
    """A line of a fault."""

    t: int
    fault: str
    target: str
    phase: Literal["start", "done", "stop"]


class Other(msgspec.Struct):
    """An operation that is not judged."""

    op: str


Record = Publish | Poll | Move | Audit | Happened | Other
_KINDS: Final[dict[str, type[Record]]] = {
    "pub": Publish,
    "poll": Poll,
    "commit": Move,
    "seek": Move,
    "audit": Audit,
}
# The many lines are decoded at once: a quote inside a string is escaped, so these can only be the member itself.
_PUBLISH_MARK: Final = b'"op":"pub"'
_POLL_MARK: Final = b'"op":"poll"'


def record_of(event: Event) -> Record:
    """An event with types; ValueError for one that is none."""
    if "fault" in event:
        return msgspec.convert(event, Happened)
    if "op" not in event:
        raise ValueError("neither an operation nor a fault")
    return msgspec.convert(event, _KINDS.get(event["op"], Other))


def read_records(path: Path) -> Iterator[Record]:
    """The events of a file with types; ValueError with the line's number for one that is no event."""
    publish = msgspec.json.Decoder(Publish).decode
    poll = msgspec.json.Decoder(Poll).decode
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                if _PUBLISH_MARK in line:
                    yield publish(line)
                elif _POLL_MARK in line:
                    yield poll(line)
                else:
                    yield record_of(_event_of(line))
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from error


def _event_of(line: bytes) -> Event:
    event = orjson.loads(line)
    if not isinstance(event, dict) or not ("op" in event or "fault" in event):
        raise ValueError("neither an operation nor a fault")
    return event


def read_events(path: Path) -> Iterator[Event]:
    """The events of a file; ValueError with the line's number for one that is no event."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield _event_of(line)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from error


def write_events(path: Path, events: Iterable[Event]) -> None:
    """Makes a file of events that are already there."""
    with path.open("wb") as lines:
        lines.writelines(orjson.dumps(e, option=orjson.OPT_APPEND_NEWLINE) for e in events)
