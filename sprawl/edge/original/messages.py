"""``GET /messages/{id}``.

In: a call. Out: the message in the original's shape.
"""

from starlette.responses import Response

from sprawl.broker.find_message import find_message
from sprawl.edge.call import Call
from sprawl.edge.formats import json_response, rfc3339, text_or_base64


async def get(call: Call) -> Response:
    """One message; takes our id and one that its publisher gave."""
    asked = call.path["id"]
    found = await find_message(call.engine, call.context.disk, asked)
    stored = found.stored
    return json_response(
        {
            "id": asked,
            "topic": stored["topic"],
            **text_or_base64(stored["payload"]),
            "timestamp": rfc3339(stored["timestamp_ms"] * 1_000_000),
            "ttl": stored["ttl_s"] or 0,
            "partition": found.partition,
            "offset": found.offset,
            "storage_tier": found.tier,
            "message_id": found.message_id,
        }
    )
