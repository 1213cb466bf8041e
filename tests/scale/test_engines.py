"""Other engines read the cold tier with no node running: the blocks of docs/scale-out.md."""

import ast
import json
import sys
from datetime import date

import pytest

from sprawl.log.cloud.place import StorePlace
from tests.models.bucket import CLUSTER, FolderBucket
from tests.scale.conftest import BUCKET, block, run, run_python

# 3 records a batch of the two topics in turn, 5 batches a day from 22:13 on: tests/models/bucket.py.
DAYS = [
    ("2023-11-14", "größe", 9, 21),
    ("2023-11-14", "orders.eu", 9, 21),
    ("2023-11-16", "größe", 6, 14),
    ("2023-11-16", "orders.eu", 9, 21),
    ("2023-11-17", "größe", 3, 7),
]


def names_of(folder: FolderBucket) -> dict[str, str]:
    return {"/srv/objects/sprawl-messages": folder.url.removeprefix("file://"), "CLUSTER": CLUSTER}


def query_of_the_document() -> tuple[str, str]:
    """Place and query of the command."""
    head, query, _ = block("DuckDB", "bash").split('"')
    words = head.split()
    assert words[:3] == ["sprawlctl", "tier", "query"]
    return words[4].replace("CLUSTER", CLUSTER), query


def check_days(printed: str) -> None:
    rows = [json.loads(line) for line in printed.splitlines()]
    assert [tuple(row.values()) for row in rows] == DAYS


CTL = [sys.executable, "-m", "sprawl.cli.ctl", "tier"]


@pytest.mark.needs("duckdb")
def test_the_command_queries_a_folder(folder: FolderBucket) -> None:
    _, query = query_of_the_document()
    check_days(run([*CTL, "query", "--from", folder.url, query, "-o", "ndjson"]))


@pytest.mark.needs("duckdb", "minio")
def test_the_command_queries_a_bucket(minio: StorePlace) -> None:
    place, query = query_of_the_document()
    assert place == f"s3://{BUCKET}/{CLUSTER}"
    check_days(run([*CTL, "query", "--from", place, query, "-o", "ndjson"], variables(minio)))


def variables(minio: StorePlace) -> dict[str, str]:
    return {
        "MINIO_ENDPOINT": minio.shown,
        "MINIO_ACCESS_KEY": minio.access_key,
        "MINIO_SECRET_KEY": minio.secret_key,
    }


@pytest.mark.needs("minio")
def test_a_bucket_is_verified_and_restored_as_a_folder_is(
    minio: StorePlace, folder: FolderBucket, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = ["--from", f"s3://{BUCKET}", "-o", "json"]
    verified = run([*CTL, "verify", *place], variables(minio))
    assert verified == run([*CTL, "verify", "--from", folder.url, "-o", "json"])
    assert json.loads(verified)["faults"] == 0
    target = tmp_path_factory.mktemp("data")
    restored = run([*CTL, "restore", *place, "--path", str(target)], variables(minio))
    assert json.loads(restored)["records"] == 36


@pytest.mark.needs("duckdb")
def test_duckdb_reads_a_folder(folder: FolderBucket) -> None:
    printed = run_python(block("DuckDB", "python"), names_of(folder))
    assert ast.literal_eval(printed) == [("größe", 18), ("orders.eu", 18)]


LAST = [(b"", b"", 26), (b"k", b'{"n":1}', 25)]


@pytest.mark.needs("polars")
def test_polars_reads_a_folder(folder: FolderBucket) -> None:
    code = block("Polars", "python")
    options = code[code.index("    storage_options=") : code.index("\n)\nlast")]
    code = code.replace(options, "").replace(f"s3://{BUCKET}", "/srv/objects/sprawl-messages")
    assert ast.literal_eval(run_python(code, names_of(folder))) == LAST


@pytest.mark.needs("polars", "minio")
def test_polars_reads_a_bucket(minio: StorePlace) -> None:
    names = {
        "http://localhost:9000": minio.shown,
        "ACCESS_KEY": minio.access_key,
        "SECRET_KEY": minio.secret_key,
        "CLUSTER": CLUSTER,
    }
    assert ast.literal_eval(run_python(block("Polars", "python"), names)) == LAST


@pytest.mark.needs("spark")
@pytest.mark.timeout(300)
def test_spark_reads_a_folder(folder: FolderBucket) -> None:
    printed = run_python(block("Spark", "python"), names_of(folder))
    rows = eval(printed.splitlines()[-1], {"datetime": __import__("datetime")})
    assert rows[0] == (date(2023, 11, 14), 22, "größe", 9, 3)
    assert sum(row[3] for row in rows) == 36
    assert sum(row[4] for row in rows) == 12
