"""Options that commands share, and the kinds of values they take.

In: text from the command line. Out: values, or a usage error that names what is taken.
"""

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from sprawl.client.address import parse_all
from sprawl.errors import SprawlError

_Command = TypeVar("_Command", bound=Callable[..., Any])

DEFAULT_NODE: Final = "http://localhost:8080"

_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0} | {
    "m": 60.0,
    "h": 3600.0,
}
_PIECE: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")


class Duration(click.ParamType[float]):
    """A Go duration (``100ms``, ``1m30s``, ``0``) as seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds, at least 0."""
        if not isinstance(value, str):
            return float(value)
        if value == "0":
            return 0.0
        total_s, at = 0.0, 0
        while at < len(value) and (piece := _PIECE.match(value, at)):
            total_s += float(piece[1]) * _UNITS[piece[2]]
            at = piece.end()
        if not value or at < len(value):
            self.fail(f'"{value}" is no duration, it takes 100ms, 30s or 1m30s', param, ctx)
        return total_s


class Range(click.ParamType[str]):
    """Where a read begins, as nodes spell it; ``@TIME`` is short for ``time:TIME``."""

    name = "range"
    _TAKEN = re.compile(r"earliest|latest|offset:\d+|time:.+|cursor:[A-Za-z0-9_-]+|-\d[\w.]*")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The value of ``from``."""
        text = f"time:{value[1:]}" if value.startswith("@") else str(value)
        if not self._TAKEN.fullmatch(text):
            self.fail(
                f'"{value}" is no start, it takes earliest, latest, offset:N, -10m, '
                "@2026-01-01T00:00:00Z or cursor:C",
                param,
                ctx,
            )
        return text


class Nodes(click.ParamType[tuple[str, ...]]):
    """Urls of nodes, a comma list."""

    name = "urls"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The urls in order, each with its scheme."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(address.url for address in parse_all(value))
        except SprawlError as error:
            self.fail(error.detail, param, ctx)


def _merged(
    _context: click.Context, _parameter: click.Parameter, values: tuple[tuple[str, ...], ...]
) -> tuple[str, ...]:
    return tuple(dict.fromkeys(url for urls in values for url in urls)) or (DEFAULT_NODE,)


def nodes_option(command: _Command) -> _Command:
    """``-n, --nodes``: passes ``nodes``, a tuple of urls."""
    return click.option(
        "-n",
        "--nodes",
        type=Nodes(),
        multiple=True,
        callback=_merged,
        help=f"Urls of nodes: a comma list, or repeated.  [default: {DEFAULT_NODE}]",
    )(command)


def output_option(command: _Command) -> _Command:
    """``-o, --output``: passes ``output``."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json", "ndjson", "raw"]),
        default="table",
        show_default=True,
        help="How results are written.",
    )(command)


def topic_option(default: str) -> Callable[[_Command], _Command]:
    """``-t, --topic``: passes ``topic``."""
    return click.option(
        "-t", "--topic", default=default, show_default=True, help="Name of the topic."
    )


def yes_options(command: _Command) -> _Command:
    """``--yes`` and ``--dry-run`` of a destructive command."""
    command = click.option("--yes", is_flag=True, help="Do not ask.")(command)
    return click.option("--dry-run", is_flag=True, help="Say what would be done, do nothing.")(
        command
    )
