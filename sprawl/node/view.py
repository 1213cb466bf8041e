"""The node as its answers show it: the real ``NodeView``.

In: settings, directory, ports, clock, and the sampler of the load. Out: plain values, at once.
Invariant: the settings may be replaced as a whole by a reload; everything else is fixed at the
start, but for the state.
"""

from collections.abc import Callable

from sprawl.clock import SECOND_NS, Clock
from sprawl.edge.node_view import NodeState
from sprawl.limits import SAMPLE_INTERVAL_S
from sprawl.metrics.registry import SystemSample
from sprawl.metrics.system import SystemLoad
from sprawl.node.directory import Directory
from sprawl.node.ports import Ports
from sprawl.settings import Settings

_WILDCARDS = ("0.0.0.0", "::", "")


class LiveView:
    """Implements ``sprawl.edge.node_view.NodeView``; the node alone sets state and settings."""

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        ports: Ports,
        clock: Clock,
        version: str,
    ) -> None:
        self.settings = settings
        self.state: NodeState = "starting"
        self.load: SystemLoad | None = None
        self.node_id = directory.identity.node_id
        self.boot_counter = directory.identity.boot_counter
        self.version = version
        self.bind_port = settings.bind_port
        self.http_port = ports.http_port
        self.health_port = ports.health_port or None
        self.started_ns = clock.now_ns()
        self.disk_path = str(directory.path)
        self.clock = clock
        self._clock = clock
        self._now_ns = clock.now_ns
        self._since_ns = clock.monotonic_ns()

    @property
    def address(self) -> str:
        """What peers are told; peers can only be on this host while there is no cluster."""
        settings = self.settings
        if settings.advertise_addr:
            return settings.advertise_addr
        return "127.0.0.1" if settings.bind_addr in _WILDCARDS else settings.bind_addr

    @property
    def storage_type(self) -> str:
        """The type that was asked for."""
        return self.settings.storage_type_asked

    @property
    def storage_type_effective(self) -> str:
        """What is on."""
        if self.settings.has_cloud:
            return "s3"
        return "disk" if self.settings.has_disk else "memory"

    @property
    def memory_bytes_max(self) -> int:
        """Bytes of the memory tier."""
        return self.settings.memory_max_size

    @property
    def memory_to_disk_age_s(self) -> int:
        """Seconds."""
        return int(self.settings.memory_to_disk_age)

    @property
    def disk_bytes_max(self) -> int:
        """Bytes."""
        return self.settings.disk_max_size

    @property
    def disk_to_cloud_age_s(self) -> int:
        """Seconds."""
        return int(self.settings.disk_to_cloud_age)

    @property
    def sample_interval_s(self) -> float:
        """Seconds between two samples of the load."""
        return SAMPLE_INTERVAL_S

    @property
    def log_payloads(self) -> bool:
        """Whether payloads of deliveries are written to the log."""
        return self.settings.log_payloads

    def follow(self, now_ns: Callable[[], int]) -> None:
        """Takes the time of the node from here on from its owner, the compiled edge."""
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """Node time in nanoseconds since the Unix epoch: that of messages and deadlines, too."""
        return self._now_ns()

    def uptime_s(self) -> float:
        """Seconds since the start, by the monotone clock."""
        return (self._clock.monotonic_ns() - self._since_ns) / SECOND_NS

    def system(self) -> SystemSample:
        """The newest sample; the node takes one before it answers anything."""
        assert self.load is not None, "the load is sampled before the edge starts"
        return self.load.latest
