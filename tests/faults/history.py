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
from typing import Any, Final, Self

import orjson
import xxhash

Event = dict[str, Any]

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
        line = orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
        assert os.write(self._handle, line) == len(line), "the history's disk is full"

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


def read_events(path: Path) -> Iterator[Event]:
    """The events of a file; ValueError with the line's number for one that is no event."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                event = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise ValueError(f"{path}:{number}: {error}") from error
            if not isinstance(event, dict) or not ("op" in event or "fault" in event):
                raise ValueError(f"{path}:{number}: neither an operation nor a fault")
            yield event


def write_events(path: Path, events: Iterable[Event]) -> None:
    """Makes a file of events that are already there."""
    with path.open("wb") as lines:
        lines.writelines(orjson.dumps(e, option=orjson.OPT_APPEND_NEWLINE) for e in events)
