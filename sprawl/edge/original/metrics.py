"""``GET /metrics``: the original's JSON, Prometheus text or OpenMetrics, as ``Accept`` decides.

In: a call. Out: one of three forms of the same figures; the HTTP port gives JSON by default, the
health port Prometheus text.
"""

from starlette.responses import Response

from sprawl.broker.store_report import store_report
from sprawl.edge.accept import best
from sprawl.edge.call import Call
from sprawl.edge.formats import json_response, rfc3339_or_none
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
    held = families(call.context.stats(), view.system(), node, view.uptime_s())
    if form == _OPEN:
        return Response(openmetrics(held), headers={"Content-Type": OPENMETRICS_TYPE})
    return Response(prometheus(held), headers={"Content-Type": PROMETHEUS_TYPE})


def _json(call: Call) -> dict[str, object]:
    view, stats = call.view, call.context.stats()
    stored, size = counter(stats, "messages_received"), counter(stats, "message_bytes")
    received = stored + counter(stats, "duplicates")
    sent = counter(stats, "messages_delivered")
    sample, held = view.system(), store_report(call.engine, call.context.tier, call.context.cloud)
    hits, misses = counter(stats, "route_cache_hits"), counter(stats, "route_cache_misses")
    receive, tick = histogram(stats, "receive"), histogram(stats, "tick")
    mean_ms = round(receive.mean_ns() / 1e6, 6)
    storage: dict[str, object] = {
        "bytes_stored": size,
        "last_write_time": rfc3339_or_none(held.newest_ns),
        "messages_received": received,
        "messages_stored": stored,
        "storage_type": view.storage_type,
        "topics": list(held.names),
    }
    if held.is_truncated:
        storage["topics_truncated"] = True
    return {
        "cluster": [view.node_id],
        "node_id": view.node_id,
        "router": {
            "avg_latency_ms": mean_ms,
            "avg_message_size": round(size / stored) if stored else 0,
            "cache_capacity": gauge(stats, "route_cache_capacity"),
            "cache_hit_count": hits,
            "cache_hit_rate": round(100.0 * hits / (hits + misses), 3) if hits + misses else 0.0,
            "cache_miss_count": misses,
            # One cache, one balancer over one node without a circuit that could open: true of a
            # cluster of one, not a placeholder.
            "cache_shard_count": 1,
            "cache_size": gauge(stats, "route_cache_size"),
            "load_balancer_open_circuits": 0,
            "load_balancer_tracked_nodes": 1,
            "max_latency_ms": receive.max_ns() / 1e6,
            "messages_received": received,
            "messages_routed": received,
            "messages_sent": sent,
            "messages_stored": stored,
            "optimizer_avg_path_latency_ms": round(tick.mean_ns() / 1e6, 6),
            "optimizer_performance_node_count": 1,
            "optimizer_topology_node_count": 1,
            "p99_latency_ms": round(receive.quantile_ns(0.99) / 1e6, 6),
            "route_cache_hits": hits,
            "route_errors": 0,  # every slot is led here
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
            "topic_count": held.topic_count,
            "total_allocated_bytes": sample.allocated_bytes,
        },
    }
