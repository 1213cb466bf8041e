"""What a directory as object store does beside the contract: crashes, rights, no room."""

import errno
import os
from pathlib import Path

import pytest

from sprawl.errors import StorageFull, StoreRefused
from sprawl.log.cloud import folder
from sprawl.log.cloud.folder import FolderStore
from sprawl.log.cloud.place import parse_place
from tests.unit.log.cloud.conftest import soon


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    endpoint = f"file://{tmp_path}/cold"
    found = FolderStore(parse_place(endpoint, bucket="bucket", region="us-east-1"))
    found.prepare(soon())
    return found


def test_the_layout_is_bucket_and_key(store: FolderStore, tmp_path: Path) -> None:
    store.put("a/b/c", b"data", soon())
    assert (tmp_path / "cold/bucket/a/b/c").read_bytes() == b"data"


def test_everything_is_synced_before_it_has_its_name(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def logged(name: str, module: object = os) -> None:
        real = getattr(module, name)

        def call(*args: object, **kwargs: object) -> object:
            calls.append(name)
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, call)

    logged("fdatasync")
    logged("fsync")
    logged("replace", Path)
    store.put("new", b"data", soon())
    assert calls == ["fdatasync", "replace", "fsync"]
    calls.clear()
    store.put("folder/new", b"data", soon())
    assert calls == ["fsync", "fdatasync", "replace", "fsync"]


def test_a_write_that_was_killed_is_an_unfinished_upload(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(path: Path, target: Path) -> None:
        raise Killed

    def left_alone(path: Path, missing_ok: bool = False) -> None:
        """A killed process cleans up nothing."""

    monkeypatch.setattr(Path, "replace", killed)
    monkeypatch.setattr(Path, "unlink", left_alone)
    with pytest.raises(Killed):
        store.put("a/new", b"data", soon())
    monkeypatch.undo()
    assert store.page("", soon()) == []
    (left,) = store.uploads("", soon())
    store.abort(left, soon())
    assert store.uploads("", soon()) == []


@pytest.mark.parametrize("upload_id", ["", "..", "../../bucket/a"])
def test_only_an_upload_can_be_aborted(store: FolderStore, upload_id: str) -> None:
    with pytest.raises(StoreRefused):
        store.abort(folder.Upload("", upload_id, 0), soon())


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, StorageFull), (errno.EROFS, StoreRefused)]
)
def test_a_failing_disk_is_told_and_leaves_no_object(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    def fail(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(kind, match=os.strerror(number)):
        store.put("a", b"data", soon())
    monkeypatch.undo()
    assert store.page("", soon()) == []
    assert store.uploads("", soon()) == []


def test_a_file_where_the_directory_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cold").write_text("")
    place = parse_place(f"file://{tmp_path}/cold", bucket="bucket", region="us-east-1")
    with pytest.raises(StoreRefused, match="cannot make its directory"):
        FolderStore(place).prepare(soon())


def test_a_prefix_cannot_lead_out_of_the_bucket(store: FolderStore) -> None:
    with pytest.raises(StoreRefused):
        store.page("../", soon())
