"""Creates a topic or changes its configuration.

In: a checked name and configuration members. Out: what happened. Invariants: idempotent; a setting
that this version cannot keep is refused, never ignored.
"""

from collections.abc import Mapping
from typing import Final, Literal

from sprawl.broker.engine import Engine
from sprawl.broker.topic_name import check_topic_name
from sprawl.errors import InvalidRequest, NotAvailable

DURABILITIES: Final = ("default", "memory", "disk", "quorum", "quorum-disk", "cloud")
"""The levels that there are; ``Engine.levels`` are those that this node offers."""


def put_topic(
    engine: Engine, name: str, config: Mapping[str, object]
) -> Literal["created", "updated", "same"]:
    """Creates the topic, or makes its configuration this; absent members stay as they are.

    Raises InvalidRequest (a level that is not offered, too), Conflict (fewer partitions),
    NotAvailable (compaction).
    """
    check_topic_name(name)
    if config.get("compaction") is True:
        raise NotAvailable("compaction is not in this version", location="/compaction")
    durability = config.get("durability", "default")
    offered = engine.levels
    if durability != "default" and durability not in offered:
        raise InvalidRequest(
            f"durability {durability!r} is not offered by this node: {' and '.join(offered)} are",
            code="durability_unavailable",
            location="/durability",
            members={"offered": list(offered)},
        )
    return engine.topic_put(name, _without_nulls(config))


def _without_nulls(config: Mapping[str, object]) -> dict[str, object]:
    """``null`` in ``retention`` is *no bound*, which the engine knows as 0."""
    retention = config.get("retention")
    if retention is None:
        return dict(config)
    assert isinstance(retention, Mapping)
    return {**config, "retention": {name: value or 0 for name, value in retention.items()}}
