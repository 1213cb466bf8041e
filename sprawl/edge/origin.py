"""Keeps web pages of others away from a node in reach of a browser.

In: headers and the peer's address. Out: nothing, or ``NotAllowed`` (403). Invariants: a mutating
request, or a WebSocket handshake, that a foreign page caused is refused; what destroys is answered
to this host only, under a name of this host (a page can rebind a name of its own to 127.0.0.1).
Source: Fetch metadata, RFC 6454.
"""

import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from sprawl.errors import NotAllowed, error_for

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def check_origin(headers: Mapping[str, str]) -> None:
    """Raises when a page of another site caused this request."""
    if headers.get("sec-fetch-site", "").strip().lower() == "cross-site":
        raise error_for("foreign_origin", "a page of another site may not change this node")
    origin = headers.get("origin")
    if origin is None:
        return
    host = headers.get("host", "").strip().lower()
    if _authority(origin) != host or not host:
        raise error_for(
            "foreign_origin", f"origin {origin[:256]!r} is not this node's own {host[:256]!r}"
        )


def check_local(peer: str, headers: Mapping[str, str]) -> None:
    """Raises unless the client is on this host and asked for this host."""
    if not is_loopback(peer):
        raise NotAllowed(
            f"answered to clients on this host only, not to {peer or 'an unknown peer'}"
        )
    name = _hostname(headers.get("host", ""))
    if name != "localhost" and not is_loopback(name):
        raise NotAllowed(f"host {name[:256]!r} is not a name of this host; use localhost")


def is_loopback(address: str) -> bool:
    """Whether ``address`` is a loopback address as text (IPv4, IPv6 or IPv4 inside IPv6)."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)


def _authority(origin: str) -> str:
    """The ``host:port`` of an origin as a Host header writes it; empty for ``null``."""
    try:
        parts = urlsplit(origin.strip().lower())
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or parts.hostname is None:
        return ""
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    return name if port in (None, default) else f"{name}:{port}"


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host.strip().lower()}").hostname or ""
    except ValueError:
        return ""
