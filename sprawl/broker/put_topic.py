"""Creates a topic or changes its configuration.

In: a checked name and configuration members. Out: what happened. Invariants: idempotent; a setting
that this version cannot keep is refused, never ignored.
"""

from collections.abc import Mapping
from typing import Final, Literal, cast

from sprawl.broker.engine import Engine
from sprawl.broker.topic_name import check_topic_name
from sprawl.errors import InvalidRequest, NotAvailable

DURABILITIES: Final = ("default", "memory", "disk", "quorum", "quorum-disk", "cloud")
"""The levels that may be asked for; a node with one replica and no disk offers the first two."""

_OFFERED: Final = ("default", "memory")
_LIMITS: Final = {
    "age_s": "retention_age_s",
    "bytes": "retention_bytes",
    "count": "retention_count",
}
_SAME_NAME: Final = ("partitions", "ttl_s", "dedup_window_s", "max_message_bytes")


def put_topic(
    engine: Engine, name: str, config: Mapping[str, object], now_ns: int
) -> Literal["created", "updated", "same"]:
    """Creates the topic, or makes its configuration this; absent members stay as they are.

    Raises InvalidRequest, Conflict (fewer partitions), NotAvailable (compaction, replicas).
    """
    check_topic_name(name)
    if config.get("compaction") is True:
        raise NotAvailable("compaction is not in this version", location="/compaction")
    if config.get("replicas", 1) != 1:
        raise NotAvailable(
            f"{config['replicas']} replicas need a cluster, not in this version; 1 is offered",
            location="/replicas",
        )
    durability = config.get("durability", "default")
    if durability not in _OFFERED:
        raise InvalidRequest(
            f"durability {durability!r} needs a disk or further replicas; offered is memory",
            code="durability_unavailable",
            location="/durability",
            members={"offered": ["memory"]},
        )
    outcome = engine.topic_put(name, _to_engine(config), now_ns)
    assert outcome in ("created", "updated", "same"), outcome
    return cast(Literal["created", "updated", "same"], outcome)


def shown_config(config: Mapping[str, object]) -> dict[str, object]:
    """The configuration of the engine in the members of the API; None is *no bound*."""
    return {
        "partitions": config["partitions"],
        "replicas": 1,
        "retention": {shown: config[name] or None for shown, name in _LIMITS.items()},
        "ttl_s": config["ttl_s"],
        "durability": "default",
        "discard": "new" if config["discard_new"] else "old",
        "dedup_window_s": config["dedup_window_s"],
        "compaction": False,
        "max_message_bytes": config["max_message_bytes"],
    }


def _to_engine(config: Mapping[str, object]) -> dict[str, object]:
    wanted = {name: config[name] for name in _SAME_NAME if name in config}
    if "discard" in config:
        wanted["discard_new"] = config["discard"] == "new"
    retention = config.get("retention", {})
    assert isinstance(retention, Mapping)
    return wanted | {_LIMITS[name]: value or 0 for name, value in retention.items()}
