"""Clocks as parameters, and the two spellings of time that leave the node.

In: nothing. Out: integer nanoseconds. Invariant: nothing below the composition root and the
commands reads the operating system's clock itself; it is given a ``Clock``. Sources: RFC 3339;
Go's ``time.Duration`` text form, which the original's answers and settings use.
"""

import re
import time
from datetime import UTC, datetime
from typing import Final, Protocol

SECOND_NS: Final = 1_000_000_000

_UNITS_NS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "h": 3_600 * SECOND_NS,
}
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)


class Clock(Protocol):
    """The two clocks of a machine, in integer nanoseconds."""

    def now_ns(self) -> int:
        """Wall clock since the Unix epoch; may step."""

    def monotonic_ns(self) -> int:
        """Elapsed time from an arbitrary start; never goes back."""


class SystemClock:
    """The operating system's clocks."""

    now_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)


class ManualClock:
    """A clock that moves only when it is told to."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns
        self._elapsed_ns = 0

    def now_ns(self) -> int:
        """Wall clock, in nanoseconds."""
        return self._now_ns

    def monotonic_ns(self) -> int:
        """Elapsed time, in nanoseconds."""
        return self._elapsed_ns

    def advance(self, elapsed_ns: int) -> None:
        """Moves both clocks forward by ``elapsed_ns`` ≥ 0."""
        assert elapsed_ns >= 0, "a clock never goes back"
        self._now_ns += elapsed_ns
        self._elapsed_ns += elapsed_ns

    def step(self, step_ns: int) -> None:
        """Moves the wall clock alone, as an administrator or NTP does; may be negative."""
        self._now_ns += step_ns


def rfc3339(unix_ns: int) -> str:
    """``2026-01-02T03:04:05.678901234Z``: UTC, without trailing zeros of the fraction."""
    seconds, fraction = divmod(unix_ns, SECOND_NS)
    head = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    tail = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{head}{tail}Z"


def go_duration(elapsed_ns: int) -> str:
    """``3h21m15.2s``, as Go writes it; below a second ``1.5ms``, ``2µs``, ``7ns``; zero ``0s``."""
    if elapsed_ns < 0:
        return "-" + go_duration(-elapsed_ns)
    if elapsed_ns == 0:
        return "0s"
    if elapsed_ns < SECOND_NS:
        unit = "ns" if elapsed_ns < 1_000 else "µs" if elapsed_ns < 1_000_000 else "ms"
        return _decimal(elapsed_ns, _UNITS_NS[unit]) + unit
    minutes, rest_ns = divmod(elapsed_ns, _UNITS_NS["m"])
    hours, minutes = divmod(minutes, 60)
    text = _decimal(rest_ns, SECOND_NS) + "s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text


def parse_duration(text: str) -> int:
    """Nanoseconds of a Go duration (``1m30s``, ``100ms``, ``0``); ValueError when it is not one."""
    sign, body = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if body == "0":
        return 0
    total, end = 0, 0
    for part in _PART.finditer(body):
        if part.start() != end:
            break
        whole, _, fraction = part[1].partition(".")
        unit_ns = _UNITS_NS[part[2]]
        total += int(whole or "0") * unit_ns
        total += int(fraction or "0") * unit_ns // 10 ** len(fraction)
        end = part.end()
    if end == 0 or end != len(body):
        raise ValueError(f"{text!r} is not a duration such as 300ms, 45s or 1h30m")
    return sign * total


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    if rest == 0:
        return str(whole)
    digits = len(str(unit)) - 1
    return f"{whole}." + f"{rest:0{digits}d}".rstrip("0")
