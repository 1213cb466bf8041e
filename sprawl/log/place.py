"""Where the log lies: what kind of file system, and whether the folder is another program's.

In: a path. Out: a name, a warning, or synced names. Reads directories and
``/proc/self/mountinfo``, writes nothing. Sources: proc(5); RocksDB's file names (CURRENT, MANIFEST-*, IDENTITY, *.sst).
"""

import os
import re
from pathlib import Path
from typing import Final

# Why the promises of the disk tier do not hold there, by file system type.
_WEAK: Final = {
    "tmpfs": "keeps files in memory: what is acknowledged at disk is lost with the machine",
    "ramfs": "keeps files in memory: what is acknowledged at disk is lost with the machine",
    "nfs": "does not keep memory maps and locks coherent: the log can be damaged",
    "nfs4": "does not keep memory maps and locks coherent: the log can be damaged",
    "cifs": "does not keep memory maps and locks coherent: the log can be damaged",
    "smb3": "does not keep memory maps and locks coherent: the log can be damaged",
    "9p": "does not keep memory maps and locks coherent: the log can be damaged",
    "fuse": "is a program of somebody's: whether a sync reaches the disk is up to it",
    "overlay": "is the layer of a container: it goes with the container; mount a volume",
    "aufs": "is the layer of a container: it goes with the container; mount a volume",
}
_OCTAL: Final = re.compile(r"\\([0-7]{3})")
_MOUNTS: Final = Path("/proc/self/mountinfo")


def file_system_of(path: Path, mounts: Path = _MOUNTS) -> str:
    """The type of the file system that holds ``path``, or empty where the system does not tell.

    ``path`` need not exist yet: its nearest existing parent decides.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    resolved = os.path.realpath(path)
    best, kind = "", ""
    for line in lines:
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < 5 or not right:
            continue
        point = _OCTAL.sub(lambda m: chr(int(m[1], 8)), fields[4])
        # A later line covers an earlier one that has the same point.
        if len(point) >= len(best) and _holds(point, resolved):
            best, kind = point, right.split(" ", 1)[0]
    return kind


def file_system_warning(path: Path, mounts: Path = _MOUNTS) -> str:
    """One sentence when the file system under ``path`` cannot keep the promises, else empty."""
    kind = file_system_of(path, mounts)
    why = _WEAK.get("fuse" if kind.startswith("fuse") else kind)
    return f"{path} lies on {kind}, which {why}" if why else ""


def is_rocksdb(path: Path) -> bool:
    """Whether the folder holds a RocksDB database, as the original's nodes do."""
    try:
        names = {entry.name for entry in path.iterdir()}
    except OSError:
        return False
    has_manifest = any(name.startswith("MANIFEST-") for name in names)
    return "CURRENT" in names and (has_manifest or "IDENTITY" in names)


def _holds(point: str, path: str) -> bool:
    return point in ("/", path) or path.startswith(point + "/")


def sync_folder(path: Path) -> None:
    """Makes the names in a folder durable: a synced file whose name is not may be gone after a crash."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
