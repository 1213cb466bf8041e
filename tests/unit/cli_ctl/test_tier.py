"""``sprawlctl tier`` over a bucket alone, as processes: what is printed and how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sprawl.cli.ctl.source import SETTINGS
from sprawl.settings.table import TABLE
from tests.models.bucket import CLUSTER, FolderBucket, filled

SECRETS = {"MINIO_ACCESS_KEY": "key-of-nobody", "MINIO_SECRET_KEY": "secret-of-nobody"}


def tier(
    *arguments: str, cwd: Path | None = None, **variables: str
) -> "subprocess.CompletedProcess[str]":
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SPRAWL_", "MINIO_"))
    }
    return subprocess.run(
        [sys.executable, "-m", "sprawl.cli.ctl", "tier", *arguments],
        capture_output=True, text=True, check=False, timeout=60, cwd=cwd,
        env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)} | variables,
    )  # fmt: skip


def test_names_and_variables_are_those_of_the_node() -> None:
    for name, (variables, default, _) in SETTINGS.items():
        row = TABLE[name]
        assert (row.variables, row.default) == (variables, default)


def test_verify_prints_counts_and_ends_with_0(tmp_path: Path) -> None:
    made = filled(tmp_path)
    done = tier("verify", "--from", made.url)
    assert (done.returncode, done.stderr) == (0, "")
    shown = dict(line.split(None, 1) for line in done.stdout.splitlines())
    assert (shown["cluster_id"], shown["records"], shown["faults"]) == (CLUSTER, "36", "0")
    assert shown["oldest"] == "2023-11-14T22:13:20.123456789Z"
    by_variables = tier(
        "verify", "-o", "json", MINIO_ENDPOINT=made.endpoint, SPRAWL_S3_BUCKET=made.name
    )
    assert json.loads(by_variables.stdout)["records"] == 36
    named = tier("verify", "--from", f"s3://{made.name}/{CLUSTER}", "--s3-endpoint", made.endpoint)
    assert named.stdout == done.stdout


def test_verify_names_each_fault_and_ends_with_1(tmp_path: Path) -> None:
    made = filled(tmp_path)
    data = sorted(made.top.glob("data/*/*.parquet"))
    for path in data[:2]:
        path.unlink()
    done = tier("verify", "--from", made.url, "-o", "json")
    assert done.returncode == 1
    keys = sorted(path.relative_to(made.top).as_posix() for path in data[:2])
    found = json.loads(done.stdout)
    assert found["faults"] == 2
    assert sorted(fault["key"] for fault in found["first_faults"]) == keys
    said = "it is named by a manifest and not there"
    assert sorted(done.stderr.splitlines()) == [f"{key}: {said}" for key in keys]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--from", "nowhere"], 2, '"nowhere" is no place, it takes s3://BUCKET[/CLUSTER_ID]'),
        (["--from", "s3://x"], 2, "needs an endpoint: set MINIO_ENDPOINT"),
        (["--from", "s3://messages", "--s3-endpoint", "http://127.0.0.1:1"], 2, "needs keys: set "),
        (["--from", "file:///x/A"], 2, "bucket 'A': 3 to 63 lowercase letters"),
        (["--from", "{url}", "--cluster", "nobody"], 1, "has no cluster nobody; it has 7c0ffee0"),
        (["--from", "{url}-2"], 1, "has no cluster: nothing lies below sprawl/"),
    ],
)
def test_a_place_that_is_none_is_one_line(
    tmp_path: Path, arguments: list[str], status: int, said: str
) -> None:
    made = filled(tmp_path)
    done = tier("verify", *(word.format(url=made.url) for word in arguments))
    assert done.returncode == status
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr and done.stdout == ""


def test_keys_are_shown_nowhere(tmp_path: Path) -> None:
    place = ["--from", "s3://messages", "--s3-endpoint", "http://127.0.0.1:1/x"]
    for command in (["verify"], ["restore", "--path", str(tmp_path / "x")], ["query", "select 1"]):
        for arguments in ([*command, *place], [*command, "--help"]):
            done = tier(*arguments, **SECRETS)
            assert not any(value in done.stdout + done.stderr for value in SECRETS.values())
    assert not (tmp_path / "x").exists()


def test_restore_makes_a_directory_and_says_the_recovery_point(tmp_path: Path) -> None:
    made = filled(tmp_path)
    done = tier("restore", "--from", made.url, "--bindPort", "7999", "-o", "json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["recovery_point"] == "2023-11-17T03:01:20.123456789Z"
    assert (found["directory"], found["records"], found["topics"]) == ("./data/7999", 36, 2)
    node = json.loads((tmp_path / "data/7999/node.json").read_text())
    assert (node["bind_port"], node["clean"], node["log_start"]) == (7999, True, 1)
    again = tier("restore", "--from", made.url, "--bindPort", "7999", cwd=tmp_path)
    assert again.returncode == 1
    assert again.stderr == "sprawlctl: cannot use data directory data/7999: it is not empty\n"


def test_restore_refuses_damage_unless_it_may_leave_it_out(tmp_path: Path) -> None:
    made = filled(tmp_path)
    next(made.top.glob("data/*/*.parquet")).unlink()
    target = str(tmp_path / "new")
    done = tier("restore", "--from", made.url, "--path", target)
    assert done.returncode == 1
    assert done.stderr.endswith("(--skip-damaged leaves it out)\n")
    assert not Path(target).exists()
    done = tier("restore", "--from", made.url, "--path", target, "--skip-damaged", "-o", "json")
    assert done.returncode == 0
    assert done.stderr.startswith("left out: data/day=")
    assert json.loads(done.stdout)["records"] < 36


@pytest.mark.needs("duckdb")
def test_query_shows_rows_in_every_form(tmp_path: Path) -> None:
    made = filled(tmp_path)
    query = 'select topic, key, headers, append_time from messages where "offset" = 10 order by 1'
    done = tier("query", query, "--from", made.url, "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(done.stdout)
    headers = [
        {"name": "trace", "value": {"base64": "AP8="}},
        {"name": "größe", "value": ""},
        {"name": "trace", "value": "2"},
    ]
    time = "2023-11-14T22:13:20.123456Z"
    assert rows[0] == {"topic": "größe", "key": "k", "headers": headers, "append_time": time}
    lines = tier("query", query, "--from", made.url, "-o", "ndjson").stdout
    assert [json.loads(line) for line in lines.splitlines()] == rows
    assert tier("query", query, "--from", made.url, "-o", "raw").stdout == "größe\norders.eu\n"
    table = tier("query", "select count(*) as n from messages", "--from", made.url)
    assert table.stdout == "N\n36\n"


@pytest.mark.needs("duckdb")
@pytest.mark.parametrize("query", ["selec", "select nope from messages", "drop table messages"])
def test_a_query_that_cannot_be_run_is_one_line(tmp_path: Path, query: str) -> None:
    done = tier("query", query, "--from", filled(tmp_path).url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("sprawlctl: ") and done.stderr.count("\n") == 1


def test_without_duckdb_query_says_how_to_get_it(tmp_path: Path) -> None:
    made: FolderBucket = filled(tmp_path)
    (tmp_path / "duckdb.py").write_text("raise ImportError('no duckdb')")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = tier("query", "select 1", "--from", made.url, PYTHONPATH=path)
    assert done.returncode == 1
    assert done.stderr == (
        "sprawlctl: tier query needs more packages: pip install 'sprawl-node[sql]'\n"
    )
