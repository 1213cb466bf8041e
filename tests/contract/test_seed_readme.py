"""Every command of the original's README (``seed-readme.md``), with what it answers today.

``COMMANDS`` and ``SETTINGS`` hold each line of its code blocks: what it needs to work, ``NOW`` or
the feature that will bring it, and a check of what happens today. A line in neither fails, and so
does a feature that the README of this project calls finished while its lines are refused here.

Commands are run twice: with the one documented change (``./sprawl`` → ``sprawl``, ``./sprawlctl`` →
``sprawlctl``), and as typed beside links of these names. Ports are substituted as ``typed`` says.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.contract.typed import ROOT, Place, commands_of, with_needs
from tests.unit.log.cloud import servers

pytestmark = pytest.mark.timeout(180)

SEED = Path(__file__).with_name("seed-readme.md").read_text()
PORTS = (8080, 8081, 8087, 8091, 8092, 7946, 7947, 7950)
"""Every port that a command of the page opens or asks; each is substituted."""

NOW = "works now"
NOT_OURS = "not ours: docker, go, git"
FEATURES = {
    "cluster": "Cluster",
    "predictor": "Load predictor",
}
"""What is still needed → how the row of the README's table begins that says when it is there."""

FIRST_NODE = "SPRAWL_HEALTH_PORT=8091 ./sprawl -bindAddr=127.0.0.1 -bindPort=7946 -httpPort=8080"

Check = Callable[[Place, str], None]


def starts(http: int, health: int) -> Check:
    """The node answers on the ports of its command line, publishes, and Ctrl-C ends it."""

    def check(place: Place, command: str) -> None:
        node = place.start_node(command, http)
        assert httpx.get(f"{place.url(health)}/health").json()["status"] in {"ok", "warning"}
        shown = httpx.get(f"{place.url(health)}/metrics")
        assert shown.headers["content-type"].startswith("text/plain")
        assert "\nsprawl_" in shown.text
        assert "router" in httpx.get(f"{place.url(http)}/metrics").json()
        receipt = httpx.post(f"{place.url(http)}/publish", json={"topic": "t", "payload": "x"})
        assert receipt.json()["status"] == "published"
        ended = node.interrupted()
        assert ended.status == 0, ended.stderr
        assert f"HTTP server listening on 0.0.0.0:{place.ports[http]}\n" in ended.stderr

    return check


def exits_2(line: str) -> Check:
    """Refused with one line, before anything is opened or made."""

    def check(place: Place, command: str) -> None:
        ended = place.run(command)
        assert (ended.status, ended.stdout) == (2, "")
        assert ended.stderr == place.substituted(f"sprawl: {line}\n")

    return check


def makes_its_directory(place: Place, command: str) -> None:
    assert place.run(command).status == 0
    assert (place.directory / command.rsplit(maxsplit=1)[-1]).is_dir()


def subscribes(place: Place, command: str) -> None:
    """Not on a terminal, the subscription is made and the command ends."""
    ended = place.run(command)
    assert ended.status == 0, ended.stderr
    line = rf"Subscribed to my-topic on {re.escape(place.url(8080))} \(ID: (\S+)\)\n"
    found = re.fullmatch(line, ended.stdout)
    assert found, ended.stdout
    gone = httpx.delete(f"{place.url(8080)}/subscribe/{found[1]}")
    assert gone.json() == {"id": found[1], "status": "unsubscribed"}


def publishes(place: Place, command: str) -> None:
    ended = place.run(command)
    assert ended.status == 0, ended.stderr
    first, last = ended.stdout.splitlines()
    assert last == "Published 1 messages (0 failures)"
    message = httpx.get(f"{place.url(8080)}/messages/{first.removeprefix('ID: ')}").json()
    assert (message["topic"], message["payload"]) == ("my-topic", "Hello, World!")


def shows_the_store(place: Place, command: str) -> None:
    httpx.post(f"{place.url(8080)}/publish", json={"topic": "stored", "payload": "12345"})
    store = json.loads(place.run(command).stdout)
    assert next(iter(store)) == "storage_type"
    memory = store["memory"]
    assert memory["enabled"]
    assert memory["messages"] == memory["message_count"] >= 1
    assert "stored" in memory["topics"]
    assert [store[tier]["enabled"] for tier in ("disk", "cloud")] == [True, False]


def moves_messages(place: Place, command: str) -> None:
    """The script sees its messages move and reads them back; the ages of the page are hours, so it asks."""
    ended = place.run(command, seconds=150, SPRAWL_URL=place.url(8080))
    assert ended.status == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "OK: every message moved and stayed readable"


def is_not_available(place: Place, command: str) -> None:
    """501 in the original's shape, never a made-up prediction."""
    answer = json.loads(place.run(command).stdout)
    told = answer["status"], answer["code"], answer["success"], answer["retryable"]
    assert told == (501, "not_available", False, False)
    asked = command.split("localhost:8080")[1].split("?", maxsplit=1)[0]
    assert asked in answer["error"]


def _ai(resource: str) -> str:
    return f"curl http://localhost:8080/ai/predictions?resource={resource} | jq"


_NODE = "./sprawl -bindAddr=127.0.0.1 -bindPort=7946 -httpPort=8080"
_DISK = (
    "SPRAWL_HEALTH_PORT=8091 SPRAWL_STORAGE_DISK_ENABLED=true "
    "SPRAWL_STORAGE_DISK_PATH=./data/node1/disk"
)

DISK_NODE = f"{_DISK} {_NODE}"
ALL_TIERS = (
    "MINIO_ENDPOINT=http://localhost:9000 MINIO_ACCESS_KEY=minioadmin MINIO_SECRET_KEY=minioadmin "
    f"{_DISK} SPRAWL_STORAGE_CLOUD_ENABLED=true SPRAWL_STORAGE_CLOUD_BUCKET=sprawl-messages "
    f"SPRAWL_STORAGE_MEMORY_TO_DISK_AGE=3600 SPRAWL_STORAGE_DISK_TO_CLOUD_AGE=86400 {_NODE}"
)

COMMANDS: dict[str, tuple[str, Check | None]] = {
    # Installation.
    "git clone https://github.com/yourusername/sprawl.git": (NOT_OURS, None),
    "cd sprawl": (NOT_OURS, None),
    "go build -o sprawl cmd/sprawl/main.go": (NOT_OURS, None),
    "go build -o sprawlctl cmd/sprawlctl/main.go": (NOT_OURS, None),
    # Running a node with tiered storage.
    "mkdir -p data/node1/disk": (NOW, makes_its_directory),
    DISK_NODE: (NOW, starts(8080, 8091)),
    "docker run -d --name minio -p 9000:9000 -p 9001:9001 "
    '-e "MINIO_ROOT_USER=minioadmin" -e "MINIO_ROOT_PASSWORD=minioadmin" '
    'minio/minio server /data --console-address ":9001"': (NOT_OURS, None),
    # Without the server of the line before it the tier is degraded and the node serves.
    ALL_TIERS: (NOW, starts(8080, 8091)),
    # Basic usage.
    "./sprawlctl -n http://localhost:8080 subscribe -t my-topic": (NOW, subscribes),
    './sprawlctl -n http://localhost:8080 publish -t my-topic -m "Hello, World!"': (NOW, publishes),
    "curl http://localhost:8080/store | jq": (NOW, shows_the_store),
    "./scripts/verify-tiering.sh": (NOW, moves_messages),
    _ai("cpu"): ("predictor", is_not_available),
    "curl -X POST http://localhost:8080/ai/train?resource=cpu,memory,message_rate | jq": (
        "predictor",
        is_not_available,
    ),
    # Port configuration.
    "SPRAWL_HEALTH_PORT=8091 ./sprawl -bindAddr=127.0.0.1 -bindPort=7950 -httpPort=8087": (
        NOW,
        starts(8087, 8091),
    ),
    # Predictions.
    _ai("memory"): ("predictor", is_not_available),
    _ai("message_rate"): ("predictor", is_not_available),
    _ai("network"): ("predictor", is_not_available),
    # Running a cluster.
    FIRST_NODE: (NOW, starts(8080, 8091)),
    "SPRAWL_HEALTH_PORT=8092 ./sprawl -bindAddr=127.0.0.1 -bindPort=7947 -httpPort=8081 "
    "-seeds=127.0.0.1:7946": (
        "cluster",
        exits_2("-seeds=127.0.0.1:7946: joining a cluster is not in this version; leave it out"),
    ),
}
RUN = [command for command, (_, check) in COMMANDS.items() if check is not None]


def is_shown(line: str) -> Check:
    """``-printConfig`` shows every value that the page gives, with the variable it came from."""

    def check(place: Place, command: str) -> None:
        name, _, values = command.partition("=")
        for value in values.split("|"):
            ended = place.run(f"{name}={value} sprawl -printConfig")
            assert ended.status == 0, ended.stderr
            shown = f"{line.format(value)}  # environment {name}"
            assert shown in ended.stdout.splitlines(), ended.stdout

    return check


def has_default(line: str) -> Check:
    """Named by ``sprawl -h``, and its default is the page's."""

    def check(place: Place, command: str) -> None:
        name = command.split(maxsplit=1)[0]
        assert re.search(rf"(?<!\S){name}(?![-\w])", place.run("sprawl -h").stdout)
        assert f"{line}  # default" in place.run("sprawl -printConfig").stdout.splitlines()

    return check


SETTINGS: dict[str, tuple[str, Check]] = {
    # A setting that asks for a tier is accepted as a setting; asking for the tier is refused.
    "SPRAWL_STORAGE_DISK_ENABLED=true|false": (NOW, is_shown("diskEnabled = {}")),
    "SPRAWL_STORAGE_CLOUD_ENABLED=true|false": (NOW, is_shown("cloudEnabled = {}")),
    "SPRAWL_STORAGE_DISK_PATH=/path/to/rocksdb": (NOW, is_shown('diskStoragePath = "{}"')),
    "MINIO_ENDPOINT=http://minio:9000": (NOW, is_shown('s3Endpoint = "{}"')),
    "MINIO_ACCESS_KEY=your-access-key": (NOW, is_shown('# s3AccessKey = "***"')),
    "MINIO_SECRET_KEY=your-secret-key": (NOW, is_shown('# s3SecretKey = "***"')),
    "SPRAWL_STORAGE_MEMORY_MAX_SIZE=104857600": (NOW, is_shown("memoryMaxSize = {}")),
    "SPRAWL_STORAGE_MEMORY_TO_DISK_AGE=3600": (NOW, is_shown("memoryToDiskAge = {}")),
    "SPRAWL_STORAGE_DISK_TO_CLOUD_AGE=86400": (NOW, is_shown("diskToCloudAge = {}")),
    "-bindAddr string": (NOW, has_default('bindAddr = "0.0.0.0"')),
    "-bindPort int": (NOW, has_default("bindPort = 7946")),
    "-httpAddr string": (NOW, has_default('httpAddr = "0.0.0.0"')),
    "-httpPort int": (NOW, has_default("httpPort = 8080")),
    "-seeds string": ("cluster", has_default('# seeds = ""')),
    "SPRAWL_HEALTH_PORT": (NOW, has_default("healthPort = 8081")),
}


def test_every_command_and_setting_of_the_page_is_in_one_table() -> None:
    assert not COMMANDS.keys() & SETTINGS.keys()
    assert sorted(commands_of(SEED)) == sorted([*COMMANDS, *SETTINGS])


def test_every_port_of_a_command_that_is_run_is_substituted() -> None:
    # An endpoint that is only named, two ages, and the first part of an address.
    others = {"9000", "3600", "86400", "127"}
    numbers = {n for command in RUN for n in re.findall(r"\b\d{3,}\b", command)}
    assert numbers - others == {str(port) for port in PORTS}


def test_what_is_refused_here_is_planned_in_the_readme() -> None:
    """Whoever finishes a feature finds here the commands that now have to work."""
    readme = (ROOT / "README.md").read_text()
    needed = {needs for needs, _ in (*COMMANDS.values(), *SETTINGS.values())}
    assert needed == {NOW, NOT_OURS, *FEATURES}
    for feature, row in FEATURES.items():
        (state,) = re.findall(rf"^\| {re.escape(row)}.*\| (.*) \|$", readme, re.MULTILINE)
        assert state == "planned", feature


def spelled(command: str, spelling: str) -> str:
    """The command with the documented change, or as typed."""
    if spelling == "as typed":
        return command
    return re.sub(r"(?<!\S)\./(sprawl|sprawlctl)(?!\S)", r"\1", command)


@pytest.fixture(scope="module", params=["changed", "as typed"])
def spelling(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(tmp_path: Path, spelling: str) -> Iterator[Place]:
    place = Place(tmp_path, PORTS, linked_in=None if spelling == "changed" else ".")
    yield place
    place.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, spelling: str) -> Iterator[Place]:
    """A place in which the page's first node runs."""
    linked_in = None if spelling == "changed" else "."
    place = Place(tmp_path_factory.mktemp("served"), PORTS, linked_in=linked_in)
    try:
        place.start_node(spelled(FIRST_NODE, spelling), 8080)
        yield place
    finally:
        place.close()


@pytest.mark.needs("minio", "curl")
def test_all_tiers_go_on_with_what_the_disk_tier_holds(
    place: Place, spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's two starts in one directory, the first node stopped between them, and its script."""
    monkeypatch.setenv("MINIO_ROOT_USER", "minioadmin")
    monkeypatch.setenv("MINIO_ROOT_PASSWORD", "minioadmin")
    node = place.start_node(spelled(DISK_NODE, spelling), 8080)
    message = {"topic": "t", "payload": "from before"}
    sent = httpx.post(f"{place.url(8080)}/publish", json=message).json()
    assert node.interrupted().status == 0
    with servers.minio(tmp_path / "minio") as minio:
        command = spelled(ALL_TIERS, spelling).replace("http://localhost:9000", minio.shown)
        node = place.start_node(command, 8080)
        moves_messages(place, "./scripts/verify-tiering.sh")
        store = httpx.get(f"{place.url(8080)}/store").json()
        assert store["storage_type"] == "s3"
        assert (store["cloud"]["messages"], store["cloud"]["degraded"]) == (21, False)
        found = httpx.get(f"{place.url(8080)}/messages/{sent['id']}").json()
        assert (found["payload"], found["storage_tier"]) == ("from before", "cloud")
        assert node.interrupted().status == 0


def _asks_a_node(command: str) -> bool:
    return "localhost:8080" in command or command.startswith("./scripts/")


@pytest.mark.parametrize("command", with_needs(c for c in RUN if not _asks_a_node(c)))
def test_command_in_an_empty_place(place: Place, spelling: str, command: str) -> None:
    check = COMMANDS[command][1]
    assert check is not None
    check(place, spelled(command, spelling))


@pytest.mark.parametrize("command", with_needs(c for c in RUN if _asks_a_node(c)))
def test_command_beside_a_node(served: Place, spelling: str, command: str) -> None:
    check = COMMANDS[command][1]
    assert check is not None
    check(served, spelled(command, spelling))


@pytest.mark.parametrize("line", SETTINGS)
def test_setting(tmp_path: Path, line: str) -> None:
    place = Place(tmp_path, PORTS)
    SETTINGS[line][1](place, line)
    assert [found.name for found in place.directory.iterdir()] == ["scripts"]


def test_subscriber_on_a_terminal_prints_what_the_publisher_sends(
    served: Place, spelling: str
) -> None:
    """The page's two lines of basic usage, as two people type them in two terminals."""
    subscribe = spelled("./sprawlctl -n http://localhost:8080 subscribe -t two-terminals", spelling)
    publish = spelled("./sprawlctl -n http://localhost:8080 publish -t two-terminals", spelling)
    terminal = served.start_on_terminal(subscribe)
    terminal.until_shown("Subscribed to two-terminals on ")
    assert served.run(f'{publish} -m "Hello, World!"').status == 0
    terminal.until_shown("Hello, World!")
    assert terminal.interrupted().status == 130
