"""Results on stdout.

In: rows (dicts with the same members). Out: a table, one JSON document, JSON lines, or bare values.
Invariants: JSON has the members' own names and types; colour and rich only where stdout is a
terminal. ``raw`` writes the first member of each row.
"""

import sys
from collections.abc import Mapping, Sequence

import click
import msgspec

Row = Mapping[str, object]


def line(text: str) -> None:
    """One line, written through at once so that a reader of a pipe sees it."""
    click.echo(text)


def complain(text: str) -> None:
    """One line on stderr."""
    click.echo(text, err=True)


def encoded(value: object) -> str:
    """Compact JSON."""
    return msgspec.json.encode(value).decode()


def rows(found: Sequence[Row], output: str) -> None:
    """A list of rows."""
    if output == "json":
        line(encoded(found))
    elif output == "ndjson":
        for row in found:
            line(encoded(row))
    elif output == "raw":
        for row in found:
            line(_plain(next(iter(row.values()))))
    elif found:
        _table(found)


def record(row: Row, output: str) -> None:
    """One thing: a JSON object, or its members below each other."""
    if output in {"json", "ndjson"}:
        line(encoded(row))
    elif output == "raw":
        line(_plain(next(iter(row.values()))))
    else:
        width = max(map(len, row), default=0)
        for name, value in row.items():
            line(f"{name:<{width}}  {_plain(value)}")


def _plain(value: object) -> str:
    if isinstance(value, Mapping | list | tuple):
        return encoded(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else escaped(str(value))


def escaped(text: str) -> str:
    """``text`` with nothing in it that a terminal would obey, when stdout is one."""
    if not sys.stdout.isatty() or text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or sign in "\n\t" else sign.encode("unicode_escape").decode()
        for sign in text
    )


def _table(found: Sequence[Row]) -> None:
    names = list(found[0])
    cells = [[_plain(row.get(name)) for name in names] for row in found]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*names, box=None, pad_edge=False, header_style="bold")
        for row in cells:
            table.add_row(*map(Text, row))
        Console().print(table)
        return
    widths = [max(len(n), *(len(r[i]) for r in cells)) for i, n in enumerate(names)]
    for row in [[name.upper() for name in names], *cells]:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        line("  ".join(padded).rstrip())


def line_or_complaint(text: str, output: str) -> None:
    """A line of a table's text on stdout; beside JSON and raw values it goes to stderr."""
    click.echo(text, err=output != "table")
