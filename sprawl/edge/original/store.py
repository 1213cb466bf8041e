"""``/store``, ``/store/tiers``, ``/store/compact``.

In: calls. Out: the tiers in the original's shape. Invariant: a tier that is off shows
``"enabled":false`` and zeros; what needs it is 501.
"""

from typing import Final

from starlette.responses import Response

from sprawl.broker.find_topic import find_topic
from sprawl.broker.store_report import store_report
from sprawl.edge.call import Call
from sprawl.edge.formats import json_response, rfc3339_or_none
from sprawl.edge.original.bodies import members_of, missing, text_member
from sprawl.errors import InvalidRequest, NotAvailable

TIERS: Final = ("memory", "disk", "cloud")


def get(call: Call) -> Response:
    """What lies in each tier."""
    view, held = call.view, store_report(call.engine)
    memory: dict[str, object] = {
        "enabled": True,
        "messages": held.message_count,
        "message_count": held.message_count,
        "bytes_used": held.used_bytes,
        "used_bytes": held.used_bytes,
        "capacity_bytes": held.capacity_bytes,
        "topics": list(held.topics),
        "oldest_message": rfc3339_or_none(held.oldest_ns),
        "newest_message": rfc3339_or_none(held.newest_ns),
        "stored_messages": held.message_count,
        "stored_bytes": held.used_bytes,
    }
    if held.is_truncated:
        memory["topics_truncated"] = True
    return json_response(
        {
            "storage_type": view.storage_type,
            "memory": memory,
            "disk": {"enabled": False, "path": view.disk_path} | _off(),
            "cloud": {"enabled": False, "endpoint": "", "bucket": "", "degraded": False} | _off(),
            "storage_type_effective": view.storage_type_effective,
        }
    )


def tiers(call: Call) -> Response:
    """Which tiers are on, and when messages move on."""
    view = call.view
    policies = {
        "memory_to_disk_threshold_bytes": view.memory_bytes_max,
        "memory_to_disk_age_seconds": view.memory_to_disk_age_s,
        "disk_to_cloud_age_seconds": view.disk_to_cloud_age_s,
        "disk_to_cloud_threshold_bytes": view.disk_bytes_max,
    }
    return json_response(
        {
            "tiers": ["memory"],
            "policies": policies,
            "disk_enabled": False,
            "cloud_enabled": False,
            **policies,
            "disk_path": view.disk_path,
        }
    )


def set_tier(call: Call) -> Response:
    """Moves what a topic holds at least to a tier; all of it is in memory already."""
    members = members_of(call.body)
    topic, tier = text_member(members, "topic"), text_member(members, "tier")
    if topic is None:
        raise missing("Topic is required")
    if tier is None:
        raise missing("Tier is required")
    if tier not in TIERS:
        raise InvalidRequest(
            f"Failed to set storage tier: {tier[:64]!r} is not one of {', '.join(TIERS)}",
            code="invalid_member",
        )
    find_topic(call.engine, topic)
    if tier != "memory":
        raise NotAvailable(f"Failed to set storage tier: the {tier} tier is not in this version")
    return json_response({"status": "success", "tier": tier, "topic": topic})


def _off() -> dict[str, object]:
    return {
        "messages": 0,
        "message_count": 0,
        "bytes_used": 0,
        "used_bytes": 0,
        "capacity_bytes": 0,
        "topics": [],
        "oldest_message": None,
        "newest_message": None,
        "stored_messages": 0,
        "stored_bytes": 0,
    }
