"""The instruction gate's arithmetic and its record."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SPEC = importlib.util.spec_from_file_location(
    "checkout_instructions", ROOT / "perf/instructions.py"
)
assert SPEC is not None
assert SPEC.loader is not None
instructions = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = instructions
SPEC.loader.exec_module(instructions)


@pytest.mark.parametrize(
    ("count", "word"), [(94.9, "better"), (95.1, "ok"), (104.9, "ok"), (105.1, "WORSE")]
)
def test_a_count_is_held_against_its_record(count: float, word: str) -> None:
    program = instructions.Program("p", instructions=100.0)
    assert instructions.judge(program, count, 0.05) == word


def test_a_program_without_a_record_does_not_pass() -> None:
    assert instructions.judge(instructions.Program("p"), 1.0, 0.05) == "unrecorded"


def test_the_total_is_read_from_callgrinds_file() -> None:
    assert instructions.parse_count("events: Ir\nfn=a\n1 5\n\ntotals: 123456\n") == 123456
    with pytest.raises(ValueError, match="totals"):
        instructions.parse_count("events: Ir\n")


def test_what_is_written_is_read_back() -> None:
    programs = {
        "instr_a": instructions.Program("instr_a", (), 2000, 61.5),
        "hot": instructions.Program("hot", (".venv/bin/python", "perf/x.py"), 50, 9000.0),
    }
    text = instructions.write_record(programs, 0.05, "1.95.0")
    assert instructions.read_record(text) == (programs, 0.05, "1.95.0")


def test_the_checked_in_record_can_be_read() -> None:
    programs, tolerance, _ = instructions.read_record((ROOT / "perf/instructions.toml").read_text())
    assert 0 < tolerance <= 0.05
    assert all(program.instructions is not None for program in programs.values())
