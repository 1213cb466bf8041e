"""A way to the node that can be broken: bytes in both directions, until ``drop``."""

import socket
import threading
from typing import Self


class Relay:
    """Listens on ``port``; every connection goes on to the node's."""

    def __init__(self, node_port: int) -> None:
        self._node_port = node_port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._carrying: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._accepting.join(5)
        self._listening.close()
        self.drop()
        for each in self._carrying:
            each.join(5)

    def drop(self) -> None:
        """Breaks every connection there is; new ones are taken."""
        with self._lock:
            broken, self._open = self._open, set()
        for each in broken:
            _shut(each)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return  # shut down by __exit__
            node = socket.create_connection(("127.0.0.1", self._node_port))
            with self._lock:
                self._open |= {client, node}
            carrying = threading.Thread(target=self._carry_both, args=(client, node), daemon=True)
            self._carrying.append(carrying)
            carrying.start()

    def _carry_both(self, client: socket.socket, node: socket.socket) -> None:
        back = threading.Thread(target=_carry, args=(node, client), daemon=True)
        back.start()
        _carry(client, node)
        back.join()
        with self._lock:
            self._open -= {client, node}
        client.close()
        node.close()


def _carry(source: socket.socket, target: socket.socket) -> None:
    """Until either side ends or is broken by ``drop``; both are shut then."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass  # broken: the same as ended, here
    _shut(source)
    _shut(target)


def _shut(each: socket.socket) -> None:
    try:
        each.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was first
