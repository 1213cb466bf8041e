"""``GET /v1/node``: this node as it is.

In: a call. Out: a response. Invariant: no secret and no setting that could hold one is shown.
"""

from starlette.responses import Response

from sprawl.broker.store_report import TierReport, store_report
from sprawl.edge.call import Call
from sprawl.edge.formats import json_response, rfc3339
from sprawl.metrics.registry import gauge


def get(call: Call) -> Response:
    """``GET /v1/node``."""
    view, stats = call.view, call.context.stats()
    held = store_report(call.engine, call.context.tier, call.context.cloud)
    tiers = {"memory": held.memory, "disk": held.disk, "cloud": held.cloud}
    return json_response(
        {
            "node_id": view.node_id,
            "version": view.version,
            "state": view.state,
            "started": rfc3339(view.started_ns),
            "uptime_s": round(view.uptime_s(), 3),
            "address": view.address,
            "ports": {
                "http": view.http_port,
                "health": view.health_port,
                "cluster": view.bind_port,
            },
            "storage": {
                "type": view.storage_type,
                "effective": view.storage_type_effective,
                "tiers": [name for name, tier in tiers.items() if tier is not None],
                **{name: _tier(tier) for name, tier in tiers.items() if tier is not None},
            },
            "topics": held.topic_count,
            "connections": gauge(stats, "connections"),
        }
    )


def _tier(tier: TierReport) -> dict[str, int]:
    return {
        "messages": tier.message_count,
        "bytes": tier.used_bytes,
        "capacity_bytes": tier.capacity_bytes,
    }
