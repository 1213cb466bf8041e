"""The README on a real node: commands, the client snippet, the table of settings, links.

``COMMANDS`` holds each line of its shell blocks with a check, or with the reason why it is proven
elsewhere. A line that is not there fails. Ports are substituted as ``typed`` says.
"""

import json
import re
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from sprawl.settings.table import TABLE
from tests.contract.typed import ROOT, Place, Running, blocks_of, commands_of, with_needs

pytestmark = pytest.mark.timeout(180)

README = (ROOT / "README.md").read_text()
PORTS = (8080, 8081, 7946)
"""The default ports of a node."""

NODE = "sprawl -httpPort=8080"
ALL_TIERS = (
    "MINIO_ENDPOINT=file://$PWD/objects SPRAWL_STORAGE_CLOUD_ENABLED=true "
    "SPRAWL_STORAGE_MEMORY_TO_DISK_AGE=5 SPRAWL_STORAGE_DISK_TO_CLOUD_AGE=10 "
    ".venv/bin/sprawl -httpPort=8080"
)
FOLLOW = "scripts/verify-tiering.sh"
STATUS = ".venv/bin/sprawlctl tier status"
VERIFY = ".venv/bin/sprawlctl tier verify --from file://$PWD/objects/sprawl-messages"

Check = Callable[[Place, str], None]


def _defaults(place: Place) -> dict[str, str]:
    """Variables for the ports that a command leaves at their defaults."""
    http, health, bind = (str(place.ports[port]) for port in PORTS)
    return {
        "SPRAWL_HTTP_PORT": http,
        "SPRAWL_HEALTH_PORT": health,
        "SPRAWL_BIND_PORT": bind,
        "SPRAWL_HTTP_ADDR": "127.0.0.1",
        "SPRAWL_BIND_ADDR": "127.0.0.1",
        "SPRAWL_DATA_DIR": str(place.directory / "data"),
    }


def _publish(place: Place, payload: str) -> None:
    url = f"{place.url(8080)}/v1/topics/my-topic/messages"
    assert httpx.post(url, content=payload).is_success


def publishes_by_curl(place: Place, command: str) -> None:
    receipt = json.loads(place.run(command).stdout)
    assert receipt["durability"]["reached"] == "disk"
    message = httpx.get(f"{place.url(8080)}/messages/{receipt['id']}").json()
    assert (message["topic"], message["payload"]) == ("my-topic", "Hello, World!")


def reads_from_the_first_message(place: Place, command: str) -> None:
    _publish(place, "to be read")
    answer = json.loads(place.run(command).stdout)
    assert "to be read" in [message["payload"] for message in answer["messages"]]
    assert answer["cursor"]


def _follows(reader: Running, place: Place) -> None:
    """What is published from now on is printed, until Ctrl-C."""
    payload = f"while it reads {uuid.uuid4()}"
    _publish(place, payload)
    reader.until(lambda: payload in reader.stdout, "the message")
    assert reader.interrupted().status in {130, -2}


def streams_events(place: Place, command: str) -> None:
    _publish(place, "from before")
    reader = place.start(command)
    reader.until(lambda: '"payload":"from before"' in reader.stdout, "the earlier message")
    assert reader.stdout.startswith("id: ")
    _follows(reader, place)


def follows_a_topic(place: Place, command: str) -> None:
    reader = place.start(command)
    reader.until(lambda: "Subscribed to my-topic on " in reader.stdout, "its first line")
    _follows(reader, place)


def publishes_by_sprawlctl(place: Place, command: str) -> None:
    ended = place.run(command)
    assert ended.status == 0, ended.stderr
    first, last = ended.stdout.splitlines()
    assert last == "Published 1 messages (0 failures)"
    message = httpx.get(f"{place.url(8080)}/messages/{first.removeprefix('ID: ')}").json()
    assert message["payload"] == "Hello, World!"


def starts(place: Place, command: str) -> None:
    node = place.start_node(command, 8080, **_defaults(place))
    assert httpx.get(f"{place.url(8081)}/ready").status_code == 200
    assert node.interrupted().status == 0


BY_MAKE_RUN = "test_make_run_becomes_a_node_whose_closing_commands_work"
BY_ITSELF = "runs this test"
BY_WHEEL = "scripts/wheel.sh installs the wheel and runs scripts/smoke.sh"
BY_TIERS = "test_a_message_passes_all_three_tiers"
BY_IMAGE = "scripts/image.sh builds and runs the image"

COMMANDS: dict[str, Check | str] = {
    "make run": BY_MAKE_RUN,
    "curl -d 'Hello, World!' http://localhost:8080/v1/topics/my-topic/messages": publishes_by_curl,
    "curl http://localhost:8080/v1/topics/my-topic/messages": reads_from_the_first_message,
    "curl -N -H 'Accept: text/event-stream' http://localhost:8080/v1/topics/my-topic/messages": (
        streams_events
    ),
    ".venv/bin/sprawlctl subscribe -t my-topic --follow": follows_a_topic,
    "make test": BY_ITSELF,
    ALL_TIERS: BY_TIERS,
    FOLLOW: BY_TIERS,
    STATUS: BY_TIERS,
    VERIFY: BY_TIERS,
    "pip install .": BY_WHEEL,
    NODE: starts,
    'sprawlctl publish -t my-topic -m "Hello, World!"': publishes_by_sprawlctl,
    "docker build -t sprawl .": BY_IMAGE,
    "docker run --rm -p 8080:8080 -p 8081:8081 -v sprawl-data:/data sprawl": BY_IMAGE,
}
RUN = [command for command, check in COMMANDS.items() if not isinstance(check, str)]


def test_every_command_of_the_readme_is_in_the_table() -> None:
    assert sorted(commands_of(README)) == sorted(COMMANDS)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place with a node, in which ``.venv/bin`` holds the commands, as in a checkout."""
    place = Place(tmp_path_factory.mktemp("served"), PORTS)
    place.link_programs(place.directory / ".venv/bin")
    try:
        place.start_node(NODE, 8080, **_defaults(place))
        yield place
    finally:
        place.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path, PORTS)
    yield place
    place.close()


@pytest.mark.parametrize("command", with_needs(command for command in RUN if command != NODE))
def test_command_beside_a_node(served: Place, command: str) -> None:
    check = COMMANDS[command]
    assert not isinstance(check, str)
    check(served, command)


def test_node_by_the_installed_command(place: Place) -> None:
    starts(place, NODE)


@pytest.mark.needs("curl")
def test_a_message_passes_all_three_tiers(place: Place) -> None:
    """The block of the README with ages of 5 and 10 s, over a folder."""
    place.link_programs(place.directory / ".venv/bin")
    node = place.start_node(ALL_TIERS, 8080, **_defaults(place))
    followed = place.run(FOLLOW, seconds=120, SPRAWL_URL=place.url(8080))
    assert followed.status == 0, followed.stderr
    assert "20 of 20 messages were seen in the cloud tier" in followed.stdout
    assert "waiting until they are 5 s old" in followed.stdout
    assert followed.stdout.splitlines()[-1] == "OK: every message moved and stayed readable"
    head, *rows = place.run(STATUS).stdout.splitlines()
    assert head.startswith("TIER")
    assert [row.split()[0] for row in rows] == ["memory", "disk", "cloud"]
    assert node.interrupted().status == 0
    verified = place.run(VERIFY)
    assert verified.status == 0, verified.stderr
    assert re.search(r"^records +20$", verified.stdout, re.MULTILINE)


def test_client_snippet_prints_the_id_of_its_message(served: Place) -> None:
    (snippet,) = blocks_of(README, "python")
    program = served.directory / "snippet.py"
    program.write_text(served.substituted(snippet))
    ended = served.run(f"{sys.executable} snippet.py", PYTHONPATH=str(ROOT))
    assert ended.status == 0, ended.stderr
    message = httpx.get(f"{served.url(8080)}/messages/{ended.stdout.strip()}").json()
    assert message["payload"] == "Hello, World!"


@pytest.mark.needs("make-setup")
def test_make_run_becomes_a_node_whose_closing_commands_work(place: Place) -> None:
    """In a terminal; what it says to try is typed in another one, elsewhere."""
    terminal = place.start_on_terminal(f"cd {ROOT} && make run", **_defaults(place))
    shown = terminal.until_shown("/v1/topics/my-topic/messages\n")
    subscribe, publish, read = shown.split("  try: ")[1].splitlines()
    subscribed = place.run(subscribe)
    assert subscribed.stdout.startswith("Subscribed to my-topic on "), subscribed.stderr
    assert place.run(publish).status == 0
    (message,) = json.loads(place.run(read).stdout)["messages"]
    assert message["payload"] == "Hello, World!"
    # make ends by the signal, its node by a drain, and neither complains.
    assert terminal.interrupted().status in {130, -2}
    ended = terminal.shown()
    assert "node stopped" in ended
    assert "***" not in ended


def test_table_of_settings_has_their_names_and_defaults() -> None:
    rows = re.findall(r"^\| (`.*?`) \| (\d+) \|", README, re.MULTILINE)
    assert len(rows) == 4
    by_name = {f"-{row.flag}": row for row in TABLE.values()}
    by_name |= {variable: row for row in TABLE.values() for variable in row.variables}
    for names, default in rows:
        for name in re.findall(r"`(.+?)`", names):
            assert str(by_name[name].default) == default, name


def test_links_lead_to_files() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
