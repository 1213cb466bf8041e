"""Where the log lies: file systems by their mounts, and another program's database."""

from pathlib import Path

import pytest

from sprawl.log.place import file_system_of, file_system_warning, is_rocksdb

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /run rw,nosuid - tmpfs tmpfs rw,size=1k
24 22 0:22 / /mnt/with\\040blank rw master:1 - nfs4 server:/x rw
25 22 0:23 / /mnt rw - xfs /dev/vdb rw
26 25 0:24 / /mnt/deep rw shared:3 master:2 - fuse.sshfs there:/ rw
27 22 0:25 / /twice rw - tmpfs tmpfs rw
28 22 0:26 / /twice rw - btrfs /dev/vdc rw
a line that is cut
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTS)
    return path


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data", "ext4"),
        ("/running", "ext4"),
        ("/run/a", "tmpfs"),
        ("/mnt/a", "xfs"),
        ("/mnt/deep", "fuse.sshfs"),
        ("/mnt/deeper", "xfs"),
        ("/mnt/with blank/x", "nfs4"),
        ("/twice", "btrfs"),
    ],
)
def test_the_deepest_and_latest_mount_decides(mounts: Path, path: str, kind: str) -> None:
    assert file_system_of(Path(path), mounts) == kind


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/run/d", "/run/d lies on tmpfs, which keeps files in memory"),
        ("/mnt/with blank", "lies on nfs4, which does not keep memory maps"),
        ("/mnt/deep/d", "lies on fuse.sshfs, which is a program"),
    ],
)
def test_a_file_system_that_cannot_keep_the_promises_is_named(
    mounts: Path, path: str, words: str
) -> None:
    warning = file_system_warning(Path(path), mounts)
    assert words in warning
    assert "\n" not in warning


def test_a_disk_is_no_warning_and_neither_is_a_system_that_does_not_tell(mounts: Path) -> None:
    assert file_system_warning(Path("/mnt/data"), mounts) == ""
    assert file_system_warning(Path("/run/d"), mounts.parent / "absent") == ""


def test_a_link_is_followed_to_where_it_leads(mounts: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to("/run/elsewhere")
    assert file_system_of(tmp_path / "data", mounts) == "tmpfs"


@pytest.mark.parametrize(
    ("names", "is_it"),
    [
        (("CURRENT", "MANIFEST-000001"), True),
        (("CURRENT", "IDENTITY", "LOCK"), True),
        (("CURRENT",), False),
        (("MANIFEST-000001",), False),
        ((), False),
    ],
)
def test_rocksdb_is_known_by_its_files(tmp_path: Path, names: tuple[str, ...], is_it: bool) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert is_rocksdb(tmp_path) == is_it
    assert not is_rocksdb(tmp_path / "absent")
