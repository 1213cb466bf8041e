"""Writes ``docs/reference`` from the tables that the node itself runs by; ``--check`` only says what is out of date.

Settings come from ``sprawl.settings``, errors from ``sprawl.errors``, bounds with their reasons from the source of
``sprawl.limits``, endpoints from ``sprawl.edge``.
"""

import ast
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from sprawl import errors, limits
from sprawl.edge.endpoints import ENDPOINTS
from sprawl.settings.table import IGNORED, TABLE

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"


def table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    cells = ([str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def code(text: object) -> str:
    return f"`{text}`" if text not in ("", None) else ""


def settings() -> str:
    rows = []
    for row in TABLE.values():
        low = "" if row.low is None else f"≥ {row.low:g}"
        high = "" if row.high is None else f"≤ {row.high:.16g}"
        bounds = ", ".join(part for part in (low, high, ", ".join(row.choices)) if part)
        notes = [row.help, "reloaded on SIGHUP" if row.reloadable else "", row.inert]
        rows.append(
            (
                code(f"-{row.flag}" if row.flag else ""),
                ", ".join(code(name) for name in row.variables),
                code(row.show(row.default)),
                row.unit,
                bounds,
                "; ".join(note for note in notes if note),
            ),
        )
    ignored = table(
        ("Variable", "Why it has no effect"), ((code(n), why) for n, why in IGNORED.items())
    )
    heads = ("Flag", "Variables, first wins", "Default", "Unit", "Bounds", "Meaning")
    return (
        "# Settings\n\nA flag goes before a variable, a variable before the settings file, the file before the default."
        f" A flag's name without the dash is its member in the file (TOML).\n\n{table(heads, rows)}\n\n"
        f"Taken for the sake of the original, without effect:\n\n{ignored}\n"
    )


def registry() -> str:
    rows = (
        (code(r.code), r.status or "", r.title, "yes" if r.retryable else "no", r.outcome)
        for r in errors.REGISTRY.values()
    )
    heads = ("Code", "HTTP status", "Title", "Retryable", "Outcome")
    return (
        "# Errors\n\n`code` of every problem answer (RFC 9457). `outcome` `none`: certainly not stored; `unknown`: it"
        f" may have been. No status: the code never leaves the process that raised it.\n\n{table(heads, rows)}\n"
    )


def bounds() -> str:
    source = Path(limits.__file__).read_text(encoding="utf-8")
    lines = source.splitlines()
    rows = []
    for node in ast.parse(source).body:
        if not isinstance(node, ast.AnnAssign):
            continue
        name = ast.unparse(node.target)
        value = getattr(limits, name)
        if not isinstance(value, int | float):
            continue
        at = node.lineno - 2
        reason: list[str] = []
        while lines[at].startswith("# ") and not lines[at].startswith("# ---"):
            reason.insert(0, lines[at][2:])
            at -= 1
        if reason:
            rows.append((code(name.lower()), f"{value:,}", " ".join(reason)))
    return f"# Bounds\n\nEverything that could grow has a bound here.\n\n{table(('Name', 'Value', 'What it bounds'), rows)}\n"


def endpoints() -> str:
    rows = (
        (
            code(f"{e.method} {e.path}"),
            e.summary,
            ", ".join(code(p.name) for p in e.parameters),
            ", ".join(code(name) for name in e.errors),
            "not in this version (501)" if e.answered == "later" else e.since,
        )
        for e in ENDPOINTS
    )
    heads = ("Endpoint", "What it does", "Parameters", "Errors of its own", "Since")
    return (
        "# Endpoints\n\n`GET /openapi.json` of a node has the same table with its schemas."
        f"\n\n{table(heads, rows)}\n"
    )


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings,
    "errors.md": registry,
    "limits.md": bounds,
    "endpoints.md": endpoints,
}

stale = []
for page, write in PAGES.items():
    path = FOLDER / page
    text = write()
    if path.exists() and path.read_text(encoding="utf-8") == text:
        continue
    stale.append(f"docs/reference/{page}")
    if "--check" not in sys.argv:
        FOLDER.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print("wrote", path.relative_to(ROOT))
if stale and "--check" in sys.argv:
    sys.exit(f"out of date, run `make docs`: {', '.join(stale)}")
