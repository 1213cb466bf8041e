"""The data directory: the three rules, the lock, and what is refused."""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import ANY

import pytest

from sprawl.errors import StartError
from sprawl.node.directory import Directory, open_directory


def opened(path: Path, bind_port: int = 7946, node_id: str = "") -> Directory:
    return open_directory(str(path), bind_port, node_id, "0.1.0", lambda: f"made-{bind_port}")


def identity(path: Path) -> dict[str, object]:
    members: dict[str, object] = json.loads((path / "node.json").read_text())
    return members


def refusal(path: Path, bind_port: int = 7946) -> StartError:
    with pytest.raises(StartError) as caught:
        opened(path, bind_port)
    assert "\n" not in caught.value.detail
    return caught.value


def test_a_fresh_directory_gets_an_identity_that_stays(tmp_path: Path) -> None:
    path = tmp_path / "a/b"
    with opened(path) as first:
        assert (first.path, first.warnings) == (path, ())
        assert identity(path) == {
            "check": ANY,
            "cluster_id": ANY,
            "format": 2,
            "node_id": "made-7946",
            "bind_port": 7946,
            "boot_counter": 1,
            "version": "0.1.0",
            "clean": False,
            "log_start": 0,
        }
    with open_directory(str(path), 7946, "", "0.1.0", lambda: "another") as second:
        assert (second.identity.node_id, second.identity.boot_counter) == ("made-7946", 2)
    assert not (path / "node.json.new").exists()


@pytest.mark.parametrize("name", ["LOCK", "lost+found", "node.json.new"])
def test_what_a_volume_or_an_interrupted_start_leaves_counts_as_empty(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).touch()
    with opened(tmp_path) as directory:
        assert directory.path == tmp_path


def test_a_folder_named_by_the_port_goes_first(tmp_path: Path) -> None:
    (tmp_path / "7950").mkdir()
    with opened(tmp_path, 7950) as directory:
        assert directory.path == tmp_path / "7950"
        assert directory.warnings == ()


def test_a_second_node_with_the_same_path_gets_its_own_folder(tmp_path: Path) -> None:
    with opened(tmp_path, 7946), opened(tmp_path, 7947) as second:
        assert second.path == tmp_path / "7947"
        (warning,) = second.warnings
        assert "made-7946 with bindPort 7946" in warning
        assert "bindPort 7947 uses" in warning
    with opened(tmp_path, 7947) as again:
        assert (again.identity.boot_counter, again.warnings) == (2, ())


def test_nodes_that_start_at_once_with_one_fresh_path_choose_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "shared"
    with ThreadPoolExecutor(8) as pool:
        directories = list(pool.map(lambda port: opened(path, port), range(7946, 7954)))
    chosen = [directory.path for directory in directories]
    assert len(set(chosen)) == 8
    assert chosen.count(path) == 1
    for directory in directories:
        directory.release()


def test_files_that_are_no_nodes_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with opened(tmp_path) as directory:
        assert directory.path == tmp_path / "7946"
        assert "holds files that are no node's" in directory.warnings[0]
    assert not (tmp_path / "LOCK").exists()


def test_a_held_lock_names_its_holder(tmp_path: Path) -> None:
    with opened(tmp_path):
        error = refusal(tmp_path)
    assert error.code == "directory_locked"
    assert f"in use by process {os.getpid()};" in error.detail
    opened(tmp_path).release()


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    code = (
        "import os, sys; from sprawl.node.directory import open_directory\n"
        "open_directory(sys.argv[1], 7946, '', '0.1.0', lambda: 'x'); os._exit(9)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert ended.returncode == 9
    with opened(tmp_path) as directory:
        assert directory.identity.boot_counter == 2


def test_a_refused_second_start_leaves_the_first_ones_identity(tmp_path: Path) -> None:
    with opened(tmp_path):
        before = (tmp_path / "node.json").read_bytes()
        refusal(tmp_path)
        assert (tmp_path / "node.json").read_bytes() == before


OLD = {"format": 1, "node_id": "n", "bind_port": 7946, "boot_counter": 1, "version": "0.1.0"}
GOOD = OLD | {"format": 2, "clean": True, "log_start": 1}


def signed(members: dict[str, object]) -> bytes:
    """``node.json`` with these members and a checksum that holds."""
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return json.dumps(members | {"check": zlib.crc32(text.encode())}).encode()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "no format number"),
        (b"{}", "no format number"),
        (signed(GOOD | {"format": 3}), "format 3, this version reads 1 and 2"),
        (signed(GOOD | {"format": 0}), "format 0, this version reads 1 and 2"),
        (signed(OLD | {"format": 2}), "clean or log_start is missing"),
        (signed(GOOD | {"clean": 1}), "clean is not true or false"),
        (signed(GOOD | {"log_start": None}), "log_start is not a start"),
        (signed(GOOD | {"log_start": 2}), "log_start is not a start"),
        (signed(GOOD | {"format": True}), "no format number"),
        (signed(GOOD | {"node_id": ""}), "node_id is not"),
        (signed(GOOD | {"bind_port": "7946"}), "bind_port is not"),
        (signed(GOOD | {"boot_counter": 0}), "boot_counter is not"),
        (signed(GOOD | {"version": 1}), "version is not"),
        (json.dumps(GOOD).encode(), "its checksum does not hold"),
        (signed(GOOD).replace(b"7946", b"7942"), "its checksum does not hold"),
        (b" " * 70_000, "more than node_file_bytes_max 65536"),
    ],
)
def test_a_node_never_starts_over_an_identity_it_cannot_read(
    tmp_path: Path, content: bytes, why: str
) -> None:
    (tmp_path / "node.json").write_bytes(content)
    error = refusal(tmp_path)
    assert error.code == "directory_unreadable"
    assert f"{tmp_path}/node.json: {why}" in error.detail
    assert (tmp_path / "node.json").read_bytes() == content


def test_an_identity_of_the_format_before_is_read_and_replaced(tmp_path: Path) -> None:
    (tmp_path / "node.json").write_text(json.dumps(OLD | {"boot_counter": 6}))
    with opened(tmp_path) as directory:
        assert (directory.identity.node_id, directory.identity.boot_counter) == ("n", 7)
        assert not directory.was_clean
        directory.sign_start(with_log=False)
        assert identity(tmp_path)["format"] == 2


def test_a_node_is_clean_only_between_an_orderly_end_and_the_next_start(tmp_path: Path) -> None:
    with opened(tmp_path) as first:
        assert first.was_clean
        assert identity(tmp_path)["clean"] is False
    with opened(tmp_path) as second:
        assert not second.was_clean
        second.sign_start(with_log=False)
        second.sign_clean()
        assert identity(tmp_path)["clean"] is True
    with opened(tmp_path) as third:
        assert third.was_clean
        assert identity(tmp_path)["clean"] is True, "nothing is noted before the start is signed"
        third.sign_start(with_log=False)
        assert identity(tmp_path)["clean"] is False
        assert third.identity.boot_counter == 3


def test_the_last_start_that_had_the_log_stays_noted(tmp_path: Path) -> None:
    with opened(tmp_path) as first:
        assert first.identity.log_start == 0
        first.sign_start(with_log=True)
        assert identity(tmp_path) == {"check": ANY, **dataclasses.asdict(first.identity)}
        first.sign_clean()
    with opened(tmp_path) as second:
        assert (second.identity.boot_counter, second.identity.log_start) == (2, 1)
        assert second.was_clean
        second.sign_start(with_log=False)
    with opened(tmp_path) as third:
        third.sign_start(with_log=True)
        assert (third.identity.boot_counter, third.identity.log_start) == (3, 3)


def test_an_end_that_cannot_be_noted_is_told(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        (tmp_path / "node.json.new").mkdir()
        with pytest.raises(StartError, match="Is a directory"):
            directory.sign_clean()
        assert not directory.identity.clean


@pytest.mark.parametrize("beside", ["MANIFEST-000004", "IDENTITY"])
@pytest.mark.parametrize("folder", ["", "7946"])
def test_a_rocksdb_database_is_named_and_left_alone(
    tmp_path: Path, folder: str, beside: str
) -> None:
    path = tmp_path / folder
    path.mkdir(exist_ok=True)
    for name in ("CURRENT", "LOCK", "000007.sst", beside):
        (path / name).touch()
    before = sorted(tmp_path.rglob("*"))
    error = refusal(tmp_path)
    assert error.code == "directory_unreadable"
    assert f"{path}: it is a RocksDB database" in error.detail
    assert sorted(tmp_path.rglob("*")) == before


def test_a_refused_folder_is_not_touched(tmp_path: Path) -> None:
    own = tmp_path / "7946"
    own.mkdir()
    (own / "thesis.txt").touch()
    assert "it holds files but no node.json" in refusal(tmp_path).detail
    assert [entry.name for entry in own.iterdir()] == ["thesis.txt"]


def test_one_directory_by_two_names_is_one_directory(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to("real")
    with opened(tmp_path / "real"):
        error = refusal(tmp_path / "alias")
    assert error.code == "directory_locked"
    assert f"in use by process {os.getpid()};" in error.detail


@pytest.fixture
def closed_path() -> Iterator[Path]:
    """A folder that others may enter and nobody but root may write."""
    with tempfile.TemporaryDirectory(prefix="sprawl-closed-") as name:
        Path(name).chmod(0o555)
        yield Path(name)


def test_a_directory_that_may_not_be_written_is_refused(closed_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from sprawl.errors import StartError\n"
        "from sprawl.node.directory import open_directory\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "try: open_directory(sys.argv[1], 7946, '', '0.1.0', lambda: 'x')\n"
        "except StartError as error: print(error.detail)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(closed_path)], check=True, capture_output=True, text=True
    )
    why = f"cannot use data directory {closed_path}/LOCK: Permission denied\n"
    assert ended.stdout == why
    assert list(closed_path.iterdir()) == []


def test_a_folder_of_ours_that_lost_its_identity_is_refused(tmp_path: Path) -> None:
    (tmp_path / "7946/log").mkdir(parents=True)
    assert "it holds files but no node.json" in refusal(tmp_path).detail


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    assert f"cannot use data directory {tmp_path}/f" in refusal(tmp_path / "f").detail
    assert f"{tmp_path}/f/x: Not a directory" in refusal(tmp_path / "f/x").detail


def test_a_directory_that_cannot_be_made_is_refused() -> None:
    error = refusal(Path("/proc/sprawl/data"))
    assert error.code == "directory_unreadable"
    assert error.detail.startswith("cannot use data directory /proc/")


def test_an_id_that_is_given_is_kept_and_a_changed_one_is_told(tmp_path: Path) -> None:
    with opened(tmp_path, node_id="node1") as first:
        assert (first.identity.node_id, first.warnings) == ("node1", ())
    with opened(tmp_path) as kept:
        assert kept.identity.node_id == "node1"
    with opened(tmp_path, node_id="node2") as changed:
        assert changed.warnings == (f"{tmp_path} was node node1's and is node node2's now",)
