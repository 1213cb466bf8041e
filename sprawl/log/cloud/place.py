"""Where an object store is, as the settings say it.

In: endpoint, bucket, region, keys. Out: a ``StorePlace``, or SettingsError with one line (the
process ends with 2). Invariants: nothing is contacted; the keys are shown nowhere, not even by
``repr``. Source: docs/compat.md; the naming rules of S3 buckets.
"""

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from sprawl.errors import SettingsError

_BUCKET: Final = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9](?:[a-z0-9-]|\.(?!\.)){1,61}[a-z0-9]")
_HOST: Final = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)
_SCHEMES: Final = ("http", "https")


@dataclass(frozen=True, slots=True)
class StorePlace:
    """An S3 endpoint (``host``, ``is_secure``) or a directory (``folder``); ``shown`` names it."""

    shown: str
    bucket: str
    region: str = "us-east-1"
    host: str = ""
    is_secure: bool = False
    folder: str = ""
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)


def parse_place(
    endpoint: str, *, bucket: str, region: str, access_key: str = "", secret_key: str = ""
) -> StorePlace:
    """Reads ``http(s)://host[:port]``, ``host:port`` (then http) or ``file:///path``.

    Keys are needed for all but ``file://``.
    """
    if not endpoint:
        raise _refused("the cloud tier needs an endpoint: set MINIO_ENDPOINT", "MINIO_ENDPOINT")
    if not _BUCKET.fullmatch(bucket):
        raise _refused(
            f"bucket {bucket!r}: 3 to 63 lowercase letters, digits, hyphens and single dots",
            "SPRAWL_S3_BUCKET",
        )
    scheme, _, rest = endpoint.rpartition("://")
    scheme = scheme.lower()
    if scheme == "file":
        return _folder(rest, bucket, region)
    if scheme not in ("", *_SCHEMES):
        raise _unknown(scheme, "begins with none of http://, https://, file://")
    if "@" in rest:
        raise _unknown("", "must not hold keys; set MINIO_ACCESS_KEY and MINIO_SECRET_KEY")
    host = rest.removesuffix("/")
    if not _HOST.fullmatch(host):
        raise _unknown(endpoint, "is no http(s)://host:port and no host:port (a path is not taken)")
    port = urlsplit(f"//{host}").netloc.rpartition("]")[2].rpartition(":")[2]
    if ":" in host.rpartition("]")[2] and not 0 < int(port) < 65_536:
        raise _unknown(endpoint, f"has no port from 1 to 65535: {port}")
    if not access_key or not secret_key:
        raise _refused(
            f"the cloud tier at {host} needs keys: set MINIO_ACCESS_KEY and MINIO_SECRET_KEY",
            "MINIO_ACCESS_KEY" if not access_key else "MINIO_SECRET_KEY",
        )
    return StorePlace(
        shown=f"{scheme or 'http'}://{host}",
        bucket=bucket,
        region=region,
        host=host,
        is_secure=scheme == "https",
        access_key=access_key,
        secret_key=secret_key,
    )


def _folder(rest: str, bucket: str, region: str) -> StorePlace:
    path = unquote(rest.removeprefix("localhost"))
    if not path.startswith("/") or "\0" in path:
        raise _unknown(f"file://{rest}", "is no file:///absolute/path")
    return StorePlace(shown=f"file://{path}", bucket=bucket, region=region, folder=path)


def _unknown(endpoint: str, why: str) -> SettingsError:
    return _refused(f"endpoint {endpoint} {why}".replace("  ", " "), "MINIO_ENDPOINT")


def _refused(detail: str, where: str) -> SettingsError:
    return SettingsError(detail, location=where)
