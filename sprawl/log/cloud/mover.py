"""Which windows go to the cloud tier, in which steps, and what is cleared away there.

In: events (a window was sealed, a step is done or failed, time) with the node's time in nanoseconds.
Out: effects that a host performs, one at a time; it reports each back before the next is given.
Invariants: a window is dropped only after every object of its build was read back and found equal
and its manifest records are durable, or when it was covered before; nothing is remembered that a
crash could lose: names depend on the window alone, so the same window is simply moved again. No I/O,
no clock. Source: docs/design/cloud.md.
"""

import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sprawl.clock import SECOND_NS
from sprawl.limits import (
    CLOUD_DIFFERS_MAX,
    CLOUD_RETRY_S_MAX,
    CLOUD_RETRY_S_MIN,
    JANITOR_INTERVAL_S,
    JANITOR_OBJECT_AGE_S,
)
from sprawl.log.cloud.objects import ObjectInfo, Upload

_NAME: Final = r"[0-9a-f]{32}(?:-\d{4})?"
_OURS: Final = re.compile(
    r"(?:data|_sprawl/manifest|_sprawl/topics)/day=(?P<day>\d{4}-\d\d-\d\d)/"
    rf"(?P<name>{_NAME})(?:\.parquet)?"
)


@dataclass(frozen=True, slots=True)
class LocalWindow:
    """A sealed window of the local log, ``[first_lsn, end_lsn)``; times of its batches."""

    first_lsn: int
    end_lsn: int
    oldest_ns: int
    newest_ns: int


@dataclass(frozen=True, slots=True)
class BuiltObject:
    """An object of a build: its key below the cluster's prefix, its bytes and their SHA-256."""

    key: str
    size_bytes: int
    sha256: bytes


# --- Effects: the host performs one and reports it back with Built, Listed, Done or Failed. ---


@dataclass(frozen=True, slots=True)
class Build:
    """Build the segments of a window and keep their bytes until it is dropped or built again."""

    window: LocalWindow


@dataclass(frozen=True, slots=True)
class Put:
    """Store an object of the build; what lies there under its key is overwritten."""

    window: LocalWindow
    built: BuiltObject


@dataclass(frozen=True, slots=True)
class Check:
    """Read an object back whole and compare it; ``Differs`` if it is not there or not equal."""

    window: LocalWindow
    built: BuiltObject


@dataclass(frozen=True, slots=True)
class Record:
    """Append the window's manifest records unless the log has them; done when they are durable."""

    window: LocalWindow


@dataclass(frozen=True, slots=True)
class Drop:
    """Let the window go from the local log."""

    window: LocalWindow


@dataclass(frozen=True, slots=True)
class List:
    """List all objects below the cluster's prefix, and the multipart uploads that are under way."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove objects; abort multipart uploads."""

    keys: tuple[str, ...]
    uploads: tuple[Upload, ...]


Effect = Build | Put | Check | Record | Drop | List | Delete

# --- Events. ---


@dataclass(frozen=True, slots=True)
class Sealed:
    """A window is sealed and durable; at start: each one there is, oldest first.

    ``is_covered``: the log holds the window's manifest records already.
    """

    window: LocalWindow
    is_covered: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What lies below a log position is to move now, whatever its age."""

    end_lsn: int


@dataclass(frozen=True, slots=True)
class Gone:
    """Retention let all windows below a log position go."""

    end_lsn: int


@dataclass(frozen=True, slots=True)
class Built:
    """``Build`` is done: the objects of the window, each segment before its manifest."""

    objects: tuple[BuiltObject, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """``List`` is done: objects, multipart uploads, names that manifest records name."""

    objects: tuple[ObjectInfo, ...]
    uploads: tuple[Upload, ...]
    named: frozenset[str]


@dataclass(frozen=True, slots=True)
class Done:
    """The effect under way is done."""


@dataclass(frozen=True, slots=True)
class Differs:
    """What ``Check`` read is not what was put."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The effect under way failed; whether it took place is not known."""

    reason: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; at the latest due at ``Mover.wakes_ns``."""


Event = Sealed | Asked | Gone | Built | Listed | Done | Differs | Failed | Tick


class Mover:
    """The plan of one node's moves: give it events, perform what ``take`` gives."""

    def __init__(self, *, age_s: int, local_bytes_max: int) -> None:
        self._age_ns = age_s * SECOND_NS
        self._local_bytes_max = local_bytes_max
        self._windows: list[LocalWindow] = []
        self._covered_lsn = 0
        self._asked_lsn = 0
        self._steps: list[Effect] = []
        """What is left to do, next first; empty: nothing is being moved."""
        self._under_way: Effect | None = None
        self._given = False
        self._retry_ns = 0
        self._failures = 0
        self._differs = 0
        self._janitor_ns: int | None = None
        self._error: str | None = None

    @property
    def error(self) -> str | None:
        """Why the last step failed; None while the tier works."""
        return self._error

    @property
    def lag_windows(self) -> int:
        """Sealed windows that are still local."""
        return len(self._windows)

    def wakes_ns(self, now_ns: int) -> int:
        """When a ``Tick`` is due at the latest if nothing else happens."""
        if self._under_way is not None:
            return now_ns + CLOUD_RETRY_S_MAX * SECOND_NS
        wakes = [self._retry_ns] if self._steps else []
        if self._windows and not self._steps:
            wakes.append(max(self._retry_ns, self._windows[0].newest_ns + self._age_ns))
        if self._janitor_ns is not None:
            wakes.append(self._janitor_ns)
        return min(wakes, default=now_ns + CLOUD_RETRY_S_MAX * SECOND_NS)

    def receive(self, event: Event, now_ns: int) -> None:
        """Takes an event; ``take`` then gives what follows from it."""
        match event:
            case Sealed():
                self._windows.append(event.window)
                if event.is_covered:
                    self._covered_lsn = max(self._covered_lsn, event.window.end_lsn)
            case Asked():
                self._asked_lsn = max(self._asked_lsn, event.end_lsn)
            case Gone():
                self._forget(event.end_lsn)
            case Tick():
                pass
            case _:
                self._report(event, now_ns)
        if self._janitor_ns is None:
            self._janitor_ns = now_ns + JANITOR_INTERVAL_S * SECOND_NS
        self._advance(now_ns)

    def take(self) -> Effect | None:
        """The effect to perform now; None while one is under way or nothing is due."""
        if self._given:
            return None
        self._given = self._under_way is not None
        return self._under_way

    def _forget(self, end_lsn: int) -> None:
        self._windows = [window for window in self._windows if window.end_lsn > end_lsn]
        # A step under way is reported first; what would follow it is left.
        if self._steps and self._moving(self._steps[0], end_lsn):
            del self._steps[:]

    @staticmethod
    def _moving(step: Effect, end_lsn: int) -> bool:
        return not isinstance(step, List | Delete) and step.window.end_lsn <= end_lsn

    def _report(self, event: Built | Listed | Done | Differs | Failed, now_ns: int) -> None:
        effect = self._under_way
        assert effect is not None, f"{event} of no effect"
        assert self._given, f"{event} of an effect that was not taken"
        self._under_way, self._given = None, False
        is_left = not self._steps or self._steps[0] is not effect
        match event:
            case Failed():
                self._fail(event.reason, now_ns)
                if isinstance(effect, List | Delete):
                    del self._steps[:]
                return
            case Differs():
                assert isinstance(effect, Check)
                self._differs += 1
                if not is_left:
                    self._steps.insert(0, Put(effect.window, effect.built))
                if self._differs >= CLOUD_DIFFERS_MAX:
                    self._differs = 0
                    self._fail(f"{effect.built.key} reads back different from what was put", now_ns)
                return
        self._failures, self._error = 0, None
        if isinstance(effect, Check):
            self._differs = 0
        if isinstance(effect, Drop):
            self._forget(effect.window.end_lsn)
        if is_left or not self._steps:
            return
        del self._steps[0]
        if isinstance(event, Built):
            assert isinstance(effect, Build)
            self._steps = _after_build(effect.window, event.objects)
        elif isinstance(event, Listed):
            self._steps = self._clearing(event, now_ns)
        elif isinstance(effect, Record):
            self._covered_lsn = max(self._covered_lsn, effect.window.end_lsn)

    def _fail(self, reason: str, now_ns: int) -> None:
        self._error = reason
        wait_s = min(CLOUD_RETRY_S_MIN << min(self._failures, 16), CLOUD_RETRY_S_MAX)
        self._failures += 1
        self._retry_ns = now_ns + wait_s * SECOND_NS

    def _advance(self, now_ns: int) -> None:
        if self._under_way is not None or now_ns < self._retry_ns:
            return
        if not self._steps:
            self._steps = self._next_steps(now_ns)
        if self._steps:
            self._under_way = self._steps[0]

    def _next_steps(self, now_ns: int) -> list[Effect]:
        if self._windows:
            oldest = self._windows[0]
            if oldest.end_lsn <= self._covered_lsn:
                return [Drop(oldest)]
            if self._is_due(oldest, now_ns):
                return [Build(oldest)]
        if self._janitor_ns is not None and now_ns >= self._janitor_ns:
            self._janitor_ns = now_ns + JANITOR_INTERVAL_S * SECOND_NS
            return [List()]
        return []

    def _is_due(self, window: LocalWindow, now_ns: int) -> bool:
        used = self._windows[-1].end_lsn - self._windows[0].first_lsn
        return (
            window.newest_ns + self._age_ns <= now_ns
            or window.end_lsn <= self._asked_lsn
            or used > self._local_bytes_max
        )

    def _clearing(self, listed: Listed, now_ns: int) -> list[Effect]:
        oldest_ns = min((window.oldest_ns for window in self._windows), default=now_ns)
        keys = orphans(listed.objects, listed.named, oldest_ns=oldest_ns, now_ns=now_ns)
        limit_ns = now_ns - JANITOR_OBJECT_AGE_S * SECOND_NS
        uploads = tuple(upload for upload in listed.uploads if upload.begun_ns < limit_ns)
        return [Delete(keys, uploads)] if keys or uploads else []


def _after_build(window: LocalWindow, objects: tuple[BuiltObject, ...]) -> list[Effect]:
    steps: list[Effect] = []
    for built in objects:
        steps += [Put(window, built), Check(window, built)]
    return [*steps, Record(window), Drop(window)]


def orphans(
    objects: Iterable[ObjectInfo], named: AbstractSet[str], *, oldest_ns: int, now_ns: int
) -> tuple[str, ...]:
    """Keys of segments and manifest copies that no manifest record names and none ever will.

    ``named`` are the names (``{cover}-{part}``, and each ``{cover}``) in the log; ``oldest_ns`` is the append time of the
    oldest record that is still local and not covered. An object of that day or a later one may be
    put again at any time, so a late delete could meet it: it stays. Keys of another form are not
    ours and stay, too.
    """
    first_day = datetime.fromtimestamp(oldest_ns // SECOND_NS, UTC).date().isoformat()
    limit_ns = now_ns - JANITOR_OBJECT_AGE_S * SECOND_NS
    return tuple(
        stored.key
        for stored in objects
        if (match := _OURS.fullmatch(stored.key)) is not None
        and match["name"] not in named
        and match["day"] < first_day
        and stored.modified_ns < limit_ns
    )
