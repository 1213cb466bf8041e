"""The command line and environment of the original, on the real command.

``-printConfig`` is run in this process; starts and refusals to start are processes. Spellings and
refusals one by one are in ``tests/unit/settings``; ports, directories and signals in
``tests/unit/node`` and ``tests/unit/cli``; a plain start and its log lines in ``test_start``.
"""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from sprawl.cli.node import main
from sprawl.settings import TABLE
from tests.contract.outside.running_node import RunningNode, until
from tests.unit.node.free_ports import free_ports

Run = Callable[..., tuple[int, str, str]]

FOREIGN = ("SPRAWL_", "MINIO_", "BIND_ADDR", "HTTP_ADDR", "SEEDS", "AI_DEBUG", "CLUSTER_", "POD_")


@pytest.fixture
def sprawl(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Run]:
    """Runs the command in this process: (exit status, stdout, stderr)."""
    held = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.chdir(tmp_path)

    def run(*argv: str, **environment: str) -> tuple[int, str, str]:
        for name in [name for name in os.environ if name.startswith(FOREIGN)]:
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        status = main(argv)
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    yield run
    for number, handler in held.items():
        signal.signal(number, handler)


# flag, value, line of -printConfig without its origin, and the variables of the same setting
ROWS = [
    ("bindAddr", "10.0.0.1", 'bindAddr = "10.0.0.1"', "SPRAWL_BIND_ADDR BIND_ADDR"),
    ("bindPort", "7950", "bindPort = 7950", "SPRAWL_BIND_PORT"),
    ("advertiseAddr", "10.0.0.2", 'advertiseAddr = "10.0.0.2"', "SPRAWL_ADVERTISE_ADDR"),
    ("httpAddr", "127.0.0.1", 'httpAddr = "127.0.0.1"', "SPRAWL_HTTP_ADDR HTTP_ADDR"),
    ("httpPort", "8087", "httpPort = 8087", "SPRAWL_HTTP_PORT"),
    ("", "8091", "healthPort = 8091", "SPRAWL_HEALTH_PORT"),
    ("seeds", "a:1,b:2", 'seeds = "a:1,b:2"', "SPRAWL_CLUSTER_SEEDS SEEDS"),
    ("storageType", "disk", 'storageType = "disk"', "SPRAWL_STORAGE_TYPE"),
    ("", "true", "diskEnabled = true", "SPRAWL_STORAGE_DISK_ENABLED SPRAWL_DISK_STORAGE"),
    (
        "diskStoragePath",
        "./data/node1",
        'diskStoragePath = "./data/node1"',
        "SPRAWL_STORAGE_DISK_PATH SPRAWL_STORAGE_PATH",
    ),
    ("", "/data", 'dataDir = "/data"', "SPRAWL_DATA_DIR"),
    ("", "node1", 'nodeId = "node1"', "SPRAWL_NODE_ID"),
    (
        "memoryMaxSize",
        "209715200",
        "memoryMaxSize = 209715200",
        "SPRAWL_STORAGE_MEMORY_MAX_SIZE",
    ),
    ("memoryToDiskAge", "60", "memoryToDiskAge = 60", "SPRAWL_STORAGE_MEMORY_TO_DISK_AGE"),
    ("diskToCloudAge", "600", "diskToCloudAge = 600", "SPRAWL_STORAGE_DISK_TO_CLOUD_AGE"),
    ("", "5000", "diskMaxSize = 5000", "SPRAWL_STORAGE_DISK_MAX_SIZE"),
    ("", "true", "cloudEnabled = true", "SPRAWL_STORAGE_CLOUD_ENABLED"),
    (
        "s3Endpoint",
        "minio:9000",
        's3Endpoint = "minio:9000"',
        "MINIO_ENDPOINT SPRAWL_S3_ENDPOINT",
    ),
    ("s3AccessKey", "k", '# s3AccessKey = "***"', "MINIO_ACCESS_KEY SPRAWL_S3_ACCESS_KEY"),
    ("s3SecretKey", "k", '# s3SecretKey = "***"', "MINIO_SECRET_KEY SPRAWL_S3_SECRET_KEY"),
    ("s3Bucket", "b", 's3Bucket = "b"', "SPRAWL_STORAGE_CLOUD_BUCKET SPRAWL_S3_BUCKET"),
    ("", "eu-west-1", 's3Region = "eu-west-1"', "MINIO_REGION SPRAWL_S3_REGION"),
    ("", "t.json", 'aiConfigFile = "t.json"', "SPRAWL_AI_CONFIG_FILE SPRAWL_CONFIG_FILE"),
    ("", "1m30s", "configReloadInterval = 90", "SPRAWL_CONFIG_RELOAD_INTERVAL"),
    (
        "maxConcurrentRequests",
        "1000",
        "maxConcurrentRequests = 1000",
        "SPRAWL_MAX_CONCURRENT_REQUESTS",
    ),
    ("", "f", "enableAi = false", "SPRAWL_ENABLE_AI"),
    ("insecure", "1", "insecure = true", "SPRAWL_INSECURE"),
    ("", "s", '# clusterSecret = "***"', "SPRAWL_CLUSTER_SECRET"),
    ("", "s.txt", 'clusterSecretFile = "s.txt"', "SPRAWL_CLUSTER_SECRET_FILE"),
    ("", "T", "aiDebug = true", "AI_DEBUG"),
    ("", "60", "clusterRefreshInterval = 60", "CLUSTER_REFRESH_INTERVAL"),
    ("", "true", "logPayloads = true", "SPRAWL_LOG_PAYLOADS"),
]


def kebab(flag: str) -> str:
    return re.sub(r"[A-Z]", lambda found: f"-{found[0].lower()}", flag)


@pytest.mark.parametrize(
    ("flag", "value", "line"), [(f, value, line) for f, value, line, _ in ROWS if f]
)
def test_every_flag_is_taken_in_every_spelling(
    sprawl: Run, flag: str, value: str, line: str
) -> None:
    spellings = [[f"-{flag}={value}"], [f"-{flag}", value], [f"--{flag}={value}"]]
    spellings += [[f"--{flag}", value], [f"--{kebab(flag)}={value}"], [f"--{kebab(flag)}", value]]
    for argv in spellings:
        status, out, err = sprawl("-printConfig", *argv)
        assert (status, err) == (0, ""), argv
        shown = [row for row in out.splitlines() if row.startswith(f"{line}  # flag -")]
        assert len(shown) == 1, argv


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [(name, value, line) for _, value, line, names in ROWS for name in names.split()],
)
def test_every_variable_is_taken(sprawl: Run, variable: str, value: str, line: str) -> None:
    status, out, err = sprawl("-printConfig", **{variable: value})
    assert (status, err) == (0, "")
    assert f"{line}  # environment {variable}" in out.splitlines()
    # An empty one is not given.
    _, out, _ = sprawl("-printConfig", **{variable: ""})
    assert f"# environment {variable}" not in out


THRESHOLDS = """
CPU_SCALE_UP_THRESHOLD=81 CPU_SCALE_DOWN_THRESHOLD=21 MEM_SCALE_UP_THRESHOLD=86
MEM_SCALE_DOWN_THRESHOLD=31 MSG_RATE_SCALE_UP_THRESHOLD=5001 MSG_RATE_SCALE_DOWN_THRESHOLD=501
MIN_CONFIDENCE_THRESHOLD=0.75 ENABLE_DYNAMIC_ADJUSTMENT=false ADJUSTMENT_FACTOR=0.25
LEARNING_RATE=0.2 HYSTERESIS_PERCENT=11 BAD_THRESHOLD_DETECTION_ENABLED=false
BAD_THRESHOLD_DETECTION=false BAD_THRESHOLD_ADJUSTMENT_FACTOR=0.4
"""


@pytest.mark.parametrize("row", THRESHOLDS.split())
def test_every_threshold_is_taken_from_its_variable(sprawl: Run, row: str) -> None:
    name, _, value = row.partition("=")
    _, out, _ = sprawl("-printConfig", **{f"SPRAWL_{name}": value})
    assert re.search(
        rf" = {re.escape(value)}(\.0)?  # environment SPRAWL_{name}$", out, re.MULTILINE
    )


def test_flag_goes_before_environment_before_file_before_default(
    sprawl: Run, tmp_path: Path
) -> None:
    (tmp_path / "s.toml").write_text("bindPort = 3\nhttpPort = 3\ns3Bucket = 'file'\n")
    _, out, _ = sprawl(
        "-printConfig",
        "-bindPort=1",
        "-settings=s.toml",
        SPRAWL_BIND_PORT="2",
        SPRAWL_HTTP_PORT="2",
    )
    lines = out.splitlines()
    assert len(lines) == len(TABLE)
    assert "bindPort = 1  # flag -bindPort" in lines
    assert "httpPort = 2  # environment SPRAWL_HTTP_PORT" in lines
    assert any(line.startswith('s3Bucket = "file"  # file s.toml') for line in lines)
    assert 's3Region = "us-east-1"  # default' in lines
    _, from_variable, _ = sprawl("-printConfig", SPRAWL_SETTINGS_FILE="s.toml")
    assert "bindPort = 3  # file" in from_variable


@pytest.mark.parametrize(
    ("argv", "environment", "line"),
    [
        (["-htpPort=1"], {}, "sprawl: unknown flag -htpPort; did you mean -httpPort?"),
        (["-httpPort=port"], {}, "sprawl: -httpPort: 'port' is not a whole number"),
        (["-httpPort=70000"], {}, "sprawl: -httpPort: 70000 "),
        (["-insecure=maybe"], {}, "sprawl: -insecure: 'maybe' "),
        (["-seeds=a:port"], {}, "sprawl: -seeds: "),
        (["-storageType=tape"], {}, "sprawl: -storageType: 'tape' "),
        (["something"], {}, "sprawl: "),
        ([], {"SPRAWL_HTTP_PORT": "x"}, "sprawl: SPRAWL_HTTP_PORT: 'x' is not a whole number"),
        (
            [],
            {"SPRAWL_CPU_SCALE_UP_THRESHOLD": "101"},
            "sprawl: SPRAWL_CPU_SCALE_UP_THRESHOLD: 101",
        ),
    ],
)
def test_a_bad_setting_is_one_line_and_the_usage_with_2(
    sprawl: Run, argv: list[str], environment: dict[str, str], line: str
) -> None:
    status, out, err = sprawl(*argv, **environment)
    first, usage = err.splitlines()
    assert (status, out) == (2, "")
    assert first.startswith(line)
    assert usage.startswith("usage: sprawl ")


@pytest.mark.parametrize(
    ("argv", "environment", "what"),
    [
        (["-seeds=10.255.255.1:7946"], {}, "joining a cluster"),
    ],
)
def test_what_is_not_in_this_version_is_one_line_with_2(
    sprawl: Run, tmp_path: Path, argv: list[str], environment: dict[str, str], what: str
) -> None:
    status, out, err = sprawl(*argv, **environment)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"{what} is not in this version" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "environment", "line"),
    [
        ([], {"SPRAWL_STORAGE_TYPE": "s3"}, "the cloud tier needs an endpoint: set MINIO_ENDPOINT"),
        (["-storageType=s3"], {}, "the cloud tier needs an endpoint: set MINIO_ENDPOINT"),
        (
            [],
            {"SPRAWL_STORAGE_CLOUD_ENABLED": "true", "MINIO_ENDPOINT": "localhost:9000"},
            "the cloud tier at localhost:9000 needs keys: set MINIO_ACCESS_KEY and MINIO_SECRET_KEY",
        ),
        (
            ["-storageType=memory"],
            {"SPRAWL_STORAGE_CLOUD_ENABLED": "true", "MINIO_ENDPOINT": "file:///nowhere"},
            "the cloud tier takes what leaves the disk tier, which is off",
        ),
        (
            ["-s3Bucket=No"],
            {"SPRAWL_STORAGE_CLOUD_ENABLED": "true", "MINIO_ENDPOINT": "file:///nowhere"},
            "bucket 'No': 3 to 63 lowercase letters",
        ),
    ],
)
def test_a_cloud_tier_without_a_place_is_one_line_with_2(
    sprawl: Run, tmp_path: Path, argv: list[str], environment: dict[str, str], line: str
) -> None:
    status, out, err = sprawl(*argv, **environment)
    first, usage = err.splitlines()
    assert (status, out) == (2, "")
    assert first.startswith("sprawl: ") and line in first
    assert usage.startswith("usage: sprawl ")
    assert list(tmp_path.iterdir()) == []


# Starts


def ended(directory: Path, *argv: str, **environment: str) -> tuple[int, str]:
    """A start that is to be refused: exit status and stderr."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-m", "sprawl.cli.node", "-httpAddr=127.0.0.1", *argv],
        cwd=directory,
        env=kept | {"PYTHONPATH": path} | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Callable[..., RunningNode]]:
    """Starts nodes in one directory; ended with the test."""
    running: list[RunningNode] = []

    def start(*flags: str, **environment: str) -> RunningNode:
        made = RunningNode(tmp_path, *flags, **environment)
        running.append(made)
        return made.start()

    yield start
    for each in running:
        each.close()


def test_a_port_of_something_else_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        status, err = ended(tmp_path, f"-httpPort={port}")
    assert status == 1
    assert err.startswith(f"Failed to bind to port {port}: address already in use; ")
    assert err.count("\n") == 1


def test_a_health_port_that_was_given_and_is_taken_ends_with_1(
    tmp_path: Path, node: Callable[..., RunningNode]
) -> None:
    first = node()
    bind, http = free_ports(2)
    argv = (f"-bindPort={bind}", f"-httpPort={http}", "-bindAddr=127.0.0.1")
    status, err = ended(tmp_path, *argv, SPRAWL_HEALTH_PORT=str(first.health_port))
    owner = first.get("/status")["node_id"][:8]
    assert status == 1
    assert err == (
        f"Failed to bind to port {first.health_port}: address already in use; "
        f"port {first.health_port} is the health port of node {owner} (pid {first.process.pid}); "
        "choose another with SPRAWL_HEALTH_PORT\n"
    )


def test_a_health_port_that_nobody_gave_and_is_taken_is_given_up(
    node: Callable[..., RunningNode],
) -> None:
    # Taken by this test, or already by somebody else on this machine.
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with holder:
        try:
            holder.bind(("127.0.0.1", 8081))
            holder.listen()
        except OSError:
            assert holder.getsockname()[1] == 0
        running = node("-healthPort=")
        assert running.get("/status")["health_port"] is None
        assert running.get("/health")["status"] in ("ok", "warning")
        assert "WARNING Failed to bind to port 8081: address already in use" in running.log
        assert "running without a health port" in running.log


def test_nodes_that_are_given_one_path_get_folders_of_their_own(
    tmp_path: Path, node: Callable[..., RunningNode]
) -> None:
    first = node("-diskStoragePath=shared")
    paths = [first.get("/store")["disk"]["path"]]
    second = node("-diskStoragePath=shared")
    paths.append(second.get("/store")["disk"]["path"])
    assert [Path(path).name for path in paths] == ["shared", str(second.bind_port)]
    ids = {running.get("/status")["node_id"] for running in (first, second)}
    assert len(ids) == 2
    assert f"the node with bindPort {second.bind_port} uses shared/{second.bind_port}" in second.log


def test_a_directory_that_cannot_be_had_is_one_line_with_1(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (bind,) = free_ports(1)
    argv = (f"-bindPort={bind}", "-httpPort=0", "-healthPort=0", "-diskStoragePath=file/data")
    status, err = ended(tmp_path, *argv)
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("cannot use data directory file/data")


def test_an_identity_that_is_given_is_answered_as_written(
    node: Callable[..., RunningNode],
) -> None:
    running = node(SPRAWL_NODE_ID="node1", SPRAWL_DATA_DIR="base")
    assert running.get("/health")["nodeId"] == "node1"
    assert running.get("/store")["disk"]["path"] == "base/disk"
    assert "[Node node1] Became leader for term " in running.log


def test_what_has_no_effect_and_what_is_unknown_is_told_once(
    node: Callable[..., RunningNode],
) -> None:
    running = node(
        SPRAWL_RAFT_PORT="8300",
        POD_NAME="sprawl-0",
        SPRAWL_TEST_MODE="1",
        SPRAWL_NODE_DI="x",
        SPRAWL_SERVICE_HOST="10.0.0.1",
        SPRAWL_PORT_8080_TCP="tcp://10.0.0.1:8080",
        SPRAWL_CLUSTER_SEEDS="",
    )
    log = running.log
    for name in ("SPRAWL_RAFT_PORT", "POD_NAME", "SPRAWL_TEST_MODE"):
        assert log.count(name) == 1
    assert log.count("unknown variable SPRAWL_NODE_DI has no effect") == 1
    assert "SPRAWL_SERVICE_HOST" not in log
    assert "SPRAWL_PORT_8080_TCP" not in log


def test_the_own_address_as_seed_is_harmless(node: Callable[..., RunningNode]) -> None:
    (bind,) = free_ports(1)
    running = node(f"-bindPort={bind}", f"-seeds=127.0.0.1:{bind}")
    assert running.get("/health")["cluster_size"] == 1


def test_topics_are_not_made_by_publishing_when_that_is_off(
    node: Callable[..., RunningNode],
) -> None:
    running = node("-autoCreateTopics=false")
    body = Request(f"{running.url}/publish", b'{"topic":"t","payload":"x"}')
    with pytest.raises(HTTPError) as refused:
        urlopen(body, timeout=5)
    with refused.value as answer:
        assert answer.code == 404


def test_payloads_are_in_the_log_only_when_asked_for(node: Callable[..., RunningNode]) -> None:
    running = node(SPRAWL_LOG_PAYLOADS="true")
    running.post("/subscribe", b'{"topic":"t"}')
    running.post("/publish", b'{"topic":"t","payload":"a\\u001b[31m"}')
    until(
        lambda: "Received message on topic t: a\\x1b[31m\n" in running.log, "line of the delivery"
    )


def test_the_process_keeps_its_title(node: Callable[..., RunningNode]) -> None:
    running = node()
    line = Path(f"/proc/{running.process.pid}/cmdline")
    if not line.exists():
        pytest.skip("no /proc here")
    assert f"-bindPort={running.bind_port}" in line.read_bytes().decode().split("\0")
