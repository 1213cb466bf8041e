"""``GET /topics`` and ``GET /topics/{topic}``.

In: calls. Out: topics in the original's shape; each readable message counts once.
"""

from collections.abc import Sequence

from starlette.responses import Response

from sprawl.broker.engine import PartitionInfo, TierHeld, TiersHeld, TopicSummary
from sprawl.broker.find_topic import find_topic, topics_page
from sprawl.edge.call import Call
from sprawl.edge.formats import json_response, rfc3339_or_none
from sprawl.edge.query import integer
from sprawl.limits import TOPICS_ORIGINAL_PAGE_MAX, TOPICS_PAGE_MAX


def page(call: Call) -> Response:
    """All topics; above 10,000 a page with ``next_page_token``."""
    maximum = TOPICS_ORIGINAL_PAGE_MAX
    limit = integer(call.query, "limit", maximum, 1, maximum)
    topics: list[TopicSummary] = []
    token: str | None = call.query.get("page_token", "")
    while token is not None and len(topics) < limit:
        wanted = min(TOPICS_PAGE_MAX, limit - len(topics))
        part, token = topics_page(call.engine, "", wanted, token)
        topics += part
    members: dict[str, object] = {
        "count": len(topics),
        "topics": [_topic(call, topic) for topic in topics],
    }
    if token is not None:
        members["next_page_token"] = token
    return json_response(members)


def get(call: Call) -> Response:
    """One topic."""
    found = find_topic(call.engine, call.path["topic"])
    held = found["partitions"]
    oldest = [p["oldest_ns"] for p in held if p["oldest_ns"] is not None]
    newest = [p["newest_ns"] for p in held if p["newest_ns"] is not None]
    summary: TopicSummary = {
        "name": found["name"],
        "topic_id": found["topic_id"],
        "partitions": len(held),
        "records": sum(p["records"] for p in held),
        "bytes": sum(p["bytes"] for p in held),
        "oldest_ns": min(oldest, default=None),
        "newest_ns": max(newest, default=None),
        "created_ns": found["created_ns"],
        "tiers": _tiers(held),
    }
    return json_response(_topic(call, summary))


def _topic(call: Call, topic: TopicSummary) -> dict[str, object]:
    subscribers = call.context.subscriptions.count(topic["name"])
    return {
        "name": topic["name"],
        "message_count": topic["records"],
        "has_subscribers": subscribers > 0,
        "subscriber_count": subscribers,
        "subscribers": subscribers,
        "nodes": [call.view.node_id],
        "storage_tier": _coldest(topic["tiers"]),
        "partitions": topic["partitions"],
        "oldest_message": rfc3339_or_none(topic["oldest_ns"]),
        "newest_message": rfc3339_or_none(topic["newest_ns"]),
    }


def _coldest(tiers: TiersHeld) -> str:
    """The coldest tier that holds a message; memory when none does."""
    if "cloud" in tiers and tiers["cloud"]["records"] > 0:
        return "cloud"
    return "disk" if "disk" in tiers and tiers["disk"]["records"] > 0 else "memory"


def _tiers(partitions: Sequence[PartitionInfo]) -> TiersHeld:
    tiers: TiersHeld = {"memory": _sum([p["tiers"]["memory"] for p in partitions])}
    if on_disk := [p["tiers"]["disk"] for p in partitions if "disk" in p["tiers"]]:
        tiers["disk"] = _sum(on_disk)
    if in_cloud := [p["tiers"]["cloud"] for p in partitions if "cloud" in p["tiers"]]:
        tiers["cloud"] = _sum(in_cloud)
    return tiers


def _sum(held: Sequence[TierHeld]) -> TierHeld:
    oldest = [h["oldest_ns"] for h in held if h["oldest_ns"] is not None]
    newest = [h["newest_ns"] for h in held if h["newest_ns"] is not None]
    return {
        "records": sum(h["records"] for h in held),
        "bytes": sum(h["bytes"] for h in held),
        "oldest_ns": min(oldest, default=None),
        "newest_ns": max(newest, default=None),
    }
