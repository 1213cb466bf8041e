"""JSON schemas of bodies, by the names that the table of endpoints uses.

In: nothing. Out: ``SCHEMAS``. Invariant: an answer has at least the required members shown here;
answers may gain members, requests are exactly as shown.
"""

from typing import Any, Final

from sprawl.edge.v1.topics import CONFIG
from sprawl.errors import REGISTRY
from sprawl.limits import (
    BATCH_RECORDS_MAX,
    IDEMPOTENCY_KEY_BYTES_MAX,
    KEY_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    TOPIC_BYTES_MAX,
    TTL_S_MAX,
)

Schema = dict[str, Any]

TOPIC_PATTERN: Final = r"^[A-Za-z0-9_~-]+(\.[A-Za-z0-9_~-]+)*$"

TEXT: Final[Schema] = {"type": "string"}
FLAG: Final[Schema] = {"type": "boolean"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
NUMBER: Final[Schema] = {"type": "number"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
TIME_OR_NULL: Final[Schema] = {"type": ["string", "null"], "format": "date-time"}
COUNT_OR_NULL: Final[Schema] = {"type": ["integer", "null"], "minimum": 0}
TEXT_OR_NULL: Final[Schema] = {"type": ["string", "null"]}
TEXTS: Final[Schema] = {"type": "array", "items": TEXT}
ANY: Final[Schema] = {}
TOPIC_NAME: Final[Schema] = {
    "type": "string",
    "pattern": TOPIC_PATTERN,
    "minLength": 1,
    "maxLength": TOPIC_BYTES_MAX,
}


def ref(name: str) -> Schema:
    """A reference to a named schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def listed(items: Schema) -> Schema:
    """An array."""
    return {"type": "array", "items": items}


def answer(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """An object of an answer: these members must be there, further ones may."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }


def request(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """An object of a strict request."""
    return {**answer(required, optional), "additionalProperties": False}


_PUBLISH_MEMBERS: Final[dict[str, Schema]] = {
    "payload": {"type": "string", "maxLength": PAYLOAD_BYTES_MAX},
    "json": ANY,
    "base64": {"type": "string", "contentEncoding": "base64"},
    "key": {"type": "string", "maxLength": KEY_BYTES_MAX},
    "headers": {"type": "object", "additionalProperties": TEXT},
    "ttl_s": {"type": "integer", "minimum": 0, "maximum": TTL_S_MAX},
    "idempotency_key": {"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_BYTES_MAX},
}

_DURABILITY: Final = answer({"asked": TEXT, "reached": TEXT, "replicas": COUNT, "fsynced": COUNT})

_MESSAGE_VALUE: Final[dict[str, Schema]] = {"payload": TEXT, "base64": TEXT, "json": ANY}

_RECEIPT: Final = answer(
    {"id": TEXT, "topic": TEXT, "partition": COUNT, "offset": COUNT_OR_NULL, "timestamp": TIME},
    {"durability": _DURABILITY, "duplicate": FLAG},
)

_PROBLEM: Final = answer(
    {
        "type": {"type": "string", "format": "uri-reference"},
        "title": TEXT,
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": TEXT,
        "code": {"type": "string", "enum": [r.code for r in REGISTRY.values() if r.status]},
        "retryable": FLAG,
        "outcome": {"type": "string", "enum": ["none", "unknown"]},
    },
    {"instance": TEXT, "location": TEXT, "cursor": TEXT, "request_id": TEXT},
)

_ORIGINAL_ERROR: Final = answer(
    {"error": TEXT, "code": TEXT, "status": COUNT, "retryable": FLAG, "outcome": TEXT},
    {"success": FLAG, "retry_after": TEXT, "cursor": TEXT},
)

_MEMORY_TIER: Final = answer(
    {
        "enabled": FLAG,
        "messages": COUNT,
        "message_count": COUNT,
        "bytes_used": COUNT,
        "used_bytes": COUNT,
        "topics": TEXTS,
        "oldest_message": TIME_OR_NULL,
        "newest_message": TIME_OR_NULL,
    },
    {"capacity_bytes": COUNT, "stored_messages": COUNT, "stored_bytes": COUNT},
)

_ORIGINAL_TOPIC: Final = answer(
    {
        "name": TEXT,
        "message_count": COUNT,
        "has_subscribers": FLAG,
        "subscriber_count": COUNT,
        "subscribers": COUNT,
        "nodes": TEXTS,
        "storage_tier": TEXT,
        "partitions": COUNT,
        "oldest_message": TIME_OR_NULL,
        "newest_message": TIME_OR_NULL,
    }
)

_PREDICTOR_STATUS: Final = answer(
    {
        "enabled": FLAG,
        "models": {"type": "object", "additionalProperties": FLAG},
        "sample_rate": TEXT,
    }
)

SCHEMAS: Final[dict[str, Schema]] = {
    "Problem": _PROBLEM,
    "OriginalError": _ORIGINAL_ERROR,
    "TopicConfig": CONFIG.schema(),
    "Partition": answer(
        {
            "partition": COUNT,
            "leader": TEXT,
            "replicas": TEXTS,
            "isr": TEXTS,
            "epoch": COUNT,
            "low_offset": COUNT,
            "high_offset": COUNT,
            "tiers": {"type": "object"},
        },
        {"slot": COUNT, "oldest": TIME_OR_NULL, "newest": TIME_OR_NULL},
    ),
    "Topic": answer(
        {
            "name": TEXT,
            "topic_id": TEXT,
            "config": {"type": "object"},
            "created": TIME,
            "messages": COUNT,
            "bytes": COUNT,
            "partitions": listed(ref("Partition")),
        }
    ),
    "TopicPage": answer(
        {
            "topics": listed(
                answer(
                    {"name": TEXT, "topic_id": TEXT, "partitions": COUNT, "messages": COUNT},
                    {"bytes": COUNT, "oldest": TIME_OR_NULL, "newest": TIME_OR_NULL},
                )
            ),
            "next_page_token": TEXT_OR_NULL,
        }
    ),
    "Message": answer(
        {"id": TEXT, "partition": COUNT, "offset": COUNT, "timestamp": TIME},
        {
            "topic": TEXT,
            "key": TEXT_OR_NULL,
            "headers": {"type": "object"},
            "content_type": TEXT_OR_NULL,
            "ttl_s": COUNT,
            **_MESSAGE_VALUE,
        },
    ),
    "Gap": answer(
        {
            "partition": COUNT,
            "from": COUNT,
            "to": COUNT,
            "reason": {"type": "string", "enum": ["damaged", "lost_tail"]},
        }
    ),
    "Messages": answer(
        {"messages": listed(ref("Message")), "cursor": TEXT, "up_to_date": FLAG},
        {"gaps": listed(ref("Gap"))},
    ),
    "PublishMessage": request({}, _PUBLISH_MEMBERS),
    "PublishBatch": request(
        {
            "messages": {
                "type": "array",
                "items": ref("PublishMessage"),
                "minItems": 1,
                "maxItems": BATCH_RECORDS_MAX,
            }
        }
    ),
    "Receipt": _RECEIPT,
    "Results": answer({"results": listed({"anyOf": [ref("Receipt"), ref("Problem"), {}]})}),
    "Bytes": {"type": "string", "format": "binary"},
    "Text": TEXT,
    "Node": answer(
        {"node_id": TEXT, "version": TEXT, "state": TEXT, "started": TIME, "uptime_s": NUMBER},
        {"ports": {"type": "object"}, "storage": {"type": "object"}},
    ),
    "OpenApi": {"type": "object"},
    "OriginalPublish": answer(
        {"topic": TOPIC_NAME},
        {
            "payload": TEXT,
            "message": TEXT,
            "id": TEXT,
            "ttl": COUNT,
            "key": TEXT,
            "headers": {"type": "object", "additionalProperties": TEXT},
            "durability": TEXT,
        },
    ),
    "OriginalReceipt": answer(
        {"id": TEXT, "status": TEXT, "topic": TEXT},
        {"message_id": TEXT, "partition": COUNT, "offset": COUNT, "timestamp": TIME},
    ),
    "OriginalSubscribe": answer(
        {}, {"topics": listed(TOPIC_NAME), "topic": TOPIC_NAME, "id": TEXT, "group_id": TEXT}
    ),
    "OriginalSubscription": answer(
        {"id": TEXT, "node_id": TEXT, "status": TEXT, "topics": TEXTS, "durable": FLAG}
    ),
    "OriginalUnsubscribe": answer({"id": TEXT}),
    "OriginalUnsubscribed": answer({"id": TEXT, "status": TEXT}),
    "OriginalMessage": answer(
        {
            "id": TEXT,
            "topic": TEXT,
            "timestamp": TIME,
            "ttl": COUNT,
            "partition": COUNT,
            "offset": COUNT,
            "storage_tier": TEXT,
        },
        _MESSAGE_VALUE,
    ),
    "OriginalTopic": _ORIGINAL_TOPIC,
    "OriginalTopics": answer({"count": COUNT, "topics": listed(ref("OriginalTopic"))}),
    "Health": answer(
        {
            "cluster_size": COUNT,
            "nodeId": TEXT,
            "node_id": TEXT,
            "status": TEXT,
            "timestamp": TIME,
            "uptime": TEXT,
            "uptime_seconds": NUMBER,
            "version": TEXT,
        }
    ),
    "Ready": answer({"status": TEXT, "node_id": TEXT}),
    "Status": answer(
        {
            "address": TEXT,
            "cluster_members": TEXTS,
            "http_port": COUNT,
            "is_leader": FLAG,
            "leader": TEXT,
            "node_id": TEXT,
            "bind_port": COUNT,
            "health_port": COUNT_OR_NULL,
        }
    ),
    "Metrics": answer(
        {
            "cluster": TEXTS,
            "node_id": TEXT,
            "router": {"type": "object"},
            "storage": {"type": "object"},
            "store": {"type": "object"},
            "system": {"type": "object"},
        }
    ),
    "Store": answer(
        {
            "storage_type": TEXT,
            "memory": _MEMORY_TIER,
            "disk": _MEMORY_TIER,
            "cloud": _MEMORY_TIER,
        }
    ),
    "StoreTiers": answer({"tiers": TEXTS, "policies": {"type": "object"}, "disk_enabled": FLAG}),
    "Compacted": answer(
        {
            "success": FLAG,
            "message": TEXT,
            "status": TEXT,
            "tiers": TEXTS,
            "estimated_completion": TIME,
        }
    ),
    "Tiers": answer(
        {
            "tiers": listed(
                answer(
                    {
                        "tier": TEXT,
                        "messages": COUNT,
                        "bytes": COUNT,
                        "stored_messages": COUNT,
                        "stored_bytes": COUNT,
                        "capacity_bytes": COUNT,
                        "oldest": TIME_OR_NULL,
                        "newest": TIME_OR_NULL,
                    },
                    {
                        "age_s": COUNT,
                        "path": TEXT,
                        "state": TEXT,
                        "windows": COUNT,
                        "unsynced_messages": COUNT,
                        "unsynced_bytes": COUNT,
                        "verified_bytes": COUNT,
                        "damaged_count": COUNT,
                        "damaged": {"type": "array"},
                    },
                )
            )
        }
    ),
    "SetTier": answer({"topic": TEXT, "tier": TEXT}),
    "SetTierDone": answer({"status": TEXT, "tier": TEXT, "topic": TEXT}),
    "Dht": answer(
        {
            "node_id": TEXT,
            "node_count": COUNT,
            "topic_count": COUNT,
            "topics": {"type": "object"},
            "topic_map": {"type": "object"},
            "finger_table": {"type": "object"},
            "slots": COUNT,
            "epoch": COUNT,
        }
    ),
    "PredictorOverview": answer(
        {"endpoints": TEXTS, "status": ref("PredictorStatus"), "current_metrics": {}}
    ),
    "PredictorStatus": _PREDICTOR_STATUS,
    "Anomalies": answer({"anomalies": {"type": "array"}}),
    "Recommendations": answer(
        {"node_id": TEXT, "recommendations": {"type": "array"}, "timestamp": TIME}
    ),
}
