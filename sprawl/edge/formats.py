"""How values look in answers: times, durations, payloads, JSON bodies.

In: numbers and bytes. Out: text and responses. Invariants: times are RFC 3339 UTC with
milliseconds; JSON is compact and ends in one newline.
"""

from base64 import b64encode
from datetime import UTC, datetime

import orjson
from starlette.responses import Response


def json_response(
    members: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """A compact JSON answer with its newline."""
    return Response(orjson.dumps(members) + b"\n", status, headers, "application/json")


def rfc3339(ns: int) -> str:
    """A time in nanoseconds since the epoch as ``2026-01-01T00:00:00.000Z``."""
    seconds, rest = divmod(ns, 1_000_000_000)
    base = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{base}.{rest // 1_000_000:03d}Z"


def rfc3339_or_none(ns: int | None) -> str | None:
    """The same for a time that may not exist."""
    return None if ns is None else rfc3339(ns)


def go_duration(seconds: float) -> str:
    """A duration as Go prints it, to the millisecond.

    >>> go_duration(12075.2), go_duration(0.25), go_duration(60), go_duration(0)
    ('3h21m15.2s', '250ms', '1m0s', '0s')
    """
    ms = round(seconds * 1000)
    if ms == 0:
        return "0s"
    if ms < 1000:
        return f"{ms}ms"
    minutes, ms = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    rest = f"{ms / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{rest}"
    return f"{minutes}m{rest}" if minutes else rest


def text_or_base64(payload: bytes) -> dict[str, str]:
    """A payload as ``payload`` when it is UTF-8, else as ``base64``."""
    try:
        return {"payload": payload.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": b64encode(payload).decode("ascii")}
