"""The budgets' arithmetic: what passes, what fails, and what is no figure."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


def load(path: str) -> ModuleType:
    """Imports a program of the checkout by its path (perf is no installed package)."""
    spec = importlib.util.spec_from_file_location(f"checkout_{Path(path).stem}", ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


compare = load("perf/compare.py")


def entry(value: float, spread: float = 1.1, rounds: int = 3) -> dict[str, Any]:
    """A system's entry: ``rounds`` samples whose median is ``value``, the last ``spread`` times the first."""
    figures = [value, *[value] * (rounds - 2), value * spread][:rounds]
    return {
        "median": {"value": value, "p99_us": value},
        "samples": [{"value": figure, "p99_us": figure} for figure in figures],
    }


def result(date: str = "2026-01-01", **systems: dict[str, Any]) -> dict[str, Any]:
    return {"row": "r", "date": date, "systems": systems}


RATIO = compare.Budget(row="r", against="nats", at_least=0.9, aim=1.2)


@pytest.mark.parametrize(
    ("node", "word"), [(89.9, "MISS"), (90.0, "ok"), (119.0, "ok"), (120.0, "aim"), (500.0, "aim")]
)
def test_a_ratio_is_held_against_its_bound_and_its_aim(node: float, word: str) -> None:
    verdict = compare.judge(RATIO, result(sprawl=entry(node), nats=entry(100.0)), 1.5)
    assert (verdict.word, verdict.figure) == (word, node / 100)


@pytest.mark.parametrize(("node", "word"), [(130.0, "aim"), (200.0, "ok"), (201.0, "MISS")])
def test_at_most_passes_below(node: float, word: str) -> None:
    budget = compare.Budget(row="r", against="nats", metric="p99_us", at_most=2.0, aim=1.3)
    assert compare.judge(budget, result(sprawl=entry(node), nats=entry(100.0)), 1.5).word == word


def test_an_absolute_bound_needs_no_peer_and_ignores_spread() -> None:
    budget = compare.Budget(row="r", unit="bytes", at_most=400)
    assert compare.judge(budget, result(sprawl=entry(400.0, 9.0)), 1.5).word == "ok"
    assert compare.judge(budget, result(sprawl=entry(401.0)), 1.5).word == "MISS"


def test_a_wide_spread_of_the_peer_does_not_count() -> None:
    for spread in (1.51, -1.0):
        found = compare.judge(RATIO, result(sprawl=entry(200.0), nats=entry(100.0, spread)), 1.5)
        assert found.word == "repeat"
    wide_node = result(sprawl=entry(200.0, 9.0), nats=entry(100.0, 1.5))
    assert compare.judge(RATIO, wide_node, 1.5).word == "aim"


def test_the_spread_is_that_of_the_budgets_own_metric() -> None:
    budget = compare.Budget(row="r", against="nats", metric="p99_us", at_most=2.0)
    peer = entry(100.0)
    peer["samples"][0]["p99_us"] = 300.0
    assert compare.judge(budget, result(sprawl=entry(100.0), nats=peer), 1.5).word == "repeat"
    assert compare.judge(RATIO, result(sprawl=entry(100.0), nats=peer), 1.5).word == "ok"


def test_fewer_than_three_rounds_do_not_count() -> None:
    found = compare.judge(RATIO, result(sprawl=entry(200.0), nats=entry(100.0, 1.0, 2)), 1.5)
    assert found.word == "repeat"


def test_a_missing_peer_node_or_result_is_unmeasured_and_says_why() -> None:
    assert compare.judge(RATIO, None, 1.5).word == "unmeasured"
    missing = {"note": "nats: not here", "samples": []}
    found = compare.judge(RATIO, result(sprawl=entry(1.0), nats=missing), 1.5)
    assert (found.word, found.note) == ("unmeasured", "nats: not here")
    assert compare.judge(RATIO, result(nats=entry(1.0)), 1.5).word == "unmeasured"


def test_the_newest_result_of_a_row_counts() -> None:
    results = [result("2026-01-02T05"), result("2026-01-02T11"), result("2025-12-31")]
    assert compare.newest(results)["r"]["date"] == "2026-01-02T11"


@pytest.mark.parametrize(
    "text",
    [
        '[[budget]]\nrow = "r"\nagainst = "nats"',
        '[[budget]]\nrow = "r"\nagainst = "nats"\nat_least = 1\nat_most = 2',
        '[[budget]]\nrow = "r"\nat_least = 1',
        '[[budget]]\nrow = "r"\nagainst = "nats"\nat_least = 1.0\naim = 0.9',
        '[[budget]]\nrow = "r"\nagainst = "nats"\nat_leats = 1.0',
        '[[budget]]\nrow = "r"\nagainst = "nats"\nat_least = 1.0\nstate = "soon"',
        "",
    ],
)
def test_a_budget_that_cannot_be_checked_is_refused(text: str) -> None:
    with pytest.raises(compare.BadBudget):
        compare.read_budgets("peer_spread_max = 1.5\n" + text)


def test_the_exit_code_follows_the_verdicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    budgets = tmp_path / "budgets.toml"
    budgets.write_text(
        'peer_spread_max = 1.5\n[[budget]]\nrow = "r"\nagainst = "nats"\nat_least = 0.9\n'
    )
    arguments = ["compare.py", "--budgets", str(budgets), "--results", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    assert compare.main() == 1
    (tmp_path / "fuzz-2026-01-01.json").write_text("[]")  # another table: passed over
    (tmp_path / "2026-01-01-r.json").write_text(
        json.dumps(result(sprawl=entry(1.0), nats=entry(1.0)))
    )
    assert compare.main() == 0
    (tmp_path / "2026-02-01-r.json").write_text(
        json.dumps(result("2026-02-01", sprawl=entry(0.8), nats=entry(1.0)))
    )
    capsys.readouterr()
    assert compare.main() == 1
    assert "MISS" in capsys.readouterr().out
    budgets.write_text("peer_spread_max = [")
    assert compare.main() == 2


def test_every_budget_names_a_row_and_a_system_that_are_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from bench.cloud import FIGURES as CLOUD_FIGURES
    from bench.disk import FIGURES as DISK_FIGURES
    from bench.peers.rows import ROWS

    figures = DISK_FIGURES | CLOUD_FIGURES
    budgets, _ = compare.read_budgets((ROOT / "perf" / "budgets.toml").read_text())
    for budget in budgets:
        if budget.row in figures:
            _, unit, _ = figures[budget.row]
            assert (budget.against, budget.unit) == (None, unit), budget
            continue
        assert budget.against is None or budget.against in ROWS[budget.row].loads, budget
        assert budget.unit in ("", ROWS[budget.row].unit), budget
