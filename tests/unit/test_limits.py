"""Limits: the shared ones equal the compiled code's."""

import re
from pathlib import Path

from sprawl import limits

LIMITS_RS = Path(__file__).parents[2] / "native/core/src/limits.rs"
ROW = re.compile(r"^pub const (\w+): \w+ = ([0-9_* ]+);", re.MULTILINE)


def test_shared_limits_are_the_same_in_compiled_code() -> None:
    text = LIMITS_RS.read_text()
    rows = ROW.findall(text)
    assert len(rows) == text.count("pub const "), "a row of limits.rs was not read"
    there = {name: _product(value) for name, value in rows}
    assert {name: getattr(limits, name) for name in limits.SHARED} == there


def test_write_budget_resumes_below_where_it_pauses() -> None:
    assert limits.WRITE_BUFFER_BYTES_RESUME < limits.WRITE_BUFFER_BYTES_MAX


def test_one_full_batch_fits_into_the_least_memory_tier() -> None:
    assert limits.BATCH_BYTES_MAX <= limits.MEMORY_BYTES_MIN <= limits.MEMORY_BYTES_DEFAULT


def _product(text: str) -> int:
    value = 1
    for factor in text.split("*"):
        value *= int(factor.replace("_", ""))
    return value
