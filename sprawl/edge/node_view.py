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
    def node_id(self) -> str:
        """The identity, as written."""

    @property
    def version(self) -> str:
        """The version of this program."""

    @property
    def address(self) -> str:
        """What peers are told."""

    @property
    def bind_port(self) -> int:
        """The cluster port."""

    @property
    def http_port(self) -> int:
        """The port of the API."""

    @property
    def health_port(self) -> int | None:
        """The port of health and metrics, None without one."""

    @property
    def started_ns(self) -> int:
        """When the node started, nanoseconds since the epoch."""

    @property
    def state(self) -> NodeState:
        """Where the node is in its life."""

    @property
    def storage_type(self) -> str:
        """The storage type asked for."""

    @property
    def storage_type_effective(self) -> str:
        """The storage type that is on."""

    @property
    def memory_bytes_max(self) -> int:
        """Bytes of the memory tier."""

    @property
    def memory_to_disk_age_s(self) -> int:
        """Age at which messages move to disk."""

    @property
    def disk_path(self) -> str:
        """Directory of the disk tier, as it would be used."""

    @property
    def disk_bytes_max(self) -> int:
        """Bytes of local log before the cloud."""

    @property
    def disk_to_cloud_age_s(self) -> int:
        """Age at which messages move to the cloud."""

    @property
    def sample_interval_s(self) -> float:
        """Seconds between two samples of the load."""

    @property
    def log_payloads(self) -> bool:
        """Whether log lines may show payloads."""

    def now_ns(self) -> int:
        """Node time: nanoseconds since the Unix epoch."""

    def uptime_s(self) -> float:
        """Seconds since the node started, by the monotone clock."""

    def system(self) -> SystemSample:
        """The newest sample of the machine and the process."""
