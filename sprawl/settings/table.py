"""The one table of settings: every flag, variable and file member of the node.

In: nothing. Out: ``Settings`` (frozen; one typed attribute per setting), ``TABLE`` (name → row) and
``IGNORED`` (variables that are taken and do nothing). Invariant: every row of the original's
contract is here, and nothing reads a flag or a variable past it.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

from sprawl import limits
from sprawl.settings.kinds import Kind, Setting, Value, camel

Source = Literal["flag", "environment", "file", "default"]

MEMORY_ONLY: Final = "a publish to memory ends at once, none is ever in progress"
NO_CLUSTER: Final = "clusters are not in this version"
NO_PREDICTOR: Final = "the predictor is not in this version"

_PORT_MAX: Final = 65_535
_AGE_S_MAX: Final = limits.TTL_S_MAX
_BYTES_MAX: Final = 2**62


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: ``where`` is the flag, variable or file member as it was spelt."""

    source: Source
    where: str = ""

    def __str__(self) -> str:
        return f"{self.source} {self.where}" if self.where else self.source


DEFAULT: Final = Origin("default")


def _option(
    default: Value,
    kind: Kind,
    help: str,  # noqa: A002 - the word of the field
    *env: str,
    flag: str | None = None,
    **rest: Any,
) -> Any:
    """A field of ``Settings`` that carries its row; ``flag=None`` takes the name in camel case."""
    row = {"kind": kind, "help": help, "variables": env, "flag": flag, **rest}
    return field(default=default, metadata=row)


def _port(default: int, help: str, *env: str, low: int = 1, **rest: Any) -> Any:  # noqa: A002
    return _option(default, "integer", help, *env, low=low, high=_PORT_MAX, **rest)


def _threshold(default: float, high: float | None, help: str, *env: str) -> Any:  # noqa: A002
    return _option(default, "number", help, *env, flag="", low=0, high=high, inert=NO_PREDICTOR)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting of a node, checked; ``origins`` says where each value came from."""

    # Addresses.
    bind_addr: str = _option(
        "0.0.0.0", "address", "cluster address", "SPRAWL_BIND_ADDR", "BIND_ADDR"
    )
    bind_port: int = _port(7946, "cluster port, UDP and TCP", "SPRAWL_BIND_PORT")
    advertise_addr: str = _option(
        "", "address", "address told to peers", "SPRAWL_ADVERTISE_ADDR", inert=NO_CLUSTER
    )
    http_addr: str = _option(
        "0.0.0.0", "address", "HTTP bind address", "SPRAWL_HTTP_ADDR", "HTTP_ADDR"
    )
    http_port: int = _port(
        8080, "publish, subscribe, API; 0 lets the system choose", "SPRAWL_HTTP_PORT", low=0
    )
    health_port: int = _port(8081, "health and metrics; 0 for none", "SPRAWL_HEALTH_PORT", low=0)
    seeds: tuple[str, ...] = _option(
        (), "seeds", "comma list of host:port to join", "SPRAWL_CLUSTER_SEEDS", "SEEDS"
    )

    # Identity and directory.
    node_id: str = _option(
        "", "identity", "identity; made once and kept when not given", "SPRAWL_NODE_ID"
    )
    data_dir: str = _option("", "text", "base directory", "SPRAWL_DATA_DIR")
    disk_storage_path: str = _option(
        "",
        "text",
        "data directory (default ./data/<bindPort>, or <dataDir>/disk)",
        "SPRAWL_STORAGE_DISK_PATH",
        "SPRAWL_STORAGE_PATH",
    )
    settings: str = _option("", "text", "settings file (TOML)", "SPRAWL_SETTINGS_FILE")

    # Tiers.
    storage_type: str = _option(
        "",
        "choice",
        "memory, disk, or s3 (disk and cloud)",
        "SPRAWL_STORAGE_TYPE",
        choices=("memory", "disk", "s3"),
    )
    memory_max_size: int = _option(
        limits.MEMORY_BYTES_DEFAULT,
        "integer",
        "memory tier of the whole node",
        "SPRAWL_STORAGE_MEMORY_MAX_SIZE",
        unit="bytes",
        low=limits.MEMORY_BYTES_MIN,
        high=limits.MEMORY_BYTES_MAX,
    )
    memory_to_disk_age: float = _option(
        3600,
        "duration",
        "age at which messages leave memory",
        "SPRAWL_STORAGE_MEMORY_TO_DISK_AGE",
        unit="seconds",
        low=0,
        high=_AGE_S_MAX,
    )
    disk_enabled: bool = _option(
        True,
        "boolean",
        "disk tier",
        "SPRAWL_STORAGE_DISK_ENABLED",
        "SPRAWL_DISK_STORAGE",
    )
    disk_max_size: int = _option(
        1_073_741_824,
        "integer",
        "local log after which the oldest go to the cloud early",
        "SPRAWL_STORAGE_DISK_MAX_SIZE",
        unit="bytes",
        low=0,
        high=_BYTES_MAX,
    )
    disk_to_cloud_age: float = _option(
        86_400,
        "duration",
        "age at which messages move to the cloud",
        "SPRAWL_STORAGE_DISK_TO_CLOUD_AGE",
        unit="seconds",
        low=0,
        high=_AGE_S_MAX,
    )
    cloud_enabled: bool = _option(False, "boolean", "cloud tier", "SPRAWL_STORAGE_CLOUD_ENABLED")
    s3_endpoint: str = _option(
        "",
        "text",
        "URL or host:port of the object store",
        "MINIO_ENDPOINT",
        "SPRAWL_S3_ENDPOINT",
    )
    s3_access_key: str = _option(
        "",
        "text",
        "access key (a flag is visible in ps)",
        "MINIO_ACCESS_KEY",
        "SPRAWL_S3_ACCESS_KEY",
        secret=True,
    )
    s3_secret_key: str = _option(
        "",
        "text",
        "secret key (a flag is visible in ps)",
        "MINIO_SECRET_KEY",
        "SPRAWL_S3_SECRET_KEY",
        secret=True,
    )
    s3_bucket: str = _option(
        "sprawl-messages",
        "text",
        "bucket, created when missing",
        "SPRAWL_STORAGE_CLOUD_BUCKET",
        "SPRAWL_S3_BUCKET",
    )
    s3_region: str = _option("us-east-1", "text", "region", "MINIO_REGION", "SPRAWL_S3_REGION")

    cloud_upload_rate: int = _option(
        limits.CLOUD_UPLOAD_BYTES_PER_S,
        "integer",
        "uploads of the cloud tier at most, each second; 0 for no bound",
        "SPRAWL_STORAGE_CLOUD_UPLOAD_RATE",
        unit="bytes",
        low=0,
        high=_BYTES_MAX,
    )

    # Serving.
    auto_create_topics: bool = _option(
        True, "boolean", "a publish to an unknown topic creates it", "SPRAWL_AUTO_CREATE_TOPICS"
    )
    max_concurrent_requests: int = _option(
        0,
        "integer",
        "publishes in progress, then 503; 0 bounds bytes in flight only",
        "SPRAWL_MAX_CONCURRENT_REQUESTS",
        low=0,
        high=1_000_000,
        inert=MEMORY_ONLY,
    )
    connections_max: int = _option(
        limits.CONNECTIONS_MAX,
        "integer",
        "open client connections",
        "SPRAWL_CONNECTIONS_MAX",
        low=1,
        high=1_000_000,
    )
    connections_per_address_max: int = _option(
        limits.CONNECTIONS_PER_ADDRESS_MAX,
        "integer",
        "open client connections of one address",
        "SPRAWL_CONNECTIONS_PER_ADDRESS_MAX",
        low=1,
        high=1_000_000,
    )
    drain_timeout_s: float = _option(
        limits.DRAIN_TIMEOUT_S_DEFAULT,
        "duration",
        "how long a stopping node waits for what is in flight",
        "SPRAWL_DRAIN_TIMEOUT_S",
        flag="drainTimeout",
        unit="seconds",
        low=0,
        high=limits.DRAIN_TIMEOUT_S_MAX,
        reloadable=True,
    )

    # Logs.
    log_level: str = _option(
        "info",
        "choice",
        "least level that is written",
        "SPRAWL_LOG_LEVEL",
        choices=("debug", "info", "warning", "error"),
        reloadable=True,
    )
    log_format: str = _option(
        "text",
        "choice",
        "text, or json (one object a line)",
        "SPRAWL_LOG_FORMAT",
        choices=("text", "json"),
        reloadable=True,
    )
    log_payloads: bool = _option(
        False,
        "boolean",
        "write payloads of deliveries, escaped",
        "SPRAWL_LOG_PAYLOADS",
        reloadable=True,
    )

    # Cluster.
    insecure: bool = _option(
        False,
        "boolean",
        "peers on other hosts without a secret",
        "SPRAWL_INSECURE",
        inert=NO_CLUSTER,
    )
    cluster_secret: str = _option(
        "",
        "text",
        "secret shared by all nodes",
        "SPRAWL_CLUSTER_SECRET",
        flag="",
        secret=True,
        inert=NO_CLUSTER,
    )
    cluster_secret_file: str = _option(
        "",
        "text",
        "file that holds the cluster secret",
        "SPRAWL_CLUSTER_SECRET_FILE",
        inert=NO_CLUSTER,
    )
    cluster_refresh_interval: float = _option(
        30,
        "duration",
        "table refresh",
        "CLUSTER_REFRESH_INTERVAL",
        unit="seconds",
        low=1,
        high=86_400,
        inert=NO_CLUSTER,
    )

    # Predictor.
    enable_ai: bool = _option(
        True, "boolean", "predictor on or off", "SPRAWL_ENABLE_AI", inert=NO_PREDICTOR
    )
    ai_debug: bool = _option(
        False, "boolean", "verbose predictor log", "AI_DEBUG", inert=NO_PREDICTOR
    )
    ai_config_file: str = _option(
        "",
        "text",
        "thresholds file (JSON)",
        "SPRAWL_AI_CONFIG_FILE",
        "SPRAWL_CONFIG_FILE",
        inert=NO_PREDICTOR,
    )
    config_reload_interval: float = _option(
        300,
        "duration",
        "how often the thresholds file is looked at",
        "SPRAWL_CONFIG_RELOAD_INTERVAL",
        unit="seconds",
        low=1,
        high=86_400,
        inert=NO_PREDICTOR,
    )
    cpu_scale_up_threshold: float = _threshold(
        80, 100, "CPU percent above which to scale up", "SPRAWL_CPU_SCALE_UP_THRESHOLD"
    )
    cpu_scale_down_threshold: float = _threshold(
        20, 100, "CPU percent below which to scale down", "SPRAWL_CPU_SCALE_DOWN_THRESHOLD"
    )
    mem_scale_up_threshold: float = _threshold(
        85, 100, "memory percent above which to scale up", "SPRAWL_MEM_SCALE_UP_THRESHOLD"
    )
    mem_scale_down_threshold: float = _threshold(
        30, 100, "memory percent below which to scale down", "SPRAWL_MEM_SCALE_DOWN_THRESHOLD"
    )
    msg_rate_scale_up_threshold: float = _threshold(
        5000, None, "messages/s above which to scale up", "SPRAWL_MSG_RATE_SCALE_UP_THRESHOLD"
    )
    msg_rate_scale_down_threshold: float = _threshold(
        500, None, "messages/s below which to scale down", "SPRAWL_MSG_RATE_SCALE_DOWN_THRESHOLD"
    )
    min_confidence_threshold: float = _threshold(
        0.7, 1, "least confidence of advice", "SPRAWL_MIN_CONFIDENCE_THRESHOLD"
    )
    enable_dynamic_adjustment: bool = _option(
        True,
        "boolean",
        "thresholds adjust themselves",
        "SPRAWL_ENABLE_DYNAMIC_ADJUSTMENT",
        flag="",
        inert=NO_PREDICTOR,
    )
    adjustment_factor: float = _threshold(
        0.5, 1, "how far an adjustment goes", "SPRAWL_ADJUSTMENT_FACTOR"
    )
    learning_rate: float = _threshold(0.1, 1, "how fast thresholds adjust", "SPRAWL_LEARNING_RATE")
    hysteresis_percent: float = _threshold(
        10, 50, "distance between up and down again", "SPRAWL_HYSTERESIS_PERCENT"
    )
    bad_threshold_detection_enabled: bool = _option(
        True,
        "boolean",
        "thresholds that flap are noticed",
        "SPRAWL_BAD_THRESHOLD_DETECTION_ENABLED",
        "SPRAWL_BAD_THRESHOLD_DETECTION",
        flag="",
        inert=NO_PREDICTOR,
    )
    bad_threshold_adjustment_factor: float = _threshold(
        0.3, 1, "how far a flapping threshold is moved", "SPRAWL_BAD_THRESHOLD_ADJUSTMENT_FACTOR"
    )

    origins: Mapping[str, Origin] = field(
        default_factory=lambda: MappingProxyType({}), repr=False, compare=False
    )

    def origin(self, name: str) -> Origin:
        """Where the value of ``name`` came from."""
        return self.origins.get(name, DEFAULT)

    def is_given(self, name: str) -> bool:
        """Whether anyone asked for this value."""
        return self.origin(name).source != "default"

    @property
    def directory(self) -> str:
        """The path from which the data directory is resolved."""
        if self.disk_storage_path:
            return self.disk_storage_path
        if self.data_dir:
            return f"{self.data_dir.rstrip('/') or '/'}/disk".replace("//", "/")
        return f"./data/{self.bind_port}"

    @property
    def has_disk(self) -> bool:
        """Whether the disk tier is on."""
        return self.disk_enabled and self.storage_type != "memory"

    @property
    def has_cloud(self) -> bool:
        """Whether the cloud tier is on; it needs the disk tier."""
        return self.cloud_enabled or self.storage_type == "s3"

    @property
    def disk_bytes_bound(self) -> int:
        """Bytes that the disk tier may hold; 0 for no bound but the disk's own."""
        return self.disk_max_size if self.is_given("disk_max_size") else 0

    @property
    def storage_type_asked(self) -> str:
        """``s3``, ``disk`` or ``memory``: what was asked for, whatever is on."""
        if self.storage_type == "memory":
            return "memory"
        if self.cloud_enabled or self.storage_type == "s3":
            return "s3"
        if self.storage_type == "disk" or (self.disk_enabled and self.is_given("disk_enabled")):
            return "disk"
        return "memory"


def _row(item: "dataclasses.Field[Any]") -> Setting:
    row = dict(item.metadata)
    if row["flag"] is None:
        row["flag"] = camel(item.name)
    default: Any = item.default
    return Setting(name=item.name, default=default, **row)


TABLE: Final[Mapping[str, Setting]] = MappingProxyType(
    {item.name: _row(item) for item in dataclasses.fields(Settings) if item.metadata}
)
"""Every setting by its name, in the order of the help."""

IGNORED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "SPRAWL_RAFT_PORT": "Raft shares the cluster port",
        "SPRAWL_HTTP_PORT_VALIDATE": "ports are always validated",
        "POD_NAME": "the node id is SPRAWL_NODE_ID or made once",
        "POD_NAMESPACE": "namespaces play no part",
        "SPRAWL_TEST_MODE": "there is no test mode",
    }
)
"""Variables of the original that are taken and do nothing, with the reason."""

FOREIGN: Final = frozenset(
    {
        "SPRAWL_URL",
        "SPRAWL_REQUIRE",
        "SPRAWL_ANNOTATE",
        "SPRAWL_BUILD_PROFILE",
        "SPRAWL_NATIVE_PREBUILT",
    }
)
"""Variables that other programs of this project read."""
