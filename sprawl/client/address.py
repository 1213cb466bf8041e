"""Urls of nodes as hosts and ports.

In: text as people type it. Out: ``Address``. Invariant: an ``Address`` can be connected to.
Source: RFC 3986 (the part of it that a node's url needs).
"""

import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from sprawl.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Address:
    """One node: ``url`` without a slash at the end, and what to connect to.

    ``prefix`` is the path before every route (empty, or ``/name`` behind a proxy).
    """

    url: str
    host: str
    port: int
    prefix: str
    tls: ssl.SSLContext | None

    @property
    def authority(self) -> str:
        """The value of the ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse(url: str) -> Address:
    """The address of ``url``; ``localhost:8080`` is taken as ``http``. Raises InvalidRequest."""
    text = url.strip()
    if "://" not in text:
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InvalidRequest(
            f'"{url}" is not a node\'s url: {error}', code="invalid_parameter"
        ) from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise InvalidRequest(
            f'"{url}" is not a node\'s url, it takes http://host:port or https://host:port',
            code="invalid_parameter",
        )
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    path = parts.path.rstrip("/")
    default = 443 if tls else 80
    return Address(
        url=text.rstrip("/"),
        host=parts.hostname,
        port=default if port is None else port,
        prefix=path,
        tls=tls,
    )


def parse_all(urls: str | Iterable[str]) -> tuple[Address, ...]:
    """The addresses of one url, a comma list, or several; in order, each once."""
    texts = [urls] if isinstance(urls, str) else list(urls)
    names = [part.strip() for text in texts for part in text.split(",") if part.strip()]
    if not names:
        raise InvalidRequest("no url of a node was given", code="invalid_parameter")
    return tuple({address.url: address for address in map(parse, names)}.values())
