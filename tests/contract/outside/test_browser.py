"""The streams before a real browser: its own EventSource and WebSocket, on the node's own origin.

The page is the node's ``/openapi.json``; what runs on it is written here. One browser for the module.
"""

import gc
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.outside.relay import Relay
from tests.contract.outside.running_node import RunningNode, until
from tests.needs import chromedriver, chromium

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = [
    pytest.mark.needs("chromium", "chromedriver", "selenium"),
    pytest.mark.timeout(120),
    # Selenium leaves sockets to its driver unclosed; they are collected at any time.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-dev-shm-usage "
    "--disable-background-networking --disable-component-update --disable-sync --mute-audio"
)

EVENTS = """
const done = arguments[arguments.length - 1];
const [topic, wanted] = arguments;
const source = new EventSource(`/v1/topics/${topic}/messages?from=earliest`);
const seen = [];
source.onmessage = event => {
  seen.push([event.lastEventId, JSON.parse(event.data).payload]);
  if (seen.length === wanted) { source.close(); done(seen); }
};
"""

OPEN_EVENTS = """
window.seen = []; window.opened = 0; window.failed = 0;
window.source = new EventSource(`/v1/topics/${arguments[0]}/messages?from=earliest`);
source.onopen = () => { window.opened += 1; };
source.onerror = () => { window.failed += 1; };
source.onmessage = event => seen.push(JSON.parse(event.data).payload);
"""

SOCKET = """
const done = arguments[arguments.length - 1];
const [topic, count] = arguments;
const socket = new WebSocket(
  `ws://${location.host}/v1/topics/${topic}/messages?from=earliest`, ["sprawl.json"]);
const seen = [];
const log = {grants: 0, beforeCredit: 0, receipts: []};
let credit = 0;
const grant = n => { credit += n; log.grants += 1; socket.send(JSON.stringify({credit: {messages: n}})); };
socket.onopen = () => {
  log.protocol = socket.protocol;
  log.extensions = socket.extensions;
  socket.send(JSON.stringify({publish: {payload: "from the page"}}));
};
socket.onmessage = event => {
  const message = JSON.parse(event.data);
  if (message.receipt) { log.receipts.push(message.receipt.offset); grant(10); return; }
  if (credit === 0) log.beforeCredit += 1;
  credit -= 1;
  seen.push(message.payload);
  if (seen.length === count) { socket.close(1000); return; }
  if (credit === 0) setTimeout(() => grant(10), 1);
};
socket.onclose = event => done({seen, ...log, code: event.code, wasClean: event.wasClean});
socket.onerror = () => done({error: true, seen, ...log});
"""

FOREIGN = """
const done = arguments[arguments.length - 1];
const origin = arguments[0];
const socket = new WebSocket(origin.replace("http", "ws") + "/v1/topics/own/messages");
socket.onopen = () => done("opened");
socket.onerror = () => fetch(origin + "/v1/topics/own/messages", {method: "POST", body: "x", mode: "no-cors"})
  .then(() => fetch(origin + "/v1/topics/own/messages").then(() => done("read"), () => done("refused")));
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Chrome"]:
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    binary, driver = chromium(), chromedriver()
    assert binary is not None and driver is not None
    options = ChromeOptions()
    options.binary_location = binary
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('browser')}")
    opened = Chrome(options=options, service=Service(executable_path=driver))
    opened.set_script_timeout(30)
    yield opened
    opened.quit()
    del opened
    gc.collect()


def on_page(browser: "Chrome", node: RunningNode) -> None:
    browser.get(f"{node.url}/openapi.json")
    assert '"openapi"' in browser.page_source


def test_event_source_reads_a_topic_from_its_beginning(
    browser: "Chrome", node: RunningNode
) -> None:
    node.fill("read", 500, "zß ")
    on_page(browser, node)
    seen: list[list[str]] = browser.execute_async_script(EVENTS, "read", 500)
    assert [payload for _, payload in seen] == [f"zß {n}" for n in range(500)]
    assert len({last_id for last_id, _ in seen}) == 500


def test_event_source_comes_back_where_it_was(browser: "Chrome", node: RunningNode) -> None:
    """The way to the node breaks; the browser returns with Last-Event-ID and misses nothing."""
    node.fill("again", 20)
    with Relay(node.port) as relay:
        browser.get(f"http://127.0.0.1:{relay.port}/openapi.json")
        browser.execute_script(OPEN_EVENTS, "again")
        until(lambda: len(seen_by(browser)) == 20, "the first 20 events", 20)
        relay.drop()
        node.fill("again", 20, "y")
        until(lambda: len(seen_by(browser)) >= 40, "the events after the break", 30)
        assert seen_by(browser) == [f"x{n}" for n in range(20)] + [f"y{n}" for n in range(20)]
        opened, failed = browser.execute_script("return [window.opened, window.failed]")
        assert opened == 2
        assert failed >= 1
        browser.execute_script("source.close()")
        browser.get("about:blank")


def seen_by(browser: "Chrome") -> list[str]:
    seen: list[str] = browser.execute_script("return window.seen")
    return seen


def test_web_socket_publishes_and_reads_with_credit(browser: "Chrome", node: RunningNode) -> None:
    node.fill("socket", 99)
    on_page(browser, node)
    result: dict[str, Any] = browser.execute_async_script(SOCKET, "socket", 100)
    assert "error" not in result, json.dumps(result)[:500]
    assert result["seen"] == [f"x{n}" for n in range(99)] + ["from the page"]
    assert result["beforeCredit"] == 0
    assert result["grants"] == 10
    assert result["receipts"] == [99]
    assert result["protocol"] == "sprawl.json"
    assert "permessage-deflate" in result["extensions"]
    assert (result["code"], result["wasClean"]) == (1000, True)


def test_a_page_of_another_site_changes_and_reads_nothing(
    browser: "Chrome", node: RunningNode
) -> None:
    """The page comes from ``localhost``, the node is asked as ``127.0.0.1``: another origin."""
    node.fill("own", 3)
    browser.get(f"http://localhost:{node.port}/openapi.json")
    assert browser.execute_async_script(FOREIGN, node.url) == "refused"
    assert len(node.get("/v1/topics/own/messages")["messages"]) == 3
