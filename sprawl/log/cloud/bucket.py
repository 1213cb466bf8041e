"""A bucket read from outside: whose clusters are in it and what they left, with no node running.

In: an object store, the id of a cluster. Out: manifests, objects in pieces, copies of topic
configurations, the history. Invariants: nothing is written or made; one page of a list and one
manifest are held at a time; names come in the order of their keys. Raises what ``objects.py`` names.
Source: docs/design/cloud.md.
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from sprawl.clock import Clock
from sprawl.errors import ObjectDamaged, StoreRefused
from sprawl.limits import BUCKET_CALL_TIMEOUT_S, BUCKET_PIECE_BYTES, OBJECTS_PAGE_MAX
from sprawl.log.cloud.layout import HISTORY_KEY, MANIFESTS_PREFIX, ROOT_PREFIX, cluster_prefix
from sprawl.log.cloud.objects import Deadline, ObjectInfo, ObjectStore

_MANIFEST: Final = re.compile(
    MANIFESTS_PREFIX + r"day=\d{4}-\d\d-\d\d/(?P<cover>[0-9a-f]{32})-(?P<part>\d{4})"
)
_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
# The character that follows "/": above every key below a prefix, below every other prefix.
_BEHIND: Final = "0"


class History(msgspec.Struct, forbid_unknown_fields=True):
    """Whose messages lie below a prefix: ``history`` is 32 hex digits, made by the first node."""

    version: int
    cluster_id: str
    history: str


def clusters(store: ObjectStore, clock: Clock) -> Iterator[str]:
    """Ids of the clusters that have objects in the bucket."""
    after = ROOT_PREFIX
    while found := store.page(ROOT_PREFIX, _deadline(clock), after=after, limit=1):
        cluster_id = found[0].key.split("/")[1]
        if _ID.fullmatch(cluster_id):  # else it is not ours
            yield cluster_id
        after = f"{ROOT_PREFIX}{cluster_id}{_BEHIND}"


def choose_cluster(store: ObjectStore, clock: Clock, asked: str, shown: str) -> str:
    """The cluster that was asked for, or the only one; StoreRefused when there is none such."""
    found = list(clusters(store, clock))
    if asked in found:
        return asked
    named = ", ".join(found)
    if asked:
        held = f"it has {named}" if found else "it has none"
        raise StoreRefused(f"{shown} has no cluster {asked}; {held}")
    if not found:
        raise StoreRefused(f"{shown} has no cluster: nothing lies below {ROOT_PREFIX}")
    if len(found) > 1:
        raise StoreRefused(f"{shown} has {len(found)} clusters, name one of them: {named}")
    return found[0]


class Bucket:
    """What one cluster has in a bucket; keys are those below the cluster's prefix."""

    def __init__(self, store: ObjectStore, cluster_id: str, clock: Clock) -> None:
        self.cluster_id: Final = cluster_id
        self._store = store
        self._clock = clock
        self._top = cluster_prefix(cluster_id)

    def objects(self, prefix: str) -> Iterator[ObjectInfo]:
        """The objects below a prefix, in the order of their keys."""
        after = ""
        while True:
            page = self._store.page(self._top + prefix, _deadline(self._clock), after=after)
            for info in page:
                yield ObjectInfo(
                    info.key.removeprefix(self._top), info.size_bytes, info.etag, info.modified_ns
                )
            if len(page) < OBJECTS_PAGE_MAX:
                return
            after = page[-1].key

    def read(self, key: str) -> bytes:
        """A whole object."""
        return self._store.get(self._top + key, _deadline(self._clock))

    def pieces(self, key: str) -> Iterator[bytes]:
        """An object from its first byte to its last, ``BUCKET_PIECE_BYTES`` at a time."""
        start = 0
        while True:
            deadline = _deadline(self._clock)
            piece = self._store.get(
                self._top + key, deadline, start=start, length=BUCKET_PIECE_BYTES
            )
            yield piece
            start += len(piece)
            if len(piece) < BUCKET_PIECE_BYTES:
                return

    def history(self) -> History:
        """Whose messages these are; ObjectNotFound, or ObjectDamaged when it does not say so."""
        try:
            found = msgspec.json.decode(self.read(HISTORY_KEY), type=History)
        except msgspec.MsgspecError as error:
            raise ObjectDamaged(f"{HISTORY_KEY} cannot be read: {error}") from error
        if found.version != 1 or not _ID.fullmatch(found.history):
            raise ObjectDamaged(f"{HISTORY_KEY} is not of version 1")
        if found.cluster_id != self.cluster_id:
            raise ObjectDamaged(
                f"{HISTORY_KEY} is of cluster {found.cluster_id}, its place of {self.cluster_id}"
            )
        return found


def build_of(key: str) -> tuple[str, int] | None:
    """Cover and part that the key of a manifest copy names; None when it is none."""
    match = _MANIFEST.fullmatch(key)
    return None if match is None else (match["cover"], int(match["part"]))


def _deadline(clock: Clock) -> Deadline:
    return Deadline(clock, BUCKET_CALL_TIMEOUT_S)
