"""``GET /v1/messages/{id}``, and what is cold about reading a topic: HEAD.

In: calls. Out: responses. Invariant: a message looks here as in a read of its topic.
"""

from base64 import b64encode

import orjson
from starlette.responses import Response

from sprawl.broker.find_message import FoundMessage, find_message
from sprawl.edge.call import Call
from sprawl.edge.formats import json_response, rfc3339, text_or_base64
from sprawl.edge.query import choice


async def get(call: Call) -> Response:
    """``GET /v1/messages/{id}``."""
    form = choice(call.query, "value", "text", ("text", "base64", "json"))
    found = await find_message(call.engine, call.context.disk, call.path["id"])
    return json_response(_members(found, form))


def head(call: Call) -> Response:
    """``HEAD /v1/topics/{topic}/messages``: whether the read would be answered."""
    call.engine.reader(call.path["topic"], call.raw_query, "json", None, call.view.now_ns())
    return Response(media_type="application/json")


def _members(found: FoundMessage, form: str) -> dict[str, object]:
    stored = found.stored
    key = stored["key"]
    return {
        "id": found.message_id,
        "topic": stored["topic"],
        "partition": found.partition,
        "offset": found.offset,
        "timestamp": rfc3339(stored["timestamp_ms"] * 1_000_000),
        "key": None if key is None else _text(key),
        "headers": _headers(stored["headers"]),
        "content_type": stored["content_type"],
        "ttl_s": stored["ttl_s"] or 0,
        **_value(stored["payload"], form),
    }


def _headers(headers: list[tuple[str | bytes, str | bytes]]) -> dict[str, str]:
    """Headers by name; of one name twice the first counts, as in a read."""
    pairs = [(_text(name), _text(value)) for name, value in reversed(headers)]
    return dict(pairs)


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _value(payload: bytes, form: str) -> dict[str, object]:
    if form == "base64":
        return {"base64": b64encode(payload).decode("ascii")}
    if form == "json":
        try:
            return {"json": orjson.loads(payload)}
        except orjson.JSONDecodeError:
            # As in a read: what is not JSON keeps its plain form.
            return {**text_or_base64(payload)}
    return {**text_or_base64(payload)}
