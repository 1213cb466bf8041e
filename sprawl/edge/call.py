"""One cold request as its handler sees it, and what handlers may use.

In: an ASGI request that the dispatcher has read and checked. Out: ``Call`` and ``Context``.
Invariant: a handler is a function of its call; it waits for the disk tier and for nothing else.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from starlette.datastructures import Headers, QueryParams
from starlette.responses import Response

from sprawl.broker.disk_waits import DiskWaits
from sprawl.broker.engine import Engine, Stats
from sprawl.broker.subscribe import Subscriptions
from sprawl.broker.tiers import Cloud, Disk
from sprawl.edge.node_view import NodeView
from sprawl.metrics.cloud import cloud_counters, cloud_gauges
from sprawl.metrics.disk import disk_counters, disk_gauges


@dataclass(frozen=True, slots=True)
class ListenerStats:
    """What the ports measured: durations by stage (counts, sum in ns), and open connections."""

    stages: Mapping[str, tuple[list[int], int]] = field(default_factory=dict)
    connections_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the handlers of one node share; ``document`` is the OpenAPI document as JSON."""

    engine: Engine
    view: NodeView
    subscriptions: Subscriptions
    disk: DiskWaits = field(default_factory=DiskWaits)
    document: bytes = b"{}"
    listener_stats: Callable[[], ListenerStats] = ListenerStats
    is_health_port: bool = False
    tier: Disk | None = None
    cloud: Cloud | None = None

    def stats(self) -> Stats:
        """The figures of the engine, of the ports and of the tiers together."""
        stats, ports = self.engine.stats(), self.listener_stats()
        counters = dict(stats["counters"])
        gauges = {**stats["gauges"], "connections": ports.connections_count}
        stages = dict(ports.stages)
        if self.tier is not None:
            held = self.tier.figures()
            stages["commit"] = (list(held.commit_counts), held.commit_sum_ns)
            counters |= disk_counters(held)
            gauges |= disk_gauges(held)
        if self.cloud is not None:
            moved = self.cloud.figures()
            counters |= cloud_counters(moved)
            gauges |= cloud_gauges(moved)
        return {
            "counters": counters,
            "gauges": gauges,
            "histograms": {name: counts for name, (counts, _) in stages.items()},
            "sums_ns": {name: total for name, (_, total) in stages.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request whose path, query and body are read; ``path`` holds the values of the template.

    ``peer`` is the client's address, empty when it has none.
    """

    context: Context
    method: str
    url_path: str
    path: dict[str, str]
    query: QueryParams
    raw_query: bytes
    headers: Headers
    body: bytes
    peer: str
    request_id: str

    @property
    def engine(self) -> Engine:
        """The log."""
        return self.context.engine

    @property
    def view(self) -> NodeView:
        """The node."""
        return self.context.view

    async def settled(self) -> None:
        """Returns once everything that was done up to now is as durable as this node makes it."""
        await self.context.disk.synced(self.engine.mark())


Handler = Callable[[Call], Response | Awaitable[Response]]
"""Answers one call, at once or after a wait for the disk, or raises a ``SprawlError``."""
