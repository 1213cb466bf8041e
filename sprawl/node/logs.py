"""Log lines: one per event, structured, safe to look at, bounded.

In: records of the standard ``logging`` (fields by ``extra``). Out: text or JSON lines on stderr.
Invariants: no text of a client reaches a terminal unescaped (CR, LF, ANSI, bidirectional marks);
values and lines are cut at a bound and the cut is shown; one event writes at most
``LOG_LINES_PER_EVENT_S_MAX`` lines a second, and what was left out is told with its next line;
a log that cannot be written never stops the node. Source: docs/design/node.md.
"""

import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final, TextIO
from unicodedata import category

from sprawl.clock import SECOND_NS, Clock, rfc3339
from sprawl.limits import (
    LOG_EVENTS_MAX,
    LOG_LINE_CHARS_MAX,
    LOG_LINES_PER_EVENT_S_MAX,
    LOG_VALUE_CHARS_MAX,
)

ROOT: Final = "sprawl"
LEVELS: Final[Mapping[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_STANDARD: Final = frozenset(
    vars(logging.makeLogRecord({})).keys() | {"message", "asctime", "taskName", "suppressed_count"}
)
# Cc control, Cf format (bidirectional marks, zero width), Cs surrogates, Zl and Zp line ends.
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_FRAMES_MAX: Final = 6
_COLOURS: Final[Mapping[int, str]] = {logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m"}


def escaped(text: str, chars_max: int = LOG_VALUE_CHARS_MAX) -> str:
    """The text without anything a terminal or a line-based reader could obey, and cut."""
    cut = text[:chars_max]
    safe = cut if cut.isascii() and cut.isprintable() else "".join(_escape(c) for c in cut)
    return safe if len(text) <= chars_max else f"{safe}…(+{len(text) - chars_max})"


class Rate:
    """How many lines of one event may still be written in this second."""

    def __init__(self, clock: Clock, lines_max: int = LOG_LINES_PER_EVENT_S_MAX) -> None:
        self._clock = clock
        self._lines_max = lines_max
        self._events: dict[str, list[int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written; the first of a new second tells what was left out."""
        second = self._clock.monotonic_ns() // SECOND_NS
        state = self._state(f"{record.name}:{record.msg}", second)
        if state[0] != second:
            if state[1] > self._lines_max:
                record.suppressed_count = state[1] - self._lines_max
            state[:] = second, 0
        state[1] += 1
        return state[1] <= self._lines_max

    def _state(self, event: str, second: int) -> list[int]:
        if event not in self._events and len(self._events) >= LOG_EVENTS_MAX:
            event = ""
        return self._events.setdefault(event, [second, 0])


class TextLines(logging.Formatter):
    """``2026-01-02T03:04:05.678Z INFO message key=value``; for a terminal shorter, coloured."""

    def __init__(
        self, clock: Clock, *, is_terminal: bool = False, has_colour: bool = False
    ) -> None:
        super().__init__()
        self._clock = clock
        self._is_terminal = is_terminal
        self._has_colour = has_colour

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        time = _time(self._clock)
        if self._is_terminal:
            time = time[11:19]
        pairs = [f"{name}={_value_text(value)}" for name, value in _fields(record).items()]
        line = " ".join([_message(record), *pairs])
        level = f"{record.levelname:<7}"
        if self._has_colour and record.levelno in _COLOURS:
            level = f"{_COLOURS[record.levelno]}{level}\x1b[0m"
        return f"{time} {level} {escaped(line, LOG_LINE_CHARS_MAX)}"


class JsonLines(logging.Formatter):
    """One JSON object a line: ``time level logger message`` and the fields of the event."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        import orjson

        self._dumps: Callable[..., bytes] = orjson.dumps
        self._clock = clock

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        members: dict[str, object] = {
            "time": _time(self._clock),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": escaped(_message(record), LOG_LINE_CHARS_MAX),
        }
        for name, value in _fields(record).items():
            members.setdefault(name, value if isinstance(value, int | float) else _cut(value))
        return self._dumps(members).decode()


class Lines(logging.StreamHandler[TextIO]):
    """Writes lines; a stream that is gone or full is not an error of the node."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """A broken defect in a log call shows; a broken stream does not."""
        if not isinstance(sys.exception(), OSError | ValueError):
            super().handleError(record)


def configure(*, log_format: str, level: str, clock: Clock, stream: TextIO | None = None) -> None:
    """Sends what the package and its libraries log to ``stream`` (stderr); may be repeated."""
    target = stream or sys.stderr
    is_terminal = target.isatty()
    formatter: logging.Formatter
    if log_format == "json":
        formatter = JsonLines(clock)
    else:
        has_colour = is_terminal and "NO_COLOR" not in os.environ
        formatter = TextLines(clock, is_terminal=is_terminal, has_colour=has_colour)
    handler = Lines(target)
    handler.setFormatter(formatter)
    handler.addFilter(Rate(clock))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(LEVELS[level], logging.WARNING))
    logging.getLogger(ROOT).setLevel(LEVELS[level])


def _time(clock: Clock) -> str:
    now_ms = clock.now_ns() // 1_000_000
    whole = rfc3339(now_ms // 1000 * SECOND_NS).removesuffix("Z")
    return f"{whole}.{now_ms % 1000:03d}Z"


def _message(record: logging.LogRecord) -> str:
    args: Any = record.args
    if isinstance(args, tuple):
        record.args = tuple(_cut(arg) if isinstance(arg, str) else arg for arg in args)
    return record.getMessage()


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    if hasattr(record, "suppressed_count"):
        fields["suppressed_count"] = record.suppressed_count
    if record.exc_info and record.exc_info[1] is not None:
        fields |= _error_fields(record.exc_info[1])
    return fields


def _error_fields(error: BaseException) -> dict[str, object]:
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_MAX:]
    at = " < ".join(
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno}:{frame.name}"
        for frame in reversed(frames)
    )
    return {"error": f"{type(error).__name__}: {error}", "at": at}


def _value_text(value: object) -> str:
    if isinstance(value, int | float):
        return str(value)
    text = _cut(value)
    if text and not any(c in ' "=' for c in text):
        return text
    return '"' + text.replace('"', '\\"') + '"'


def _cut(value: object) -> str:
    return escaped(value if isinstance(value, str) else str(value))


def _escape(character: str) -> str:
    if category(character) not in _UNSAFE:
        return character
    code = ord(character)
    short = {9: "\\t", 10: "\\n", 13: "\\r"}.get(code)
    return short or (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65_536 else f"\\U{code:08x}"
    )
