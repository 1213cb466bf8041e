"""``sprawl``: starts a node.

In: the command line and the environment. Out: an exit status: 0 after a drain (and for help,
version, ``-printConfig``), 1 when a port or the directory cannot be had or a part of the node dies,
2 for a setting that is refused. Invariant: bad input and bad settings end in one line on stderr,
never in a traceback.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Final

from sprawl.errors import SettingsError, SprawlError

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; ``argv`` without the program's name."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end_before_start)
    try:
        return _run(list(sys.argv[1:] if argv is None else argv), os.environ)
    except SettingsError as error:
        from sprawl.settings.show import USAGE

        _complain(f"sprawl: {error.detail}")
        if error.code != "not_in_version":
            _complain(USAGE)
        return EXIT_USAGE
    except SprawlError as error:
        _complain(error.detail)
        return EXIT_FAILED
    except BrokenPipeError:
        # Whoever read the help or the configuration has gone; so is stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(argv: list[str], environment: Mapping[str, str]) -> int:
    from sprawl.settings import load, parse_flags
    from sprawl.settings.show import config_lines, help_lines

    invocation = parse_flags(argv)
    if invocation.asks_help:
        return _print(help_lines())
    if invocation.asks_version:
        from sprawl import __version__

        return _print([f"sprawl {__version__}"])
    loaded = load(invocation, environment)
    if invocation.asks_print_config:
        return _print(config_lines(loaded.settings))

    from sprawl.node.launch import launch

    return launch(loaded, lambda: load(invocation, environment))


def _print(lines: list[str]) -> int:
    sys.stdout.write("\n".join([*lines, ""]))
    sys.stdout.flush()
    return 0


def _complain(line: str) -> None:
    """One line on stderr, with nothing in it that a terminal would obey."""
    from sprawl.node.logs import escaped

    sys.stderr.write(escaped(line, 4_096) + "\n")


def _end_before_start(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
