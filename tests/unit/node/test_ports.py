"""Ports: two nodes collide at once, and the refusal names the holder."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sprawl.errors import StartError
from sprawl.node.ports import Ports, take_ports
from sprawl.settings import load, parse_flags
from tests.unit.node.free_ports import free_ports


def taken(bind: int, http: int, health: int | None) -> Ports:
    argv = [f"-bindPort={bind}", f"-httpPort={http}"]
    argv += ["-httpAddr=127.0.0.1", "-bindAddr=127.0.0.1"]
    argv += [] if health is None else [f"-healthPort={health}"]
    return take_ports(load(parse_flags(argv), {}).settings)


def refusal(bind: int, http: int, health: int) -> str:
    with pytest.raises(StartError) as caught:
        taken(bind, http, health).close()
    assert "\n" not in caught.value.detail
    return caught.value.detail


@contextmanager
def answering(port: int, status: dict[str, object]) -> Iterator[None]:
    """A process that answers every request on the port with this document."""
    server = socket.create_server(("127.0.0.1", port))
    body = json.dumps(status).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)

    def serve() -> None:
        while True:
            try:
                link, _ = server.accept()
            except OSError:
                return
            with link:
                link.recv(65_536)
                link.sendall(head + body)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)


def test_ports_listen_and_are_free_again_after_close() -> None:
    bind, http, health = free_ports(3)
    for _ in range(2):
        ports = taken(bind, http, health)
        assert (ports.http_port, ports.health_port, ports.warnings) == (http, health, [])
        socket.create_connection(("127.0.0.1", http), 1).close()
        ports.close()


def test_the_system_may_choose_the_http_port() -> None:
    (bind,) = free_ports(1)
    ports = taken(bind, 0, 0)
    assert ports.http_port > 0
    assert ports.health_port == 0
    ports.close()


def test_the_cluster_port_is_taken_on_udp_and_tcp() -> None:
    bind, http, other = free_ports(3)
    ports = taken(bind, http, 0)
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as rival, pytest.raises(OSError, match="in use"):
            rival.bind(("127.0.0.1", bind))
    line = refusal(bind, other, 0)
    assert line.startswith(f"Failed to bind to port {bind}: address already in use; ")
    assert line.endswith("choose another with -bindPort")
    ports.close()


def test_a_refusal_gives_back_what_was_bound() -> None:
    bind, http, health = free_ports(3)
    with socket.create_server(("127.0.0.1", health)):
        refusal(bind, http, health)
    taken(bind, http, health).close()


@pytest.mark.parametrize("role", ["HTTP", "health", "cluster"])
def test_a_port_held_by_a_node_names_it(role: str) -> None:
    bind, _, port = free_ports(3)
    names = {"HTTP": "http_port", "health": "health_port", "cluster": "bind_port"}
    status: dict[str, object] = {"node_id": "ab12cd34-and-more", names[role]: port}
    with answering(port, status):
        line = refusal(bind, port, 0)
    assert line == (
        f"Failed to bind to port {port}: address already in use; port {port} is the {role} port "
        f"of node ab12cd34 (pid {os.getpid()}); choose another with -httpPort"
    )


def test_what_a_foreign_process_answers_cannot_reach_the_terminal() -> None:
    bind, _, port = free_ports(3)
    with answering(port, {"node_id": "\x1b[31m\nx", "http_port": port}):
        line = refusal(bind, port, 0)
    assert "\x1b" not in line
    assert "\n" not in line


def test_a_port_held_by_something_else_names_the_process() -> None:
    bind, _, port = free_ports(3)
    with socket.create_server(("127.0.0.1", port)):
        line = refusal(bind, port, 0)
    assert f"it is held by process {os.getpid()} (" in line
    assert line.endswith("choose another with -httpPort")


def test_a_health_port_that_nobody_asked_for_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    bind, http = free_ports(2)
    settings = load(
        parse_flags([f"-bindPort={bind}", f"-httpPort={http}", "-httpAddr=127.0.0.1"]), {}
    ).settings
    with socket.create_server(("127.0.0.1", 0)) as rival:
        monkeypatch.setitem(vars(settings), "health_port", rival.getsockname()[1])
        ports = take_ports(settings)
    (warning,) = ports.warnings
    assert "running without a health port" in warning
    assert ports.health_port == 0
    ports.close()


def test_the_health_port_may_not_be_asked_for_on_the_http_port() -> None:
    bind, http = free_ports(2)
    assert "it is this node's HTTP port" in refusal(bind, http, http)


def test_the_default_health_port_makes_way_for_the_http_port() -> None:
    (bind,) = free_ports(1)
    settings = load(parse_flags([f"-bindPort={bind}", "-httpPort=8081"]), {}).settings
    try:
        ports = take_ports(settings)
    except StartError:
        pytest.skip("port 8081 is taken on this machine")
    assert ports.http_port == 8081
    assert "it is this node's HTTP port; running without a health port" in ports.warnings[0]
    ports.close()


def test_an_address_of_another_machine_is_refused_with_the_flag() -> None:
    (bind,) = free_ports(1)
    settings = load(parse_flags([f"-bindPort={bind}", "-httpAddr=192.0.2.1"]), {}).settings
    with pytest.raises(StartError, match=r"192\.0\.2\.1 port 8080: .*; -httpAddr must name"):
        take_ports(settings)


def test_a_name_that_is_no_address_is_refused_with_the_flag() -> None:
    (bind,) = free_ports(1)
    settings = load(parse_flags([f"-bindPort={bind}", "-httpAddr=no.such.invalid"]), {}).settings
    with pytest.raises(StartError, match=r"Failed to bind to no\.such\.invalid: .*-httpAddr"):
        take_ports(settings)
