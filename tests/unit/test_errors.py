"""The registry of errors: equal to the compiled one, and whole."""

import re
from pathlib import Path

import pytest

from sprawl import errors

PROBLEM_RS = Path(__file__).parents[2] / "native/core/src/problem.rs"
ROW = re.compile(r'^\s*[A-Z]\w+ "(\w+)" (\d+) (true|false) "([^"]+)";', re.MULTILINE)


def test_codes_of_compiled_code_are_the_same_here() -> None:
    rows = ROW.findall(PROBLEM_RS.read_text())
    assert len(rows) == PROBLEM_RS.read_text().count('";'), "a row of problem.rs was not read"
    for code, status, retryable, title in rows:
        record = errors.REGISTRY[code]
        there = (int(status), retryable == "true", title)
        assert (record.status, record.retryable, record.title) == there


@pytest.mark.parametrize("code", errors.REGISTRY)
def test_every_code_has_a_class_and_a_problem(code: str) -> None:
    error = errors.error_for(code, "the detail", "/member", members={"offset": 7})
    assert isinstance(error, errors.SprawlError)
    assert (error.code, error.detail, str(error)) == (code, "the detail", "the detail")
    assert error.problem["location"] == "/member"
    assert error.problem["offset"] == 7
    assert list(error.problem)[:4] == ["type", "title", "status", "detail"]


@pytest.mark.parametrize("code", errors.REGISTRY)
def test_an_error_survives_a_process_border_as_it_is(code: str) -> None:
    error = errors.error_for(code, "the detail", "/member", retry_after_s=3)
    rebuild, arguments = error.__reduce__()
    again = rebuild(*arguments)  # type: ignore[operator, misc]
    assert type(again) is type(error)
    assert again.problem == error.problem


def test_classes_follow_the_status() -> None:
    assert errors.class_of("topic_not_found") is errors.NotFound
    assert errors.class_of("offset_expired") is errors.Expired
    assert errors.class_of("storage_full") is errors.StorageFull
    assert errors.class_of("connection_lost") is errors.ConnectionFailed
    assert errors.class_of("not_in_version") is errors.SettingsError


def test_what_may_have_been_stored_says_so() -> None:
    unknown = {code for code, record in errors.REGISTRY.items() if record.outcome == "unknown"}
    assert unknown >= {"internal_error", "publish_timeout", "connection_lost", "timeout"}
    assert not unknown & {"busy", "draining", "storage_full", "too_large"}


def test_an_unregistered_code_is_a_defect() -> None:
    with pytest.raises(KeyError):
        errors.error_for("no_such_code", "")
