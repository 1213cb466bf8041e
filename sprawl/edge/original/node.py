"""``/health``, ``/healthz``, ``/ready``, ``/status``, ``/dht``.

In: calls. Out: the node, and the cluster of one that it is in this version.
"""

from hashlib import sha256
from itertools import islice

from starlette.responses import Response

from sprawl.broker.find_topic import all_topics
from sprawl.edge.call import Call
from sprawl.edge.formats import go_duration, json_response, rfc3339
from sprawl.edge.query import flag
from sprawl.errors import error_for
from sprawl.limits import SLOTS_COUNT, TOPIC_NAMES_LISTED_MAX
from sprawl.metrics.registry import SystemSample, gauge

WARNING_PERCENT = 90.0
# The slot table of a cluster of one is made once and never changes.
_EPOCH = 1


def health(call: Call) -> Response:
    """``ok``, or ``warning`` when processor or memory are nearly used up; both are 200."""
    view = call.view
    sample, uptime_s = view.system(), view.uptime_s()
    members: dict[str, object] = {
        "cluster_size": 1,
        "nodeId": view.node_id,
        "node_id": view.node_id,
        "status": _status_word(sample),
        "timestamp": rfc3339(view.now_ns()),
        "uptime": go_duration(uptime_s),
        "uptime_seconds": round(uptime_s, 3),
        "version": view.version,
    }
    if flag(call.query, "detailed"):
        members |= _details(call, sample)
    return json_response(members)


def ready(call: Call) -> Response:
    """200 while the node takes publishes, else 503."""
    view = call.view
    if view.state != "ready":
        raise error_for(view.state, f"node {view.node_id} is {view.state}", retry_after_s=1)
    return json_response({"status": "ready", "node_id": view.node_id})


def status(call: Call) -> Response:
    """Who this node is and who leads."""
    view = call.view
    return json_response(
        {
            "address": view.address,
            "cluster_members": [view.node_id],
            "http_port": view.http_port,
            "is_leader": True,
            "leader": view.node_id,
            "node_id": view.node_id,
            "bind_port": view.bind_port,
            "health_port": view.health_port,
        }
    )


def dht(call: Call) -> Response:
    """Where topics lie."""
    view, stats = call.view, call.engine.stats()
    names = [t["name"] for t in islice(all_topics(call.engine), TOPIC_NAMES_LISTED_MAX)]
    hashes = [sha256(name.encode()).hexdigest() for name in names]
    count = gauge(stats, "topics")
    nodes = [view.node_id]
    members: dict[str, object] = {
        "node_id": view.node_id,
        "node_count": 1,
        "topic_count": count,
        "topics": dict.fromkeys(names, nodes),
        "topic_map": dict.fromkeys(hashes, nodes),
        "finger_table": {"0": nodes},
        "slots": SLOTS_COUNT,
        "epoch": _EPOCH,
    }
    if count > len(names):
        members["topics_truncated"] = True
    if flag(call.query, "detailed"):
        members["nodes"] = [
            {
                "ID": view.node_id,
                "Address": view.address,
                "Port": view.bind_port,
                "HTTPPort": view.http_port,
                "Topics": hashes,
            }
        ]
    return json_response(members)


def _status_word(sample: SystemSample) -> str:
    highest = max(sample.cpu_percent, sample.memory_ratio * 100)
    return "warning" if highest > WARNING_PERCENT else "ok"


def _details(call: Call, sample: SystemSample) -> dict[str, object]:
    return {
        "system_health": {
            "cpu_usage": sample.cpu_percent,
            "memory_usage": sample.memory_ratio,
            "disk_usage": sample.disk_percent,
            "message_rate": sample.message_rate,
        },
        "cluster_state": {
            "member_count": 1,
            "total_nodes": 1,
            "healthy_nodes": 1,
            "suspect_nodes": 0,
            "failed_nodes": 0,
            "healthy_ratio": 1.0,
            "timestamp": rfc3339(call.view.now_ns()),
            "node_state": call.view.state,
            "is_leader": True,
        },
        "features": {"metrics": True, "failure_detection": False, "health_monitoring": True},
    }
