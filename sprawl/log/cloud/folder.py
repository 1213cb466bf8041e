"""An object store in a local directory: ``file://`` endpoints and development.

In and out: as ``objects.py``. Invariants: an object is a file written and synced under another name
and then renamed (or linked, when it must be new), and the directories that lead to it are synced,
so that it is whole or absent after a power cut; a file that was being written is an unfinished
upload. Layout: ``<path>/<bucket>/<key>``, and ``.uploads/`` beside the keys.
"""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sprawl.errors import (
    ObjectExists,
    ObjectNotFound,
    SprawlError,
    StorageFull,
    StoreRefused,
    StoreUnreachable,
)
from sprawl.limits import OBJECTS_PAGE_MAX
from sprawl.log.cloud.objects import (
    Bytes,
    Deadline,
    ObjectInfo,
    Upload,
    require_key,
    require_size,
)
from sprawl.log.cloud.place import StorePlace
from sprawl.log.place import sync_folder

_UPLOADS: Final = ".uploads"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED: Final = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
)
_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR})


class FolderStore:
    """Objects as files; ``prepare`` makes the directory."""

    def __init__(self, place: StorePlace) -> None:
        self._shown = place.shown
        self._root = Path(place.folder) / place.bucket
        self._uploads = self._root / _UPLOADS

    def prepare(self, deadline: Deadline) -> None:
        """Makes the directories, and writes a file to see that it can."""
        self._require_time(deadline)
        with self._translated("make its directory"):
            _make_folders(self._uploads)
            probe = self._uploads / f"probe-{secrets.token_hex(8)}"
            _write(probe, b"")
            probe.unlink()

    def put(
        self, key: str, data: Bytes, deadline: Deadline, *, create_only: bool = False
    ) -> ObjectInfo:
        """Writes, syncs and renames."""
        require_key(key)
        require_size(key, data)
        self._require_time(deadline)
        path = self._root / key
        with self._translated(f"put {key}"):
            _make_folders(path.parent)
            _make_folders(self._uploads)
            written = self._uploads / f"{_token()}"
            try:
                _write(written, data)
                if create_only:
                    try:
                        os.link(written, path)
                    except FileExistsError as error:
                        raise ObjectExists(f"object {key} is at {self._shown} already") from error
                else:
                    written.replace(path)
            finally:
                written.unlink(missing_ok=True)
            sync_folder(path.parent)
            return _info(key, path.stat())

    def get(
        self, key: str, deadline: Deadline, *, start: int = 0, length: int | None = None
    ) -> bytes:
        """Reads the range."""
        require_key(key)
        self._require_time(deadline)
        with self._translated(f"get {key}", key), (self._root / key).open("rb") as file:
            file.seek(start)
            return file.read(-1 if length is None else length)

    def head(self, key: str, deadline: Deadline) -> ObjectInfo:
        """Looks at the file."""
        require_key(key)
        self._require_time(deadline)
        with self._translated(f"head {key}", key):
            path = self._root / key
            if path.is_dir():
                raise ObjectNotFound(f"no object {key} at {self._shown}")
            return _info(key, path.stat())

    def page(
        self, prefix: str, deadline: Deadline, *, after: str = "", limit: int = OBJECTS_PAGE_MAX
    ) -> list[ObjectInfo]:
        """Walks the directory that the prefix names and sorts what is there."""
        assert 0 < limit <= OBJECTS_PAGE_MAX
        self._require_time(deadline)
        if folder := prefix.rpartition("/")[0]:
            require_key(folder)
        found: list[ObjectInfo] = []
        with self._translated(f"list {prefix}"):
            keys = sorted(k for k in self._keys(prefix) if k.startswith(prefix) and k > after)
            for key in keys:
                if len(found) == limit:
                    break
                # What vanished since it was seen is not there.
                with contextlib.suppress(FileNotFoundError):
                    found.append(_info(key, (self._root / key).stat()))
        return found

    def delete(self, key: str, deadline: Deadline) -> None:
        """Removes the file; its directories stay."""
        require_key(key)
        self._require_time(deadline)
        with self._translated(f"delete {key}"):
            try:
                (self._root / key).unlink()
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                return
            sync_folder((self._root / key).parent)

    def uploads(self, prefix: str, deadline: Deadline) -> list[Upload]:
        """Files that were being written; their keys are not known, so each prefix shows all."""
        del prefix
        self._require_time(deadline)
        found: list[Upload] = []
        with self._translated("list unfinished uploads"):
            if not self._uploads.exists():
                return found
            for path in sorted(self._uploads.iterdir())[:OBJECTS_PAGE_MAX]:
                with contextlib.suppress(FileNotFoundError):
                    found.append(Upload("", path.name, path.stat().st_mtime_ns))
        return found

    def abort(self, upload: Upload, deadline: Deadline) -> None:
        """Removes the file."""
        self._require_time(deadline)
        if "/" in upload.upload_id or upload.upload_id in ("", ".", ".."):
            raise StoreRefused(f"no upload is called {upload.upload_id!r}")
        with self._translated("abort an upload"):
            (self._uploads / upload.upload_id).unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing is held open."""

    def _keys(self, prefix: str) -> Iterator[str]:
        top = self._root / prefix.rpartition("/")[0]
        for folder, names, files in os.walk(top):
            if _UPLOADS in names:
                names.remove(_UPLOADS)
            for file in files:
                yield (Path(folder) / file).relative_to(self._root).as_posix()

    def _require_time(self, deadline: Deadline) -> None:
        if deadline.has_passed:
            raise StoreUnreachable(f"the object store {self._shown} was not asked: no time is left")

    @contextlib.contextmanager
    def _translated(self, what: str, key: str = "") -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._error(error, what, key) from error

    def _error(self, error: OSError, what: str, key: str) -> SprawlError:
        if key and error.errno in _ABSENT:
            return ObjectNotFound(f"no object {key} at {self._shown}")
        why = error.strerror or str(error)
        detail = f"the object store {self._shown} cannot {what}: {why}"
        if error.errno in _FULL:
            return StorageFull(detail)
        if error.errno in _REFUSED:
            return StoreRefused(detail)
        return StoreUnreachable(detail)


def _token() -> str:
    return secrets.token_hex(8)


def _info(key: str, found: os.stat_result) -> ObjectInfo:
    etag = f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"
    return ObjectInfo(key, found.st_size, etag, found.st_mtime_ns)


def _write(path: Path, data: Bytes) -> None:
    with path.open("xb", buffering=0) as file:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        os.fdatasync(file.fileno()) if hasattr(os, "fdatasync") else os.fsync(file.fileno())


def _make_folders(path: Path) -> None:
    """Makes the folder and what leads to it, and syncs each name that is new."""
    if path.is_dir():
        return
    _make_folders(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir()
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    sync_folder(path.parent)
