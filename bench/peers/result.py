"""From samples to the document of a row: medians, spread, ratios."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from bench.peers.rows import NODE, Row


def summary(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Median of every figure; least, greatest and spread (greatest / least) of the row's value."""
    values = [sample["value"] for sample in samples]
    least, greatest = min(values), max(values)
    names = [name for name, value in samples[0].items() if isinstance(value, int | float)]
    return {
        "median": {n: median(s[n] for s in samples if n in s) for n in names},
        "min": least,
        "max": greatest,
        "spread": greatest / least if least > 0 else None,
    }


def ratios(systems: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Node / peer for every figure both have."""
    node = systems.get(NODE, {}).get("median")
    if node is None:
        return {}
    found: dict[str, dict[str, float]] = {}
    for name, entry in systems.items():
        theirs = entry.get("median", {})
        if name != NODE:
            found[name] = {k: node[k] / v for k, v in theirs.items() if k in node and v > 0}
    return found


def document(
    row: Row,
    samples: Mapping[str, Sequence[Mapping[str, Any]]],
    notes: Mapping[str, str],
    commands: Mapping[str, str],
) -> dict[str, Any]:
    """The JSON document of one row. A system with a note (missing, refused, lost messages) has no median."""
    systems: dict[str, dict[str, Any]] = {}
    for name in row.loads:
        entry: dict[str, Any] = {"command": commands.get(name, "")}
        if name in notes:
            entry["note"] = notes[name]
        taken = samples.get(name, [])
        if taken and name not in notes:
            entry |= summary(taken)
        if servers := [sample["server"] for sample in taken if "server" in sample]:
            entry["server"] = servers[0]
        entry["samples"] = [{k: v for k, v in s.items() if k != "server"} for s in taken]
        systems[name] = entry
    return {
        "row": row.name,
        "title": row.title,
        "unit": row.unit,
        "systems": systems,
        "ratios": ratios(systems),
    }
