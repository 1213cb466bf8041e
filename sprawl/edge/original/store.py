"""``/store``, ``/store/tiers``, ``/store/compact``.

In: calls. Out: the tiers in the original's shape. Invariant: a tier that is off shows
``"enabled":false`` and zeros; what needs it is 501.
"""

from starlette.responses import Response

from sprawl.broker.store_report import StoreReport, TierReport, store_report
from sprawl.broker.tiers import compact, move_topic
from sprawl.clock import SECOND_NS
from sprawl.edge.call import Call
from sprawl.edge.formats import json_response, rfc3339, rfc3339_or_none
from sprawl.edge.original.bodies import members_of, missing, text_member
from sprawl.errors import InvalidRequest, NotAvailable, error_for
from sprawl.limits import COMPACT_WAIT_S


def get(call: Call) -> Response:
    """What lies in each tier."""
    view, held = call.view, store_report(call.engine, call.context.tier, call.context.cloud)
    disk: dict[str, object] = {"enabled": False, "path": view.disk_path} | _off()
    if held.disk is not None:
        shown = _tier(held, held.disk) | {"capacity_bytes": view.disk_bytes_max}
        disk = {"enabled": True, "path": view.disk_path} | shown
    cloud: dict[str, object] = {"enabled": False, "endpoint": "", "bucket": "", "degraded": False}
    if held.cloud is None or call.context.cloud is None:
        cloud |= _off()
    else:
        figures = call.context.cloud.figures()
        cloud = {
            "enabled": True,
            "endpoint": figures.endpoint,
            "bucket": figures.bucket,
            "degraded": figures.is_degraded,
        } | _tier(held, held.cloud)
        if figures.error:
            cloud["last_error"] = figures.error
    return json_response(
        {
            "storage_type": view.storage_type,
            "memory": {"enabled": True} | _tier(held, held.memory),
            "disk": disk,
            "cloud": cloud,
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
    has_disk, has_cloud = call.context.tier is not None, call.context.cloud is not None
    names = ["memory", *(["disk"] if has_disk else []), *(["cloud"] if has_cloud else [])]
    return json_response(
        {
            "tiers": names,
            "policies": policies,
            "disk_enabled": has_disk,
            "cloud_enabled": has_cloud,
            **policies,
            "disk_path": view.disk_path,
        }
    )


async def set_tier(call: Call) -> Response:
    """Moves what a topic holds now at least as far as a tier."""
    members = members_of(call.body)
    topic, tier = text_member(members, "topic"), text_member(members, "tier")
    if topic is None:
        raise missing("Topic is required")
    if tier is None:
        raise missing("Tier is required")
    try:
        await move_topic(call.engine, call.context.tier, call.context.cloud, topic, tier)
    except (InvalidRequest, NotAvailable) as error:
        if error.code not in ("invalid_member", "not_available"):
            raise
        raise error_for(error.code, f"Failed to set storage tier: {error.detail}") from error
    return json_response({"status": "success", "tier": tier, "topic": topic})


async def compact_now(call: Call) -> Response:
    """Retention and cleaning; after 30 s they go on without this request."""
    is_done = await compact(call.context.tier)
    estimate_ns = call.view.now_ns() + (0 if is_done else int(COMPACT_WAIT_S * SECOND_NS))
    done = ("Storage compaction completed successfully", "compaction_completed")
    message, status = done if is_done else ("Storage compaction started", "compaction_started")
    return json_response(
        {
            "success": True,
            "message": message,
            "status": status,
            "tiers": ["disk"],
            "estimated_completion": rfc3339(estimate_ns),
        }
    )


def _tier(held: StoreReport, tier: TierReport) -> dict[str, object]:
    members: dict[str, object] = {
        "messages": tier.message_count,
        "message_count": tier.message_count,
        "bytes_used": tier.used_bytes,
        "used_bytes": tier.used_bytes,
        "capacity_bytes": tier.capacity_bytes,
        "topics": list(tier.topics),
        "oldest_message": rfc3339_or_none(tier.oldest_ns),
        "newest_message": rfc3339_or_none(tier.newest_ns),
        "stored_messages": tier.stored_count,
        "stored_bytes": tier.stored_bytes,
    }
    if held.is_truncated:
        members["topics_truncated"] = True
    return members


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
