"""Who holds a port on this host, asked only after a bind was refused.

In: a port. Out: one line, or an empty text when nobody can be named. Invariants: it takes at most
``PORT_OWNER_TIMEOUT_S`` per question, reads at most ``PORT_OWNER_BYTES_MAX``, and believes nothing:
what a foreign process answers is parsed, escaped and cut before it is shown.
"""

import json
import socket
from dataclasses import dataclass
from time import monotonic
from typing import Final

from sprawl.limits import PORT_OWNER_BYTES_MAX, PORT_OWNER_TIMEOUT_S
from sprawl.node.logs import escaped

_ID_CHARS_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class _Owner:
    node_id: str
    role: str
    pid: int


def owner_line(port: int, flag: str) -> str:
    """``port 8081 is the health port of node ab12cd34 (pid 4242); choose another with …``."""
    pid, process, own_ports = _holder(port)
    owner = _ask_any(port, own_ports)
    hint = f"choose another with {flag}"
    if owner is not None:
        shown = f" (pid {pid or owner.pid})" if pid or owner.pid else ""
        short = escaped(owner.node_id)[:_ID_CHARS_MAX]
        return f"port {port} is the {owner.role} port of node {short}{shown}; {hint}"
    if pid:
        return f"it is held by process {pid} ({escaped(process)}); {hint}"
    return ""


def _ask_any(port: int, own_ports: list[int]) -> _Owner | None:
    """Asks the port itself first, then the other ports of the process that holds it."""
    for candidate in dict.fromkeys((port, *own_ports)):
        if (status := _ask(candidate)) is not None:
            return _owner(status, port)
    return None


def _owner(status: dict[str, object], port: int) -> _Owner:
    """Without ports in the answer it is one of ``/health`` alone, so of a health port."""
    roles = {status.get("http_port"): "HTTP", status.get("bind_port"): "cluster"}
    role = roles.get(port, "health")
    pid = status.get("pid")
    return _Owner(str(status["node_id"]), role, pid if type(pid) is int else 0)


def _ask(port: int) -> dict[str, object] | None:
    """What ``/status`` or ``/health`` on the port says, when it is a node's answer."""
    for path in ("/status", "/health"):
        members = _get_json(port, path)
        if members is None:
            return None
        if isinstance(members.get("node_id"), str):
            return members
    return None


def _get_json(port: int, path: str) -> dict[str, object] | None:
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    data = b""
    end_s = monotonic() + PORT_OWNER_TIMEOUT_S
    try:
        with socket.create_connection(("127.0.0.1", port), PORT_OWNER_TIMEOUT_S) as link:
            link.sendall(request.encode())
            while len(data) < PORT_OWNER_BYTES_MAX and (part := link.recv(16_384)):
                data += part
                link.settimeout(max(end_s - monotonic(), 1e-3))
    except OSError:
        # Nobody answers in time: then the port's holder has no name that we can tell.
        if not data:
            return None
    _, _, body = data.partition(b"\r\n\r\n")
    start, end = body.find(b"{"), body.rfind(b"}")
    try:
        members = json.loads(body[start : end + 1]) if start >= 0 else None
    except ValueError:
        members = None
    return members if isinstance(members, dict) else {}


def _holder(port: int) -> tuple[int, str, list[int]]:
    """Pid, name and listening ports of the process that holds the port; 0 when not to be seen."""
    import psutil

    try:
        connections = psutil.net_connections("inet")
    except (psutil.Error, OSError):
        # macOS shows other processes' sockets to the superuser only.
        return 0, "", []
    bound = [(int(c.laddr.port), c.pid, c.status) for c in connections if c.laddr and not c.raddr]
    pid = next((pid for number, pid, _ in bound if number == port and pid), None)
    if not pid:
        return 0, "", []
    try:
        name = str(psutil.Process(pid).name())
    except psutil.Error:
        name = "unknown"
    listening = [
        number for number, owner, status in bound if owner == pid and status == psutil.CONN_LISTEN
    ]
    return pid, name, listening
