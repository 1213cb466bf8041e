"""``/v1/topics``: create, change, show, list, delete, bring back.

In: calls. Out: responses. Invariant: the configuration's members, their bounds and their schema
stand once, in ``CONFIG``.
"""

from typing import Final

from starlette.responses import Response

from sprawl.broker.delete_topic import delete_topic, undelete_topic
from sprawl.broker.engine import PartitionInfo, TierHeld, TiersHeld, TopicInfo, TopicSummary
from sprawl.broker.find_topic import find_topic, topics_page
from sprawl.broker.put_topic import DURABILITIES, put_topic
from sprawl.edge.call import Call
from sprawl.edge.formats import json_response, rfc3339, rfc3339_or_none
from sprawl.edge.query import integer
from sprawl.edge.strict import Boolean, Choice, Integer, Object, read_object
from sprawl.limits import (
    DEDUP_WINDOW_S_MAX,
    PARTITIONS_MAX,
    PAYLOAD_BYTES_MAX,
    TOPICS_PAGE_DEFAULT,
    TOPICS_PAGE_MAX,
    TTL_S_MAX,
)

REPLICAS_MAX: Final = 7
_COUNT_MAX: Final = (1 << 53) - 1

CONFIG: Final = Object(
    {
        "partitions": Integer(1, PARTITIONS_MAX),
        "replicas": Integer(1, REPLICAS_MAX),
        "retention": Object(
            {
                "age_s": Integer(0, TTL_S_MAX, is_nullable=True),
                "bytes": Integer(0, _COUNT_MAX, is_nullable=True),
                "count": Integer(0, _COUNT_MAX, is_nullable=True),
            }
        ),
        "ttl_s": Integer(0, TTL_S_MAX),
        "durability": Choice(DURABILITIES),
        "discard": Choice(("old", "new")),
        "dedup_window_s": Integer(0, DEDUP_WINDOW_S_MAX),
        "compaction": Boolean(),
        "max_message_bytes": Integer(1, PAYLOAD_BYTES_MAX),
    }
)
"""The configuration of a topic as a request gives it."""


async def put(call: Call) -> Response:
    """``PUT /v1/topics/{topic}``: 201 when new, else 200; with a disk tier, once it is synced."""
    name = call.path["topic"]
    outcome = put_topic(call.engine, name, read_object(call.body, CONFIG))
    details = _details(find_topic(call.engine, name), call.view.node_id)
    await call.settled()
    return json_response(details, 201 if outcome == "created" else 200)


def get(call: Call) -> Response:
    """``GET /v1/topics/{topic}``."""
    found = find_topic(call.engine, call.path["topic"])
    return json_response(_details(found, call.view.node_id))


def page(call: Call) -> Response:
    """``GET /v1/topics``."""
    limit = integer(call.query, "limit", TOPICS_PAGE_DEFAULT, 1, TOPICS_PAGE_MAX)
    prefix, token = call.query.get("prefix", ""), call.query.get("page_token", "")
    topics, next_token = topics_page(call.engine, prefix, limit, token)
    members = {"topics": [_summary(topic) for topic in topics], "next_page_token": next_token}
    return json_response(members)


async def delete(call: Call) -> Response:
    """``DELETE /v1/topics/{topic}``: 204; with a disk tier, once it is synced."""
    delete_topic(call.engine, call.path["topic"], call.view.now_ns())
    await call.settled()
    return Response(status_code=204)


async def undelete(call: Call) -> Response:
    """``POST /v1/topics/{topic}:undelete``: the topic as it is again, once that is synced."""
    name = call.path["topic"]
    undelete_topic(call.engine, name)
    details = _details(find_topic(call.engine, name), call.view.node_id)
    await call.settled()
    return json_response(details)


def _details(topic: TopicInfo, node_id: str) -> dict[str, object]:
    return {
        "name": topic["name"],
        "topic_id": topic["topic_id"],
        "config": topic["config"],
        "created": rfc3339(topic["created_ns"]),
        "messages": sum(partition["records"] for partition in topic["partitions"]),
        "bytes": sum(partition["bytes"] for partition in topic["partitions"]),
        "partitions": [_partition(partition, node_id) for partition in topic["partitions"]],
    }


def _partition(partition: PartitionInfo, node_id: str) -> dict[str, object]:
    return {
        "partition": partition["partition"],
        "leader": node_id,
        "replicas": [node_id],
        "isr": [node_id],
        "epoch": partition["epoch"],
        "slot": partition["slot"],
        "low_offset": partition["low_offset"],
        "high_offset": partition["high_offset"],
        "oldest": rfc3339_or_none(partition["oldest_ns"]),
        "newest": rfc3339_or_none(partition["newest_ns"]),
        "tiers": _tiers(partition["tiers"]),
    }


def _tiers(tiers: TiersHeld) -> dict[str, object]:
    def shown(held: TierHeld) -> dict[str, object]:
        return {
            "messages": held["records"],
            "bytes": held["bytes"],
            "oldest": rfc3339_or_none(held["oldest_ns"]),
            "newest": rfc3339_or_none(held["newest_ns"]),
        }

    on_disk = {"disk": shown(tiers["disk"])} if "disk" in tiers else {}
    in_cloud = {"cloud": shown(tiers["cloud"])} if "cloud" in tiers else {}
    return {"memory": shown(tiers["memory"]), **on_disk, **in_cloud}


def _summary(topic: TopicSummary) -> dict[str, object]:
    return {
        "name": topic["name"],
        "topic_id": topic["topic_id"],
        "partitions": topic["partitions"],
        "messages": topic["records"],
        "bytes": topic["bytes"],
        "oldest": rfc3339_or_none(topic["oldest_ns"]),
        "newest": rfc3339_or_none(topic["newest_ns"]),
        "created": rfc3339(topic["created_ns"]),
    }
