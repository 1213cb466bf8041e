"""What this version refuses because it does not have it: clusters.

In: settings. Out: nothing, or a SettingsError with one line. Invariant: a node never starts
without something that was asked for. A path, a size, an age, or the own address as seed asks for
nothing.
"""

import socket
from collections.abc import Callable

from sprawl.errors import SettingsError
from sprawl.settings import Settings


def require_available(settings: Settings, is_own_host: Callable[[str], bool]) -> None:
    """Raises for the first setting that asks for what is not there; the process ends with 2."""
    for seed in settings.seeds:
        host, _, port = seed.rpartition(":")
        bare = host.removeprefix("[").removesuffix("]")
        if int(port) != settings.bind_port or not _is_own(bare, settings, is_own_host):
            _refuse(settings, "seeds", seed, "joining a cluster", "leave it out")


def is_address_here(host: str) -> bool:
    """Whether the name or address is one of this machine's: an address can be bound only there."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
    except OSError:
        return False
    return any(_can_bind(family, address[0]) for family, _, _, _, address in found)


def _is_own(host: str, settings: Settings, is_own_host: Callable[[str], bool]) -> bool:
    return host in (settings.bind_addr, settings.advertise_addr) or is_own_host(host)


def _can_bind(family: int, host: str | int) -> bool:
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True


def _refuse(settings: Settings, name: str, value: str, what: str, instead: str) -> None:
    where = settings.origin(name).where
    raise SettingsError(
        f"{where}={value}: {what} is not in this version; {instead}",
        code="not_in_version",
        location=where,
    )
