"""Reads the budgets and the newest result of each row; prints a table; exits 1 on a miss.

In: ``perf/budgets.toml``, ``perf/results/*.json`` (written by ``python -m bench.peers run``). Out: one
line a budget. A budget without a result, without its peer, or whose peer's own spread is too wide is no
pass: it fails like a miss, under its own name. Exit 0: every budget holds; 1: not; 2: a bad file.
"""

import argparse
import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
NODE = "sprawl"
PASSING = ("aim", "ok")


class BadBudget(ValueError):
    """A budget that cannot be checked; the text names the row and what is wrong."""


@dataclass(frozen=True)
class Budget:
    """One bound. Exactly one of ``at_least`` and ``at_most`` is set."""

    row: str
    against: str | None = None
    metric: str = "value"
    #: The peer's figure, where it is another one.
    against_metric: str = ""
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    aim: float | None = None
    state: str = ""

    def __post_init__(self) -> None:
        if (self.at_least is None) == (self.at_most is None):
            raise BadBudget(f"{self.row}: needs exactly one of at_least and at_most")
        if self.state not in ("", "unmeasured"):
            raise BadBudget(f'{self.row}: state "{self.state}" is not "unmeasured"')
        if (self.against is None) == (self.unit == ""):
            raise BadBudget(f"{self.row}: needs a unit or a peer, not both")
        if self.aim is not None and not self.holds(self.aim):
            raise BadBudget(f"{self.row}: aim {self.aim} does not reach its own bound")

    def holds(self, figure: float) -> bool:
        """Whether the bound that must hold does."""
        if self.at_least is not None:
            return figure >= self.at_least
        assert self.at_most is not None
        return figure <= self.at_most

    def reaches_aim(self, figure: float) -> bool:
        """Whether the aim is reached too; false when there is none."""
        if self.aim is None:
            return False
        return figure >= self.aim if self.at_least is not None else figure <= self.aim


@dataclass(frozen=True)
class Verdict:
    """What became of a budget: ``aim``, ``ok``, ``MISS``, ``repeat``, ``unmeasured``."""

    budget: Budget
    word: str
    figure: float | None = None
    #: The peer's spread for a ratio, the node's for an absolute figure.
    spread: float | None = None
    note: str = ""


def read_budgets(text: str) -> tuple[list[Budget], float]:
    """The budgets and ``peer_spread_max``; raises ``BadBudget``."""
    document = tomllib.loads(text)
    known = set(Budget.__dataclass_fields__)
    budgets = []
    for entry in document.get("budget", []):
        if unknown := set(entry) - known:
            raise BadBudget(f"{entry.get('row')}: unknown {', '.join(sorted(unknown))}")
        budgets.append(Budget(**entry))
    if not budgets:
        raise BadBudget("no budgets")
    return budgets, float(document["peer_spread_max"])


def newest(results: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The latest result of each row, by its own date."""
    found: dict[str, Mapping[str, Any]] = {}
    for result in sorted(results, key=lambda result: str(result["date"])):
        found[result["row"]] = result
    return found


def spread_of(values: Sequence[float]) -> float | None:
    """Greatest / least; ``None`` when the least is not positive."""
    return max(values) / min(values) if min(values) > 0 else None


def judge(budget: Budget, result: Mapping[str, Any] | None, peer_spread_max: float) -> Verdict:
    """Holds one budget against one result."""
    if result is None:
        return Verdict(budget, "unmeasured")
    systems = result["systems"]
    named = budget.against or NODE
    for name in {NODE, named}:
        if "median" not in systems.get(name, {}):
            note = systems.get(name, {}).get("note", f"no {name} in this result")
            return Verdict(budget, "unmeasured", note=note)
    node, measured = systems[NODE], systems[named]
    theirs = budget.against_metric or budget.metric
    if budget.metric not in node["median"] or theirs not in measured["median"]:
        return Verdict(budget, "unmeasured", note=f"no {budget.metric} in this result")
    figure = node["median"][budget.metric]
    spread = spread_of([sample[theirs] for sample in measured["samples"]])
    if budget.against is not None:
        figure /= measured["median"][theirs]
        if len(measured["samples"]) < 3:
            return Verdict(budget, "repeat", figure, spread, "fewer than 3 rounds")
        if spread is None or spread > peer_spread_max:
            return Verdict(
                budget, "repeat", figure, spread, f"{named}'s spread above {peer_spread_max}"
            )
    if not budget.holds(figure):
        return Verdict(budget, "MISS", figure, spread)
    note = "budgets.toml still says unmeasured" if budget.state else ""
    return Verdict(budget, "aim" if budget.reaches_aim(figure) else "ok", figure, spread, note)


def amount(value: float | None) -> str:
    """A figure for the table: two decimals when small, none when large."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}"


def bound(budget: Budget) -> str:
    """The bound that must hold, with its direction."""
    if budget.at_least is not None:
        return f"≥ {amount(budget.at_least)}"
    return f"≤ {amount(budget.at_most)}"


def table(verdicts: Sequence[Verdict]) -> str:
    """Aligned columns: row, what it is measured in, at least, aim, measured, spread, verdict."""
    lines = [("row", "figure", "at least", "aim", "measured", "spread", "verdict")]
    for verdict in verdicts:
        budget = verdict.budget
        of = "" if budget.metric == "value" else f"{budget.metric} "
        lines.append(
            (
                budget.row,
                of + (f"× {budget.against}" if budget.against else budget.unit),
                bound(budget),
                amount(budget.aim),
                amount(verdict.figure),
                amount(verdict.spread),
                f"{verdict.word}  {verdict.note}".strip(),
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    return "\n".join(
        "  ".join(
            [*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[6]]
        )
        for line in lines
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budgets", type=Path, default=HERE / "budgets.toml")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    options = parser.parse_args()
    try:
        budgets, peer_spread_max = read_budgets(options.budgets.read_text())
        # Tables of conformance lie beside the measurements.
        # Measurements begin with their date; the other tables (conformance, fuzzing) with their name.
        measured = options.results.glob("[0-9]*.json")
        results = newest([json.loads(p.read_text()) for p in measured])
    except (ValueError, KeyError, TypeError) as reason:
        print(f"perf: {reason}", file=sys.stderr)
        return 2
    verdicts = [judge(budget, results.get(budget.row), peer_spread_max) for budget in budgets]
    print(table(verdicts))
    failing = [verdict for verdict in verdicts if verdict.word not in PASSING]
    if failing:
        rows = " ".join(dict.fromkeys(verdict.budget.row for verdict in failing))
        print(f"\n{len(failing)} of {len(verdicts)} budgets do not hold. Measure again:")
        print(f"  python -m bench.peers run {rows}")
    return 1 if failing else 0


if __name__ == "__main__":
    sys.exit(main())
