"""``GET /v1/tiers``: the tiers that are on, what lies in them, and what is wrong there.

In: a call. Out: a response. Invariant: the counts of the tiers add up to what can be read.
"""

from starlette.responses import Response

from sprawl._native import topic_id_text
from sprawl.broker.store_report import TierReport, store_report
from sprawl.edge.call import Call
from sprawl.edge.formats import json_response, rfc3339_or_none
from sprawl.metrics.registry import gauge


def get(call: Call) -> Response:
    """``GET /v1/tiers``."""
    disk, cloud, view = call.context.tier, call.context.cloud, call.view
    held = store_report(call.engine, disk, cloud)
    shown = [{"tier": "memory"} | _tier(held.memory) | {"age_s": view.memory_to_disk_age_s}]
    if disk is not None and held.disk is not None:
        figures, stats = disk.figures(), call.engine.stats()
        damaged = [
            {
                "topic_id": topic_id_text(found.topic_id),
                "partition": found.partition,
                "from": found.first,
                "to": found.end,
                "reason": found.why,
            }
            for found in figures.damaged
        ]
        shown.append(
            {"tier": "disk"}
            | _tier(held.disk)
            | {
                "path": figures.path,
                "state": figures.state,
                "windows": figures.windows_count,
                "unsynced_messages": gauge(stats, "unsynced_messages"),
                "unsynced_bytes": gauge(stats, "unsynced_bytes"),
                "verified_bytes": figures.scrubbed_bytes,
                "damaged_count": figures.damaged_count,
                "damaged": damaged,
            }
        )
    if cloud is not None and held.cloud is not None:
        moved = cloud.figures()
        shown.append(
            {"tier": "cloud"}
            | _tier(held.cloud)
            | {
                "endpoint": moved.endpoint,
                "bucket": moved.bucket,
                "prefix": moved.prefix,
                "state": "degraded" if moved.is_degraded else "ok",
                "last_error": moved.error or None,
                "segments": moved.segments_count,
                "waiting_windows": moved.waiting_windows,
                "lag_s": round(moved.lag_s, 3),
                "moved_windows": moved.moved_windows,
                "uploaded_bytes": moved.uploaded_bytes,
                "reads": moved.reads,
                "requests": moved.requests,
            }
        )
    return json_response({"tiers": shown})


def _tier(tier: TierReport) -> dict[str, object]:
    return {
        "messages": tier.message_count,
        "bytes": tier.used_bytes,
        "stored_messages": tier.stored_count,
        "stored_bytes": tier.stored_bytes,
        "capacity_bytes": tier.capacity_bytes,
        "oldest": rfc3339_or_none(tier.oldest_ns),
        "newest": rfc3339_or_none(tier.newest_ns),
    }
