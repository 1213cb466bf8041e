"""The node's ports: taken before anything else starts, so that two nodes collide at once.

In: settings. Out: ``Ports`` with bound sockets (HTTP and health ones listening). Raises
``StartError`` whose detail is the one line the user sees; a port in use names its holder when that
is a node on this host. Invariants: the cluster port is bound on UDP and TCP without address reuse
and nothing reads it while there is no cluster; a health port that nobody asked for is given up
with a warning.
"""

import errno
import socket
from dataclasses import dataclass, field
from typing import Final

from sprawl.errors import StartError
from sprawl.limits import LISTEN_BACKLOG_MAX
from sprawl.node.port_owner import owner_line
from sprawl.settings import Settings


@dataclass(slots=True)
class Ports:
    """The bound sockets of a node; ``close`` gives all back."""

    http: list[socket.socket] = field(default_factory=list)
    health: list[socket.socket] = field(default_factory=list)
    cluster: list[socket.socket] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def http_port(self) -> int:
        """The real HTTP port, also when the system chose it."""
        return int(self.http[0].getsockname()[1])

    @property
    def health_port(self) -> int:
        """The health port, 0 without one."""
        return int(self.health[0].getsockname()[1]) if self.health else 0

    def close(self) -> None:
        """Closes every socket that no server has closed already."""
        for held in (*self.http, *self.health, *self.cluster):
            held.close()


_FLAGS: Final = {"HTTP": "-httpPort", "health": "SPRAWL_HEALTH_PORT", "cluster": "-bindPort"}
_ADDRESS_FLAGS: Final = {"HTTP": "-httpAddr", "health": "-httpAddr", "cluster": "-bindAddr"}


def take_ports(settings: Settings) -> Ports:
    """Binds HTTP, cluster and health ports, in this order; on a refusal nothing stays bound."""
    ports = Ports()
    try:
        ports.http = _listen("HTTP", settings.http_addr, settings.http_port)
        ports.cluster = _reserve(settings.bind_addr, settings.bind_port)
        _take_health(ports, settings)
    except BaseException:
        ports.close()
        raise
    return ports


def _take_health(ports: Ports, settings: Settings) -> None:
    port = settings.health_port
    if port == 0:
        return
    is_given = settings.is_given("health_port")
    own = {ports.http_port: "HTTP", settings.bind_port: "cluster"}.get(port)
    try:
        if own is None:
            ports.health = _listen("health", settings.http_addr, port, asks_owner=is_given)
            return
        refusal = _own_port(port, own)
    except StartError as error:
        refusal = error
    if is_given:
        raise refusal
    ports.warnings.append(
        f"{refusal.detail}; running without a health port, "
        f"/health and /metrics are on port {ports.http_port}"
    )


def _own_port(port: int, role: str) -> StartError:
    return StartError(
        f"Failed to bind to port {port}: address already in use; it is this node's {role} port"
    )


def _listen(role: str, host: str, port: int, *, asks_owner: bool = True) -> list[socket.socket]:
    """Listening, non-blocking TCP sockets on every address that ``host`` stands for."""
    sockets: list[socket.socket] = []
    try:
        for family, address in _addresses(role, host, port):
            held = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(held)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _bind(held, family, address)
            held.listen(LISTEN_BACKLOG_MAX)
            held.setblocking(False)
    except OSError as error:
        _close(sockets)
        raise _refusal(role, host, port, error, asks_owner=asks_owner) from error
    return sockets


def _reserve(host: str, port: int) -> list[socket.socket]:
    """The cluster port on UDP and TCP, bound and silent."""
    sockets: list[socket.socket] = []
    try:
        for family, address in _addresses("cluster", host, port):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                held = socket.socket(family, kind)
                sockets.append(held)
                _bind(held, family, address)
                held.setblocking(False)
    except OSError as error:
        _close(sockets)
        raise _refusal("cluster", host, port, error, asks_owner=True) from error
    return sockets


def _bind(held: socket.socket, family: int, address: tuple[str, int]) -> None:
    if family == socket.AF_INET6:
        held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    held.bind(address)


def _addresses(role: str, host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise StartError(
            f"Failed to bind to {host}: {error.strerror}; "
            f"{_ADDRESS_FLAGS[role]} must name an address of this host"
        ) from error
    unique = dict.fromkeys((family, address[:2]) for family, _, _, _, address in found)
    return [(int(family), (str(host), int(number))) for family, (host, number) in unique]


def _refusal(role: str, host: str, port: int, error: OSError, *, asks_owner: bool) -> StartError:
    """The one line for a port that cannot be had."""
    flag = _FLAGS[role]
    if error.errno == errno.EADDRINUSE:
        owner = owner_line(port, flag) if asks_owner else ""
        detail = f"Failed to bind to port {port}: address already in use"
        return StartError(
            f"{detail}; {owner or f'choose another with {flag}'}" if asks_owner else detail
        )
    why = (error.strerror or str(error)).lower()
    if error.errno == errno.EADDRNOTAVAIL:
        hint = f"{_ADDRESS_FLAGS[role]} must name an address of this host"
        return StartError(f"Failed to bind to {host} port {port}: {why}; {hint}")
    return StartError(f"Failed to bind to port {port}: {why}; choose another with {flag}")


def _close(sockets: list[socket.socket]) -> None:
    for held in sockets:
        held.close()
