"""What counts as a defect of the node, as a check for schemathesis; see ``test_schemathesis.py``."""

import json
from typing import Any

import schemathesis

DOCUMENTED = {
    501: {"not_available"},
    503: {"busy", "draining", "disk_behind"},
    507: {"storage_full"},
}
"""Statuses from 500 that are refusals, and the codes they may have."""


@schemathesis.check
def no_defect(_: Any, response: Any, case: Any) -> None:
    """An answer from 500 is one of the documented refusals, and says that nothing was stored."""
    if response.status_code < 500:
        return
    assert response.status_code in DOCUMENTED, f"status {response.status_code}"
    if case.method.upper() == "HEAD":
        return
    problem = json.loads(response.content)
    assert problem["code"] in DOCUMENTED[response.status_code], problem
    assert problem["outcome"] == "none", problem


@schemathesis.hook
def map_query(_: Any, query: Any) -> Any:
    """A read that is allowed to wait three minutes does: here it waits half a second at most."""
    if isinstance(query, dict) and isinstance(query.get("wait"), int | float):
        query["wait"] = min(query["wait"], 0.5)
    return query


@schemathesis.hook
def before_call(_: Any, case: Any, __: Any) -> None:
    """The same for what other phases make."""
    wait = case.query.get("wait") if isinstance(case.query, dict) else None
    if isinstance(wait, int | float) and not isinstance(wait, bool):
        case.query["wait"] = min(wait, 0.5)
