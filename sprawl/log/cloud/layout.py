"""Where objects lie in a bucket.

In: a cluster's id, keys of segments. Out: keys. Invariants: a key follows from what the object
covers; what query engines read lies under ``data/``, ours under ``_sprawl/``, which they pass over.
Source: docs/design/cloud.md.
"""

import re
import struct
from collections.abc import Iterable, Iterator
from typing import Final

from sprawl.errors import ObjectDamaged

ROOT_PREFIX: Final = "sprawl/"
"""What every key of ours begins with."""

HISTORY_KEY: Final = "_sprawl/history"
"""Which log the objects of a cluster id are of."""

DATA_PREFIX: Final = "data/"
MANIFESTS_PREFIX: Final = "_sprawl/manifest/"
TOPICS_PREFIX: Final = "_sprawl/topics/"

_SEGMENT: Final = re.compile(
    r"data/(?P<day>day=\d{4}-\d\d-\d\d)/(?P<cover>[0-9a-f]{32})-(?P<part>\d{4})\.parquet"
)
_LENGTH: Final = struct.Struct("<I")


def cluster_prefix(cluster_id: str) -> str:
    """What every key of a cluster begins with; several may share a bucket."""
    return f"{ROOT_PREFIX}{cluster_id}/"


def segment_name(key: str) -> str:
    """``{cover}-{part}`` of a segment's key."""
    match = _parsed(key)
    return f"{match['cover']}-{match['part']}"


def manifest_key(key: str) -> str:
    """Where the copy of a segment's manifest lies."""
    match = _parsed(key)
    return f"{MANIFESTS_PREFIX}{match['day']}/{match['cover']}-{match['part']}"


def topics_key(key: str) -> str:
    """Where the topics of a segment's build lie."""
    match = _parsed(key)
    return f"{TOPICS_PREFIX}{match['day']}/{match['cover']}"


def pack_values(values: Iterable[bytes]) -> bytes:
    """Values with their lengths before them."""
    return b"".join(_LENGTH.pack(len(value)) + value for value in values)


def unpack_values(data: bytes) -> Iterator[bytes]:
    """The values of ``pack_values``; ObjectDamaged when they do not fill ``data``."""
    at = 0
    while at < len(data):
        end = at + _LENGTH.size
        if end <= len(data):
            end += _LENGTH.unpack_from(data, at)[0]
        if end > len(data):
            raise ObjectDamaged(f"values of {len(data)} bytes end inside of one at byte {at}")
        yield data[at + _LENGTH.size : end]
        at = end


def _parsed(key: str) -> re.Match[str]:
    match = _SEGMENT.fullmatch(key)
    if match is None:
        raise ObjectDamaged(f"{key!r} is no key of a segment")
    return match
