"""A node that stops: what its clients and whoever watches it see until the end."""

import errno
import signal
import socket
from http.client import HTTPConnection

import pytest

from tests.contract.outside.conftest import StartNode
from tests.contract.outside.running_node import RunningNode, until
from tests.contract.outside.wire import Wire
from tests.contract.wire import json_of, request

ALIAS_BODY = b'{"topic":"t","payload":"x"}'


def health(node: RunningNode, path: str) -> int:
    """The status of a GET on a new connection to the health port."""
    connection = HTTPConnection("127.0.0.1", node.health_port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def is_closed(port: int) -> bool:
    """Whether a new connection is refused."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


@pytest.mark.parametrize(
    ("target", "body"), [("/publish", ALIAS_BODY), ("/v1/topics/t/messages", b"payload")]
)
def test_a_publish_that_completes_while_the_node_drains_is_503(
    start_node: StartNode, target: str, body: bytes
) -> None:
    node = start_node()
    whole = request("POST", target, body)
    with Wire(node.port) as wire:
        # The request has begun, so its connection is not an idle one.
        assert wire.send(whole[:-3])
        until(lambda: node.get("/metrics"), "the begun request lies in the node")
        node.process.send_signal(signal.SIGTERM)
        until(lambda: is_closed(node.port), "nothing new is accepted")
        assert wire.send(whole[-3:])
        answer = wire.answer()
        assert answer is not None
        assert (answer.status, answer.headers.get("retry-after")) == (503, "1"), answer
        told = json_of(answer)
        assert (told["code"], told["retryable"], told["outcome"]) == ("draining", True, "none")
    until(lambda: node.process.poll() is not None, "the end")
    assert node.process.returncode == 0


def test_the_health_port_answers_until_the_end(start_node: StartNode) -> None:
    node = start_node()
    assert health(node, "/ready") == 200
    with Wire(node.port) as wire:
        assert wire.send(request("POST", "/v1/topics/t/messages", b"payload")[:-3])
        until(lambda: node.get("/metrics"), "the begun request lies in the node")
        node.process.send_signal(signal.SIGTERM)
        until(lambda: health(node, "/ready") == 503, "draining")
        for _ in range(5):
            assert (health(node, "/ready"), health(node, "/health")) == (503, 200)
        assert node.process.poll() is None
    until(lambda: node.process.poll() is not None, "the end")
    assert node.process.returncode == 0
    with pytest.raises(ConnectionRefusedError):
        health(node, "/health")


def test_an_open_connection_to_the_health_port_does_not_hold_the_end(start_node: StartNode) -> None:
    node = start_node()
    with Wire(node.health_port) as wire:
        assert wire.send(b"GET /health HTTP/1.1\r\nHost: node\r\n\r\n")
        assert wire.answer() is not None
        assert node.stop(timeout_s=5) == 0
