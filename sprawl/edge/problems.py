"""Refusals as answers: RFC 9457 under ``/v1``, the original's shape on its routes.

In: a ``SprawlError`` and where it happened. Out: a response. Invariants: status, code, retryable
and outcome are those of the registry; 429 and 503 carry ``Retry-After``; 405 carries ``Allow``.
"""

from typing import Literal

import orjson
from starlette.responses import Response

from sprawl.errors import SprawlError

Shape = Literal["problem", "original", "original-success", "success-original"]
"""Who is answered: a v1 client, or one of the original (with its ``success`` member second or
first)."""


def refusal(
    error: SprawlError,
    shape: Shape,
    *,
    instance: str,
    request_id: str,
    allow: str | None = None,
) -> Response:
    """The answer that tells a client why it was refused."""
    headers: dict[str, str] = {}
    if allow is not None:
        headers["Allow"] = allow
    retry_after_s = error.retry_after_s
    if retry_after_s is None and error.status in (429, 503):
        retry_after_s = 1
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    if shape == "problem":
        members = _problem(error, instance, request_id)
        media_type = "application/problem+json"
    else:
        members = _original(error, shape, retry_after_s)
        media_type = "application/json"
    body = orjson.dumps(members, default=str) + b"\n"
    return Response(body, error.status, headers, media_type)


def _problem(error: SprawlError, instance: str, request_id: str) -> dict[str, object]:
    members: dict[str, object] = {}
    for name, value in error.problem.items():
        members[name] = value
        if name == "detail":
            members["instance"] = instance
    members["request_id"] = request_id
    return members


def _original(error: SprawlError, shape: Shape, retry_after_s: int | None) -> dict[str, object]:
    members: dict[str, object] = {}
    if shape == "success-original":
        members["success"] = False
    members["error"] = error.detail
    if shape == "original-success":
        members["success"] = False
    members |= {
        "code": error.code,
        "status": error.status,
        "retryable": error.retryable,
        "outcome": error.outcome,
    }
    if retry_after_s is not None:
        members["retry_after"] = str(retry_after_s)
    return members | dict(error.members)
