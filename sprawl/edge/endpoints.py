"""The one table of endpoints.

In: handlers. Out: ``ENDPOINTS``, in the order of the reference. Invariants: method and path are
unique; hot ones are answered by compiled code and stand here for the document and for 405; what
this version does not have stands here too, answered 501. Routing, ``/openapi.json`` and the
contract tests are derived from this table.
"""

from collections.abc import Iterator
from typing import Any, Final

from sprawl.edge import later, openapi
from sprawl.edge.endpoint import Endpoint, Parameter
from sprawl.edge.original import messages as original_messages
from sprawl.edge.original import metrics, node, predictor, store, subscriptions
from sprawl.edge.original import topics as original_topics
from sprawl.edge.problems import Shape
from sprawl.edge.v1 import messages, topics
from sprawl.edge.v1 import node as v1_node
from sprawl.edge.v1 import tiers as v1_tiers
from sprawl.limits import (
    PARTITIONS_MAX,
    READ_BYTES_MAX,
    READ_LIMIT_MAX,
    READ_WAIT_S_MAX,
    TOPICS_ORIGINAL_PAGE_MAX,
    TOPICS_PAGE_MAX,
)

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_FLAG: Final[dict[str, Any]] = {"type": "boolean"}


def _number(minimum: int, maximum: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": minimum, "maximum": maximum}


_PAGE: Final = (
    Parameter("limit", _number(1, TOPICS_PAGE_MAX), "Topics in this page."),
    Parameter("page_token", _TEXT, "`next_page_token` of the page before."),
)

_READ: Final = (
    Parameter(
        "from",
        _TEXT,
        "`earliest` (default), `latest`, `offset:N`, `time:RFC3339`, `-10m`, `cursor:C`.",
    ),
    Parameter("partition", _number(0, PARTITIONS_MAX - 1), "One partition only."),
    Parameter("limit", _number(1, READ_LIMIT_MAX), "Messages in one answer."),
    Parameter("max_bytes", _number(1, READ_BYTES_MAX), "Bytes of messages in one answer."),
    Parameter(
        "wait", {"type": "number", "minimum": 0, "maximum": READ_WAIT_S_MAX}, "Seconds to wait."
    ),
    Parameter("key", _TEXT, "Messages of this key only."),
    Parameter("value", {"type": "string", "enum": ["json"]}, "JSON values as `json`."),
    Parameter("last_event_id", _TEXT, "Cursor to go on from, as the header of this name."),
    Parameter("Last-Event-ID", _TEXT, "Cursor to go on from (event streams).", "header"),
)

_PUBLISH: Final = (
    Parameter("atomic", _FLAG, "All messages or none, in one partition."),
    Parameter("partition", _number(0, PARTITIONS_MAX - 1), "As `Sprawl-Partition`."),
    Parameter("durability", _TEXT, "As `Sprawl-Durability`."),
    Parameter("Sprawl-Key", _TEXT, "Key: order and partition.", "header"),
    Parameter("Sprawl-TTL", _number(0, 3_162_240_000), "Lifetime in seconds.", "header"),
    Parameter("Sprawl-Partition", _number(0, PARTITIONS_MAX - 1), "Partition.", "header"),
    Parameter("Sprawl-Durability", _TEXT, "Level to reach before the answer.", "header"),
    Parameter("Idempotency-Key", _TEXT, "Same key again: same receipt.", "header"),
    Parameter("If-Match", _TEXT, "Append only behind this offset.", "header"),
    Parameter("If-None-Match", _TEXT, "`*`: append only to an empty partition.", "header"),
    Parameter("Producer-Id", _number(0, (1 << 63) - 1), "Id of a counting producer.", "header"),
    Parameter("Producer-Epoch", _number(0, 32_767), "Its epoch; an older one is fenced.", "header"),
    Parameter("Producer-Seq", _number(0, (1 << 31) - 1), "Number of this message.", "header"),
    Parameter("traceparent", _TEXT, "W3C trace context, kept with the message.", "header"),
    Parameter("Prefer", _TEXT, "`respond-async`: do not wait for the level.", "header"),
)

_PUBLISH_ERRORS: Final = (
    "bad_json",
    "invalid_member",
    "invalid_topic",
    "invalid_batch",
    "bad_checksum",
    "idempotency_conflict",
    "expectation_failed",
    "too_large",
    "unsupported_media_type",
    "durability_unavailable",
    "busy",
    "storage_full",
)

_READ_TYPES: Final = (
    "application/json",
    "application/x-ndjson",
    "text/event-stream",
    "application/x-sprawl-batch",
)

_PUBLISH_TYPES: Final = (
    "application/octet-stream",
    "application/vnd.sprawl.messages+json",
    "application/x-ndjson",
    "application/x-sprawl-batch",
)


def _v1() -> Iterator[Endpoint]:
    topic, stream = "/v1/topics/{topic}", "/v1/topics/{topic}/messages"
    yield Endpoint(
        method="GET",
        path="/v1/topics",
        name="list_topics",
        summary="List topics in the order of their creation.",
        answered="cold",
        handler=topics.page,
        parameters=(Parameter("prefix", _TEXT, "Names that begin so."), *_PAGE),
        answers={200: "TopicPage"},
        errors=("invalid_parameter",),
    )
    yield Endpoint(
        method="POST",
        path=f"{topic}:undelete",
        name="undelete_topic",
        summary="Bring a deleted topic back within its grace. Answered to this host only.",
        answered="cold",
        handler=topics.undelete,
        answers={200: "Topic"},
        errors=("invalid_topic", "topic_not_found", "forbidden"),
        guard="local",
    )
    yield Endpoint(
        method="PUT",
        path=topic,
        name="put_topic",
        summary="Create a topic or change its configuration.",
        answered="cold",
        handler=topics.put,
        request="TopicConfig",
        answers={200: "Topic", 201: "Topic"},
        errors=(
            "bad_json",
            "invalid_member",
            "invalid_topic",
            "topic_conflict",
            "unsupported_media_type",
            "durability_unavailable",
            "too_many_requests",
            "not_available",
        ),
    )
    yield Endpoint(
        method="GET",
        path=topic,
        name="get_topic",
        summary="Show a topic and its partitions.",
        answered="cold",
        handler=topics.get,
        answers={200: "Topic"},
        errors=("invalid_topic", "topic_not_found"),
    )
    yield Endpoint(
        method="DELETE",
        path=topic,
        name="delete_topic",
        summary="Delete a topic. Answered to this host only.",
        answered="cold",
        handler=topics.delete,
        answers={204: ""},
        errors=("invalid_topic", "topic_not_found", "forbidden"),
        guard="local",
    )
    yield Endpoint(
        method="POST",
        path=stream,
        name="publish",
        summary="Publish one message (raw), or a batch (JSON, NDJSON, RecordBatch v2).",
        answered="hot",
        parameters=_PUBLISH,
        request="Bytes",
        request_types=_PUBLISH_TYPES,
        answers={200: "Results", 201: "Receipt"},
        answer_types=("application/json", "application/x-ndjson"),
        errors=(*_PUBLISH_ERRORS, "sequence_gap", "sequence_too_old", "producer_fenced"),
    )
    yield Endpoint(
        method="GET",
        path=stream,
        name="read",
        summary="Read messages, as a page, an event stream or over a WebSocket. Offsets that the node"
        " has lost are named: `gaps` in a JSON page, `Sprawl-Gap: partition;from-to;reason, …` with"
        " batches, a `gap` in a stream.",
        answered="hot",
        parameters=_READ,
        answers={200: "Messages"},
        answer_types=_READ_TYPES,
        errors=(
            "invalid_parameter",
            "invalid_cursor",
            "invalid_topic",
            "too_many_partitions",
            "topic_not_found",
            "offset_expired",
            "offset_out_of_range",
            "busy",
        ),
    )
    yield Endpoint(
        method="HEAD",
        path=stream,
        name="check_read",
        summary="Whether a read would be answered.",
        answered="cold",
        handler=messages.head,
        parameters=_READ,
        answers={200: ""},
        errors=("invalid_parameter", "topic_not_found", "offset_expired"),
    )
    yield Endpoint(
        method="GET",
        path="/v1/messages/{id}",
        name="get_message",
        summary="One message by its id.",
        answered="cold",
        handler=messages.get,
        parameters=(
            Parameter(
                "value",
                {"type": "string", "enum": ["text", "base64", "json"]},
                "Form of the value.",
            ),
        ),
        answers={200: "Message"},
        errors=("message_not_found", "message_expired"),
    )
    yield Endpoint(
        method="GET",
        path="/v1/node",
        name="get_node",
        summary="This node.",
        answered="cold",
        handler=v1_node.get,
        answers={200: "Node"},
    )
    yield Endpoint(
        method="GET",
        path="/v1/tiers",
        name="get_tiers",
        summary="What lies in each tier that is on.",
        answered="cold",
        handler=v1_tiers.get,
        answers={200: "Tiers"},
    )
    yield Endpoint(
        method="GET",
        path="/openapi.json",
        name="get_openapi",
        summary="This document.",
        answered="cold",
        handler=openapi.get,
        answers={200: "OpenApi"},
    )


def _original() -> Iterator[Endpoint]:
    def alias(
        method: str, path: str, name: str, summary: str, answer: str, **more: Any
    ) -> Endpoint:
        fixed = {"answered": "cold", "shape": "original", "answers": {200: answer}, **more}
        return Endpoint(method=method, path=path, name=name, summary=summary, **fixed)

    yield alias(
        "POST",
        "/publish",
        "original_publish",
        "Publish one message.",
        "OriginalReceipt",
        answered="hot",
        request="OriginalPublish",
        errors=("bad_json", "missing_field", *_PUBLISH_ERRORS[2:]),
    )
    yield alias(
        "POST",
        "/subscribe",
        "original_subscribe",
        "Register interest in topics (not durable).",
        "OriginalSubscription",
        handler=subscriptions.subscribe,
        request="OriginalSubscribe",
        errors=("bad_json", "missing_field", "invalid_topic", "too_many_requests"),
    )
    yield alias(
        "POST",
        "/unsubscribe",
        "original_unsubscribe",
        "End a subscription.",
        "OriginalUnsubscribed",
        handler=subscriptions.unsubscribe,
        request="OriginalUnsubscribe",
        errors=("bad_json", "missing_field", "subscription_not_found"),
    )
    yield alias(
        "DELETE",
        "/subscribe/{id}",
        "original_delete_subscription",
        "End a subscription.",
        "OriginalUnsubscribed",
        handler=subscriptions.delete,
        errors=("subscription_not_found",),
    )
    yield alias(
        "GET",
        "/messages/{id}",
        "original_get_message",
        "One message by its id.",
        "OriginalMessage",
        handler=original_messages.get,
        errors=("message_not_found", "message_expired"),
    )
    yield alias(
        "GET",
        "/topics",
        "original_topics",
        "All topics.",
        "OriginalTopics",
        handler=original_topics.page,
        parameters=(
            Parameter("limit", _number(1, TOPICS_ORIGINAL_PAGE_MAX), "Topics in this page."),
            _PAGE[1],
        ),
        errors=("invalid_parameter",),
    )
    yield alias(
        "GET",
        "/topics/{topic}",
        "original_topic",
        "One topic.",
        "OriginalTopic",
        handler=original_topics.get,
        errors=("invalid_topic", "topic_not_found"),
    )
    detailed = (Parameter("detailed", _FLAG, "More members."),)
    for path, name in (("/health", "health"), ("/healthz", "healthz")):
        yield alias(
            "GET",
            path,
            name,
            "State of the node.",
            "Health",
            handler=node.health,
            parameters=detailed,
            ports="both",
        )
    yield alias(
        "GET",
        "/ready",
        "ready",
        "Whether the node takes publishes.",
        "Ready",
        handler=node.ready,
        errors=("starting", "draining"),
        ports="both",
    )
    yield alias("GET", "/status", "status", "Who this node is.", "Status", handler=node.status)
    yield alias(
        "GET",
        "/metrics",
        "metrics",
        "Figures: JSON, Prometheus text or OpenMetrics.",
        "Metrics",
        handler=metrics.get,
        answer_types=("application/json", "text/plain", "application/openmetrics-text"),
        ports="both",
    )
    yield alias("GET", "/store", "store", "What lies in each tier.", "Store", handler=store.get)
    yield alias(
        "GET",
        "/store/tiers",
        "store_tiers",
        "Which tiers are on.",
        "StoreTiers",
        handler=store.tiers,
    )
    yield alias(
        "POST",
        "/store/tiers",
        "set_store_tier",
        "Move a topic's messages to a tier.",
        "SetTierDone",
        handler=store.set_tier,
        request="SetTier",
        errors=("bad_json", "missing_field", "invalid_member", "topic_not_found", "not_available"),
    )
    yield alias(
        "POST",
        "/store/compact",
        "compact_store",
        "Apply retention and drop what nobody needs.",
        "Compacted",
        handler=store.compact_now,
        errors=("operation_in_progress", "not_available"),
        shape="success-original",
    )
    yield alias(
        "GET",
        "/dht",
        "dht",
        "Where topics lie.",
        "Dht",
        handler=node.dht,
        parameters=detailed,
    )
    yield alias("GET", "/ai", "ai", "Predictor.", "PredictorOverview", handler=predictor.overview)
    yield alias(
        "GET",
        "/ai/status",
        "ai_status",
        "State of the predictor.",
        "PredictorStatus",
        handler=predictor.status,
    )
    yield alias(
        "GET",
        "/ai/anomalies",
        "ai_anomalies",
        "Anomalies found.",
        "Anomalies",
        handler=predictor.anomalies,
    )
    yield alias(
        "GET",
        "/ai/recommendations",
        "ai_recommendations",
        "Advice on scaling.",
        "Recommendations",
        handler=predictor.recommendations,
    )


_LATER: Final[tuple[tuple[str, str, Shape], ...]] = (
    # methods, path, shape of the refusal
    ("GET", "/v1/subscriptions", "problem"),
    ("POST", "/v1/subscriptions/{name}:pull", "problem"),
    ("POST", "/v1/subscriptions/{name}:ack", "problem"),
    ("POST", "/v1/subscriptions/{name}:nack", "problem"),
    ("POST", "/v1/subscriptions/{name}:extend", "problem"),
    ("POST", "/v1/subscriptions/{name}:term", "problem"),
    ("POST", "/v1/subscriptions/{name}:seek", "problem"),
    ("POST", "/v1/subscriptions/{name}:pause", "problem"),
    ("POST", "/v1/subscriptions/{name}:resume", "problem"),
    ("POST", "/v1/subscriptions/{name}:redrive", "problem"),
    ("PUT GET DELETE", "/v1/subscriptions/{name}", "problem"),
    ("GET", "/v1/slots", "problem"),
    ("GET", "/v1/cluster", "problem"),
    ("POST", "/v1/cluster:rebalance", "problem"),
    ("POST", "/v1/cluster/members/{id}:drain", "problem"),
    ("POST", "/v1/cluster/members/{id}:remove", "problem"),
    ("GET POST", "/consumer-groups", "original"),
    ("GET PUT DELETE", "/consumer-groups/{group}", "original"),
    ("POST", "/offsets", "original"),
    ("GET PUT", "/offsets/{topic}/{group}", "original"),
    ("GET POST", "/ai/predictions", "original-success"),
    ("POST", "/ai/anomalies", "original"),
    ("POST", "/ai/train", "original-success"),
    ("GET PUT POST", "/ai/thresholds", "original"),
    ("POST", "/ai/thresholds/reload", "original"),
    ("GET PUT POST", "/api/v1/ai/thresholds", "original"),
    ("POST", "/api/v1/ai/thresholds/reload", "original"),
)


def _later() -> Iterator[Endpoint]:
    for methods, path, shape in _LATER:
        for method in methods.split():
            words = path.replace("{", "").replace("}", "").replace(":", "/").split("/")
            yield Endpoint(
                method=method,
                path=path,
                name="_".join([method.lower(), *filter(None, words)]).replace("-", "_"),
                summary="Not available in this version.",
                answered="later",
                handler=later.not_available,
                errors=("not_available",),
                shape=shape,
            )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (*_v1(), *_original(), *_later())
"""Every endpoint; of two templates that fit a path, the earlier one is taken."""
