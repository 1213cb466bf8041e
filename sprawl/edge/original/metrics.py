"""``GET /metrics``: the original's JSON, Prometheus text or OpenMetrics, as ``Accept`` decides.

In: a call. Out: one of three forms of the same figures; the HTTP port gives JSON by default, the
health port Prometheus text.
"""

from itertools import islice

from starlette.responses import Response

from sprawl.broker.find_topic import all_topics
from sprawl.edge.accept import best
from sprawl.edge.call import Call
from sprawl.edge.formats import json_response, rfc3339_or_none
from sprawl.limits import TOPIC_NAMES_LISTED_MAX
from sprawl.metrics.exposition import (
    OPENMETRICS_TYPE,
    PROMETHEUS_TYPE,
    openmetrics,
    prometheus,
)
from sprawl.metrics.registry import counter, families, gauge, histogram

_JSON, _TEXT, _OPEN = "application/json", "text/plain", "application/openmetrics-text"


def get(call: Call) -> Response:
    """The node's figures."""
    offers = (_TEXT, _OPEN, _JSON) if call.context.is_health_port else (_JSON, _TEXT, _OPEN)
    form = best(call.headers.get("accept", ""), offers)
    if form == _JSON:
        return json_response(_json(call))
    view = call.view
    node = {"node_id": view.node_id, "version": view.version}
    held = families(call.engine.stats(), view.system(), node, view.uptime_s())
    if form == _OPEN:
        return Response(openmetrics(held), headers={"Content-Type": OPENMETRICS_TYPE})
    return Response(prometheus(held), headers={"Content-Type": PROMETHEUS_TYPE})


def _json(call: Call) -> dict[str, object]:
    view, stats = call.view, call.engine.stats()
    received, stored = counter(stats, "messages_received"), counter(stats, "messages_stored")
    sent, size = counter(stats, "messages_sent"), counter(stats, "stored_bytes")
    sample, names = view.system(), _names(call)
    hits, misses = counter(stats, "route_cache_hits"), counter(stats, "route_cache_misses")
    publish, append = histogram(stats, "publish"), histogram(stats, "append")
    mean_ms = round(publish.mean_ns() / 1e6, 6)
    topic_count = gauge(stats, "topics")
    storage: dict[str, object] = {
        "bytes_stored": size,
        "last_write_time": rfc3339_or_none(gauge(stats, "newest_ns") or None),
        "messages_received": received,
        "messages_stored": stored,
        "storage_type": view.storage_type,
        "topics": names,
    }
    if topic_count > len(names):
        storage["topics_truncated"] = True
    return {
        "cluster": [view.node_id],
        "node_id": view.node_id,
        "router": {
            "avg_latency_ms": mean_ms,
            "avg_message_size": round(counter(stats, "received_bytes") / received)
            if received
            else 0,
            "cache_capacity": gauge(stats, "route_cache_capacity"),
            "cache_hit_count": hits,
            "cache_hit_rate": round(100.0 * hits / (hits + misses), 3) if hits + misses else 0.0,
            "cache_miss_count": misses,
            # One cache, one balancer over one node without a circuit that could open: true of a
            # cluster of one, not a placeholder.
            "cache_shard_count": 1,
            "cache_size": gauge(stats, "route_cache_entries"),
            "load_balancer_open_circuits": 0,
            "load_balancer_tracked_nodes": 1,
            "max_latency_ms": publish.max_ns() / 1e6,
            "messages_received": received,
            "messages_routed": counter(stats, "messages_routed"),
            "messages_sent": sent,
            "messages_stored": stored,
            "optimizer_avg_path_latency_ms": round(append.mean_ns() / 1e6, 6),
            "optimizer_performance_node_count": 1,
            "optimizer_topology_node_count": 1,
            "p99_latency_ms": round(publish.quantile_ns(0.99) / 1e6, 6),
            "route_cache_hits": hits,
            "route_errors": counter(stats, "route_errors"),
        },
        "storage": storage,
        "store": {"messages_received": received, "messages_stored": stored},
        "system": {
            "avg_latency_ms": mean_ms,
            "cpu_trend": sample.cpu_trend,
            "cpu_usage": sample.cpu_percent,
            "dht_lookups": hits + misses,
            "gc_cpu_fraction": sample.gc_cpu_fraction,
            "goroutines": sample.tasks_count,
            "heap_objects": sample.heap_objects,
            "memory_trend": sample.memory_trend,
            "memory_usage": sample.memory_ratio,
            "message_rate": sample.message_rate,
            "messages_received": received,
            "messages_sent": sent,
            "topic_count": topic_count,
            "total_allocated_bytes": sample.allocated_bytes,
        },
    }


def _names(call: Call) -> list[str]:
    return [topic["name"] for topic in islice(all_topics(call.engine), TOPIC_NAMES_LISTED_MAX)]
