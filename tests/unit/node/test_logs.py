"""Log lines: one per event, harmless, bounded."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sprawl.clock import SECOND_NS, ManualClock
from sprawl.limits import LOG_LINE_CHARS_MAX, LOG_LINES_PER_EVENT_S_MAX, LOG_VALUE_CHARS_MAX
from sprawl.node.logs import configure, escaped

START_NS = 1_767_225_600_000_000_000


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("sprawl")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], level, our_level = before
    root.setLevel(level)
    ours.setLevel(our_level)


def configured(
    log_format: str = "text", level: str = "info", stream: io.StringIO | None = None
) -> tuple[logging.Logger, io.StringIO, ManualClock]:
    clock, stream = ManualClock(START_NS), stream or io.StringIO()
    configure(log_format=log_format, level=level, clock=clock, stream=stream)
    return logging.getLogger("sprawl.test"), stream, clock


def test_a_text_line_has_time_level_message_and_fields() -> None:
    log, stream, _ = configured()
    log.info("HTTP server listening on %s:%d", "0.0.0.0", 8080, extra={"a": 1, "b": "x y"})
    assert stream.getvalue() == (
        '2026-01-01T00:00:00.000Z INFO    HTTP server listening on 0.0.0.0:8080 a=1 b="x y"\n'
    )


def test_a_json_line_is_one_object() -> None:
    log, stream, _ = configured("json")
    log.warning("slow %s", "reader", extra={"topic": "t\n", "bytes": 5})
    assert json.loads(stream.getvalue()) == {
        "time": "2026-01-01T00:00:00.000Z",
        "level": "warning",
        "logger": "sprawl.test",
        "message": "slow reader",
        "topic": "t\\n",
        "bytes": 5,
    }


def test_a_terminal_gets_short_times_and_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    log, stream, _ = configured(stream=Terminal())
    log.error("no")
    assert stream.getvalue() == "00:00:00 \x1b[31mERROR  \x1b[0m no\n"


def test_a_terminal_without_colour_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    log, stream, _ = configured(stream=Terminal())
    log.error("no")
    assert stream.getvalue() == "00:00:00 ERROR   no\n"


def test_a_level_below_the_least_is_silent() -> None:
    log, stream, _ = configured(level="warning")
    log.info("quiet")
    log.warning("loud")
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("log_format", ["text", "json"])
@given(text=st.text())
def test_no_text_breaks_a_line_or_commands_a_terminal(log_format: str, text: str) -> None:
    log, stream, _ = configured(log_format)
    log.info("from %s", text, extra={"value": text})
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert line.endswith("\n")
    assert not set(line[:-1]) & set("\r\x1b\x07\x00\u202e\u2028\u200f\x9b")


def test_escapes_show_what_was_there() -> None:
    assert escaped("a\r\n\x1b[2J\u202eb\U000e0001") == ("a\\r\\n\\x1b[2J\\u202eb\\U000e0001")


def test_values_and_lines_are_cut_and_say_so() -> None:
    log, stream, _ = configured()
    log.info("from %s", "x" * 1000, extra={f"f{i}": "y" * 1000 for i in range(40)})
    line = stream.getvalue()
    assert f"{'x' * LOG_VALUE_CHARS_MAX}…(+744)" in line
    assert len(line) <= LOG_LINE_CHARS_MAX + 100


def test_an_error_is_one_line_with_its_place() -> None:
    log, stream, _ = configured()
    broken = OSError(5, "disk\nbroken")
    try:
        _raise(broken)
    except OSError:
        log.exception("failed")
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert 'error="OSError: [Errno 5] disk\\nbroken"' in line
    assert 'at="test_logs.py:' in line


def _raise(error: Exception) -> None:
    raise error


def test_one_event_is_rate_limited_and_others_are_not() -> None:
    log, stream, clock = configured()
    for number in range(LOG_LINES_PER_EVENT_S_MAX + 7):
        log.info("event %d", number)
    log.info("another")
    assert stream.getvalue().count("\n") == LOG_LINES_PER_EVENT_S_MAX + 1
    clock.advance(SECOND_NS)
    log.info("event %d", 99)
    assert stream.getvalue().endswith("event 99 suppressed_count=7\n")


def test_a_stream_that_is_gone_is_no_error() -> None:
    log, stream, _ = configured()
    stream.close()
    log.info("nobody reads this")
