"""A data directory made out of a bucket, for a node that is not running.

In: a cluster's bucket, an empty path. Out: a directory that ``sprawl`` starts on as after an orderly
stop. Invariants: one that is not empty is refused and left alone; what was begun and failed is
removed; the log gets its place when it is whole, and ``node.json`` asks for it before, so a start
after a restore that was killed is refused.
"""

import os
import shutil
from pathlib import Path
from typing import Final

from sprawl.clock import Clock
from sprawl.log.cloud.bucket import Bucket
from sprawl.log.cloud.restore import Fault, Restored, restore_states
from sprawl.log.place import sync_folder
from sprawl.log.store import FOLDER_NAME, LogStore
from sprawl.model import node_id_of
from sprawl.node.directory import LOCK_NAME, NODE_NAME, Directory, new_directory

_ASIDE_NAME: Final = "restoring"


def restore_directory(
    bucket: Bucket,
    path: str,
    *,
    bind_port: int,
    node_id: str,
    version: str,
    clock: Clock,
    fault: Fault,
) -> Restored:
    """Makes the directory; ``node_id`` may be empty for a new one. ``fault`` as ``restore_states``.

    Raises StartError for a path that cannot be had, and what reading the bucket raises.
    """
    is_made = not Path(path).exists()
    directory = new_directory(
        path,
        bind_port,
        node_id,
        version,
        lambda: node_id_of(os.urandom(16)),
        cluster_id=bucket.cluster_id,
    )
    with directory:
        try:
            # From here on a start misses the log, until the whole one has its place.
            directory.sign_start(with_log=True)
            found = _fill(bucket, directory, clock, fault)
        except BaseException:
            _clear(directory.path, is_made=is_made)
            raise
        directory.sign_clean()
    return found


def _fill(bucket: Bucket, directory: Directory, clock: Clock, fault: Fault) -> Restored:
    aside = directory.path / _ASIDE_NAME
    aside.mkdir()
    with LogStore(aside, disk_bytes_max=0, is_new=True, clock=clock) as store:
        found = restore_states(bucket, store, directory.identity.boot_counter, fault)
    (aside / FOLDER_NAME).rename(directory.path / FOLDER_NAME)
    aside.rmdir()
    sync_folder(directory.path)
    return found


def _clear(path: Path, *, is_made: bool) -> None:
    shutil.rmtree(path / _ASIDE_NAME, ignore_errors=True)
    for name in (NODE_NAME, LOCK_NAME):
        (path / name).unlink(missing_ok=True)
    if is_made:
        path.rmdir()
