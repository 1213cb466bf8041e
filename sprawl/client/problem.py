"""Answers that say no, as errors.

In: status, headers and body of an answer. Out: an error of ``sprawl.errors`` that keeps every
member of the problem. Invariant: an answer of 400 or more always becomes an error, also when its
body is nothing known (a proxy's page). Source: RFC 9457; the original's error shape.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec

from sprawl.client.http import Response
from sprawl.errors import REGISTRY, SprawlError, error_for

_CODES: Final[Mapping[int, str]] = {
    400: "bad_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    409: "topic_conflict",
    410: "offset_expired",
    412: "expectation_failed",
    413: "too_large",
    415: "unsupported_media_type",
    416: "offset_out_of_range",
    422: "durability_unavailable",
    429: "too_many_requests",
    431: "head_too_large",
    501: "not_available",
    503: "unavailable",
    504: "publish_timeout",
    507: "storage_full",
}


def _code(members: Mapping[str, object], status: int) -> str:
    named = members.get("code")
    if isinstance(named, str) and named in REGISTRY:
        return named
    if known := _CODES.get(status):
        return known
    return "internal_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "bad_request"


def _seconds(value: object) -> int | None:
    """``Retry-After`` in seconds; its date form is treated as absent."""
    text = str(value) if isinstance(value, str | int) else ""
    return int(text) if text.isascii() and text.isdigit() else None


def error_of_members(members: Mapping[str, object], status: int) -> SprawlError:
    """The error of a problem's members (also of one item in a batch's results)."""
    detail = members.get("detail") or members.get("error") or members.get("title")
    location = members.get("location")
    return error_for(
        _code(members, status),
        str(detail or f"the node answered {status}"),
        location if isinstance(location, str) else "",
        retry_after_s=_seconds(members.get("retry_after")),
        members=members,
    )


def error_of(response: Response) -> SprawlError:
    """The error that ``response`` (status 400 or more) stands for."""
    try:
        decoded = msgspec.json.decode(response.body)
    except msgspec.DecodeError:
        decoded = None
    members: dict[str, object] = decoded if isinstance(decoded, dict) else {}
    if "retry-after" in response.headers:
        members["retry_after"] = response.headers["retry-after"]
    return error_of_members({"status": response.status, **members}, response.status)
