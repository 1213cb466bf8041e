"""``/ai`` and below, as a node without a predictor answers them.

In: calls. Out: the predictor's state (off), empty lists, and the load that is measured now.
"""

from typing import Final

from starlette.responses import Response

from sprawl.edge.call import Call
from sprawl.edge.formats import go_duration, json_response, rfc3339

RESOURCES: Final = ("cpu", "memory", "disk", "network", "message_rate")

_ENDPOINTS: Final = (
    "/ai/status",
    "/ai/predictions",
    "/ai/anomalies",
    "/ai/recommendations",
    "/ai/train",
    "/ai/thresholds",
)


def overview(call: Call) -> Response:
    """The endpoints, the state, and the newest sample."""
    sample = call.view.system()
    return json_response(
        {
            "endpoints": list(_ENDPOINTS),
            "status": _status(call),
            "current_metrics": {
                "cpu": sample.cpu_percent,
                "memory": sample.memory_ratio * 100,
                "disk": sample.disk_percent,
                "network": sample.network_bytes_per_s,
                "message_rate": sample.message_rate,
                "timestamp": rfc3339(call.view.now_ns()),
            },
            "enabled": False,
        }
    )


def status(call: Call) -> Response:
    """Whether it is on and which models are trained."""
    return json_response(_status(call))


def anomalies(_call: Call) -> Response:
    """None, because nobody looks for them."""
    return json_response({"anomalies": [], "enabled": False})


def recommendations(call: Call) -> Response:
    """None, because nobody makes them."""
    return json_response(
        {
            "node_id": call.view.node_id,
            "recommendations": [],
            "timestamp": rfc3339(call.view.now_ns()),
            "enabled": False,
        }
    )


def _status(call: Call) -> dict[str, object]:
    return {
        "enabled": False,
        "models": dict.fromkeys(RESOURCES, False),
        "sample_rate": go_duration(call.view.sample_interval_s),
    }
