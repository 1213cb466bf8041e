"""``POST /subscribe``, ``POST /unsubscribe``, ``DELETE /subscribe/{id}``.

In: calls. Out: the id of a subscription that reads from *latest* and is not durable, and the log
line that people of the original search for.
"""

import logging
from typing import Final

from starlette.responses import Response

from sprawl.broker.subscribe import Delivery
from sprawl.edge.call import Call
from sprawl.edge.formats import json_response
from sprawl.edge.original.bodies import invalid_body, members_of, missing, text_member
from sprawl.errors import InvalidRequest
from sprawl.limits import IDEMPOTENCY_KEY_BYTES_MAX, SUBSCRIPTION_TOPICS_MAX

_log: Final = logging.getLogger("sprawl.subscribe")


def subscribe(call: Call) -> Response:
    """Interest in some topics; the same id again is the same subscription."""
    members = members_of(call.body)
    subscription_id = text_member(members, "id")
    if subscription_id and len(subscription_id.encode()) > IDEMPOTENCY_KEY_BYTES_MAX:
        raise InvalidRequest(
            f"id exceeds {IDEMPOTENCY_KEY_BYTES_MAX} bytes", code="invalid_member", location="/id"
        )
    held = call.context.subscriptions.subscribe(_topics(members), subscription_id)
    return json_response(
        {
            "id": held.subscription_id,
            "node_id": call.view.node_id,
            "status": "subscribed",
            "topics": list(held.topics),
            "durable": False,
        }
    )


def unsubscribe(call: Call) -> Response:
    """Ends the subscription named in the body."""
    subscription_id = text_member(members_of(call.body), "id")
    if subscription_id is None:
        raise missing("Missing required field: id")
    return _ended(call, subscription_id)


def delete(call: Call) -> Response:
    """Ends the subscription named in the path."""
    return _ended(call, call.path["id"])


def log_delivery(delivery: Delivery, shows_payload: bool) -> None:
    """The original's line for one delivery; the payload only when the node is told to show it."""
    if shows_payload:
        shown = delivery.payload[:256].encode("unicode_escape").decode("ascii")
        _log.info("Received message on topic %s: %s", delivery.topic, shown)
        return
    _log.info(
        "Received message on topic %s: id=%s bytes=%d",
        delivery.topic,
        delivery.message_id,
        delivery.payload_bytes,
    )


def _ended(call: Call, subscription_id: str) -> Response:
    call.context.subscriptions.unsubscribe(subscription_id)
    return json_response({"id": subscription_id, "status": "unsubscribed"})


def _topics(members: dict[str, object]) -> list[str]:
    listed = members.get("topics")
    if listed is not None and not isinstance(listed, list):
        raise invalid_body()
    topics = list(listed or [])
    if not all(isinstance(topic, str) for topic in topics):
        raise invalid_body()
    single = text_member(members, "topic")
    if single is not None and single not in topics:
        topics.append(single)
    topics = [topic for topic in topics if topic]
    if not topics:
        raise missing("At least one topic is required")
    if len(topics) > SUBSCRIPTION_TOPICS_MAX:
        raise InvalidRequest(
            f"{len(topics)} topics exceed {SUBSCRIPTION_TOPICS_MAX}",
            code="invalid_member",
            location="/topics",
        )
    return topics
