"""The data directory: which one it is, whose it is, and that only one process has it.

In: the path of the settings, the cluster port, the id asked for. Out: a ``Directory`` that holds
its lock until it is released. Invariants: one process per directory; ``node.json`` is replaced
whole and synced, and not before a start has found all it needs; a directory that cannot be read is refused, never started empty. Raises
``StartError``. Source: docs/design/node.md.

Layout: ``LOCK`` (locked by flock, holds the pid for people), ``node.json`` (format 2; format 1, which
lacks ``clean`` and ``log_start``, is read and replaced), ``log/`` (the disk tier's, docs/design/disk.md).
"""

import errno
import fcntl
import json
import os
import re
import secrets
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from sprawl.errors import StartError
from sprawl.limits import NODE_FILE_BYTES_MAX, NODE_ID_BYTES_MAX
from sprawl.log.place import is_rocksdb, sync_folder

FORMAT: Final = 2
FORMATS_READ: Final = (1, 2)
LOCK_NAME: Final = "LOCK"
NODE_NAME: Final = "node.json"
_FRESH_NAME: Final = "node.json.new"
_CLUSTER_ID: Final = re.compile(r"(?:[0-9a-f]{32})?", re.ASCII)
# What may lie in a directory that counts as empty: our own beginnings, and a volume's own folder.
_NEUTRAL_NAMES: Final = frozenset({LOCK_NAME, _FRESH_NAME, "lost+found"})


@dataclass(frozen=True, slots=True)
class Identity:
    """What ``node.json`` holds; ``boot_counter`` counts from 1 at the first start.

    ``clean`` is false while a node runs and true after an orderly stop. ``log_start`` is the last
    start that had the log under ``log/``, 0 when none was made: one that is gone or older is missed.
    ``cluster_id`` is made once; a bucket holds each cluster's objects under its own.
    """

    format: int
    node_id: str
    bind_port: int
    boot_counter: int
    version: str
    clean: bool
    log_start: int
    cluster_id: str


@dataclass(slots=True)
class Directory:
    """A locked data directory; release it, or use it as a context manager.

    ``identity`` is what ``node.json`` says once this start is signed. ``was_clean`` tells how the
    start before this one ended; true at the first start.
    """

    path: Path
    identity: Identity
    was_clean: bool
    warnings: tuple[str, ...]
    _lock: int

    def sign_start(self, *, with_log: bool) -> None:
        """Notes this start, and that it has the log; synced on return. Raises StartError."""
        number = self.identity.boot_counter
        log_start = number if with_log else self.identity.log_start
        self._sign(replace(self.identity, log_start=log_start))

    def sign_clean(self) -> None:
        """Notes an orderly end, as its last act; synced on return. Raises StartError."""
        self._sign(replace(self.identity, clean=True))

    def _sign(self, identity: Identity) -> None:
        assert self._lock >= 0, "the directory was released"
        try:
            _write_identity(self.path, identity)
        except OSError as error:
            raise _unreadable(self.path / NODE_NAME, error.strerror or str(error)) from error
        self.identity = identity

    def release(self) -> None:
        """Gives the lock back; twice does nothing."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def open_directory(
    path: str, bind_port: int, node_id: str, version: str, make_id: Callable[[], str]
) -> Directory:
    """Chooses, creates, locks and signs the directory.

    ``node_id`` is the id asked for, or empty. On return a first ``node.json`` is written and synced;
    one that was there is replaced by ``sign_start``. Raises StartError: ``directory_locked`` with the holder's pid, or
    ``directory_unreadable`` with what and why.
    """
    base = Path(path)
    try:
        with _Turn(base):
            chosen, warnings = _choose(base, bind_port)
            chosen.mkdir(parents=True, exist_ok=True)
            # Looked at before the lock file is made: what is not ours stays as it is.
            _read_ours(chosen)
            lock = _lock(chosen)
            try:
                found = _read_ours(chosen)
                identity = _next_identity(found, bind_port, node_id, version, make_id)
                warnings += _differences(chosen, found, identity)
                if found is None:
                    _write_identity(chosen, identity)
            except BaseException:
                os.close(lock)
                raise
    except OSError as error:
        at_fault = error.filename or path
        raise _unreadable(Path(os.fsdecode(at_fault)), error.strerror or str(error)) from error
    was_clean = found is None or found.clean
    return Directory(chosen, identity, was_clean, tuple(warnings), lock)


def new_directory(
    path: str,
    bind_port: int,
    node_id: str,
    version: str,
    make_id: Callable[[], str],
    *,
    cluster_id: str,
) -> Directory:
    """Locks an empty or absent directory that is to be filled before its first start; signs nothing.

    It is one of the cluster ``cluster_id``. Raises StartError for one that holds anything.
    """
    chosen = Path(path)
    try:
        if chosen.exists() and not _is_empty(chosen):
            raise _unreadable(chosen, "it is not empty")
        chosen.mkdir(parents=True, exist_ok=True)
        fresh = _next_identity(None, bind_port, node_id, version, make_id)
        identity = replace(fresh, cluster_id=cluster_id)
        return Directory(chosen, identity, True, (), _lock(chosen))
    except OSError as error:
        raise _unreadable(chosen, error.strerror or str(error)) from error


class _Turn:
    """The base directory's own lock: two nodes given the same fresh path choose one by one."""

    def __init__(self, base: Path) -> None:
        base.mkdir(parents=True, exist_ok=True)
        self._base = base
        self._handle = -1

    def __enter__(self) -> None:
        self._handle = os.open(self._base, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(self._handle, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)


def _choose(base: Path, bind_port: int) -> tuple[Path, list[str]]:
    """The directory by rules 1 to 3, and a warning when it is not the one that was named."""
    own = base / str(bind_port)
    if own.exists():
        return own, []
    _refuse_rocksdb(base)
    found = _read_identity(base)
    if found is None and _is_empty(base):
        return base, []
    if found is not None and found.bind_port == bind_port:
        return base, []
    whose = (
        f"belongs to node {found.node_id} with bindPort {found.bind_port}"
        if found is not None
        else "holds files that are no node's"
    )
    return own, [f"{base} {whose}; the node with bindPort {bind_port} uses {own}"]


def _is_empty(path: Path) -> bool:
    return all(entry.name in _NEUTRAL_NAMES for entry in path.iterdir())


def _read_ours(path: Path) -> Identity | None:
    """The identity of a directory, None of an empty one; StartError for what is not ours."""
    found = _read_identity(path)
    if found is None:
        _refuse_rocksdb(path)
        if not _is_empty(path):
            why = f"it holds files but no {NODE_NAME}; a node never starts over them"
            raise _unreadable(path, why)
    return found


def _refuse_rocksdb(path: Path) -> None:
    if is_rocksdb(path):
        raise _unreadable(
            path,
            "it is a RocksDB database, which this version does not read; "
            "choose another with -diskStoragePath",
        )


def _lock(path: Path) -> int:
    handle = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        holder = os.pread(handle, 32, 0).strip().decode("ascii", "replace")
        os.close(handle)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise StartError(
                f"data directory {path} is in use by process {holder or 'unknown'}; "
                "choose another with -diskStoragePath",
                code="directory_locked",
            ) from error
        raise
    return handle


def _read_identity(path: Path) -> Identity | None:
    """What ``node.json`` says, None when there is none; StartError when it cannot be understood."""
    file = path / NODE_NAME
    try:
        with file.open("rb") as stream:
            data = stream.read(NODE_FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    if len(data) > NODE_FILE_BYTES_MAX:
        raise _unreadable(file, f"more than node_file_bytes_max {NODE_FILE_BYTES_MAX}")
    try:
        members = json.loads(data)
    except ValueError as error:
        raise _unreadable(file, f"not JSON: {error}") from error
    if not isinstance(members, dict) or type(members.get("format")) is not int:
        raise _unreadable(file, "no format number")
    if members["format"] not in FORMATS_READ:
        read = " and ".join(map(str, FORMATS_READ))
        raise _unreadable(file, f"format {members['format']}, this version reads {read}")
    check = members.pop("check", None)
    if members["format"] != 1 and check != _check_of(members):
        raise _unreadable(file, "its checksum does not hold")
    return _identity_of(file, members)


def _identity_of(file: Path, members: dict[str, object]) -> Identity:
    node_id, version = members.get("node_id"), members.get("version")
    bind_port, boot_counter = members.get("bind_port"), members.get("boot_counter")
    if not isinstance(node_id, str) or not 0 < len(node_id) <= NODE_ID_BYTES_MAX:
        raise _unreadable(file, "node_id is not a text of 1 to 128 characters")
    if not isinstance(version, str):
        raise _unreadable(file, "version is not a text")
    if type(bind_port) is not int or not 0 < bind_port < 65_536:
        raise _unreadable(file, "bind_port is not a port")
    if type(boot_counter) is not int or boot_counter < 1:
        raise _unreadable(file, "boot_counter is not a count")
    # Format 1 kept no log and did not say how it ended.
    clean, log_start = members.get("clean", False), members.get("log_start", 0)
    if members["format"] != 1 and not {"clean", "log_start"} <= members.keys():
        raise _unreadable(file, "clean or log_start is missing")
    if not isinstance(clean, bool):
        raise _unreadable(file, "clean is not true or false")
    if type(log_start) is not int or not 0 <= log_start <= boot_counter:
        raise _unreadable(file, "log_start is not a start up to boot_counter")
    # A directory from before there were clusters gets its id at the next start.
    cluster_id = members.get("cluster_id", "")
    if not isinstance(cluster_id, str) or not _CLUSTER_ID.fullmatch(cluster_id):
        raise _unreadable(file, "cluster_id is not 32 hex digits")
    return Identity(FORMAT, node_id, bind_port, boot_counter, version, clean, log_start, cluster_id)


def _next_identity(
    found: Identity | None,
    bind_port: int,
    node_id: str,
    version: str,
    make_id: Callable[[], str],
) -> Identity:
    if found is None:
        return Identity(
            FORMAT,
            node_id or make_id(),
            bind_port,
            1,
            version,
            clean=False,
            log_start=0,
            cluster_id=_new_cluster_id(),
        )
    return replace(
        found,
        node_id=node_id or found.node_id,
        bind_port=bind_port,
        boot_counter=found.boot_counter + 1,
        version=version,
        clean=False,
        cluster_id=found.cluster_id or _new_cluster_id(),
    )


def _new_cluster_id() -> str:
    return secrets.token_hex(16)


def _differences(path: Path, found: Identity | None, identity: Identity) -> list[str]:
    if found is None:
        return []
    warnings = []
    if found.node_id != identity.node_id:
        warnings.append(f"{path} was node {found.node_id}'s and is node {identity.node_id}'s now")
    if found.bind_port != identity.bind_port:
        warnings.append(
            f"{path} was used with bindPort {found.bind_port}, now with {identity.bind_port}"
        )
    return warnings


def _write_identity(path: Path, identity: Identity) -> None:
    """Replaces ``node.json`` whole: after a crash there is the old one or the new one."""
    fresh = path / _FRESH_NAME
    with fresh.open("w", encoding="utf-8") as stream:
        members = asdict(identity)
        json.dump(members | {"check": _check_of(members)}, stream, separators=(",", ":"))
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path / NODE_NAME)
    sync_folder(path)


def _check_of(members: dict[str, object]) -> int:
    """CRC32 of the members: a flipped bit must not make the directory another node's."""
    return zlib.crc32(json.dumps(members, sort_keys=True, separators=(",", ":")).encode())


def _unreadable(path: Path, why: str) -> StartError:
    return StartError(f"cannot use data directory {path}: {why}", code="directory_unreadable")
