"""Marker ``needs`` and the closing block that names what this machine lacked.

``SPRAWL_REQUIRE=all`` (or a comma list of names) turns each missing thing into a failure of the tests that need it.
"""

import functools
import os
import signal
from collections import Counter

import pytest

from tests.needs import FINDERS

_missing: Counter[tuple[str, str]] = Counter()


@functools.cache
def _reason_missing(name: str) -> str | None:
    """``None`` when the machine has the thing ``name``, else the sentence that says what to install."""
    finder, reason = FINDERS[name]
    return None if finder() else reason


def pytest_configure(config: pytest.Config) -> None:
    """Declares the marker, and lets the programs that tests start be interrupted."""
    # A run in the background of a script inherits an ignored SIGINT and would hand it on.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    names = ", ".join(FINDERS)
    config.addinivalue_line(
        "markers", f"needs(*names): runs only where the machine has these; names: {names}"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuses a name that nobody can find: such a test would be skipped for ever."""
    for item in items:
        for marker in item.iter_markers("needs"):
            if unknown := set(marker.args) - FINDERS.keys():
                raise pytest.UsageError(
                    f"{item.nodeid} needs {sorted(unknown)}; known: {sorted(FINDERS)}"
                )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a test whose need is missing, or fails it where the need is required."""
    required = os.environ.get("SPRAWL_REQUIRE", "").split(",")
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            reason = _reason_missing(name)
            if reason is None:
                continue
            if name in required or "all" in required:
                pytest.fail(f"SPRAWL_REQUIRE asks for {name}: {reason}", pytrace=False)
            _missing[name, reason] += 1
            pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints one line per missing thing, and nothing when nothing was missing."""
    if not _missing:
        return
    terminalreporter.section("not run, because …")
    for (name, reason), count in sorted(_missing.items()):
        noun = "test" if count == 1 else "tests"
        terminalreporter.write_line(f"{name}: {reason} ({count} {noun})")
