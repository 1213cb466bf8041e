"""What answers need to know about the node they come from.

In: nothing. Out: ``NodeView``, implemented by the composition root. Invariant: everything here is
known without waiting; reading it has no effect.
"""

from typing import Literal, Protocol

from sprawl.metrics.registry import SystemSample

NodeState = Literal["starting", "ready", "draining"]


class NodeView(Protocol):
    """The node as its answers show it.

    ``address`` is what peers are told; ``health_port`` is None when the node runs without one;
    ``storage_type`` is the type asked for, ``storage_type_effective`` what is on. Sizes are bytes,
    ages seconds.
    """

    @property
    def node_id(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def bind_port(self) -> int: ...
    @property
    def http_port(self) -> int: ...
    @property
    def health_port(self) -> int | None: ...
    @property
    def started_ns(self) -> int: ...
    @property
    def state(self) -> NodeState: ...
    @property
    def storage_type(self) -> str: ...
    @property
    def storage_type_effective(self) -> str: ...
    @property
    def memory_bytes_max(self) -> int: ...
    @property
    def memory_to_disk_age_s(self) -> int: ...
    @property
    def disk_path(self) -> str: ...
    @property
    def disk_bytes_max(self) -> int: ...
    @property
    def disk_to_cloud_age_s(self) -> int: ...
    @property
    def sample_interval_s(self) -> float: ...
    @property
    def log_payloads(self) -> bool: ...

    def now_ns(self) -> int:
        """Node time: nanoseconds since the Unix epoch."""

    def uptime_s(self) -> float:
        """Seconds since the node started, by the monotone clock."""

    def system(self) -> SystemSample:
        """The newest sample of the machine and the process."""
