"""Ports that a test may use."""

import socket


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, on TCP and UDP of the loopback address."""
    held: list[socket.socket] = []
    ports: list[int] = []
    while len(ports) < count:
        tcp = socket.create_server(("127.0.0.1", 0))
        held.append(tcp)
        port = tcp.getsockname()[1]
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        held.append(udp)
        try:
            udp.bind(("127.0.0.1", port))
        except OSError:
            continue
        ports.append(port)
    for each in held:
        each.close()
    return ports
