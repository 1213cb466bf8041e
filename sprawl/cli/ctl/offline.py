"""What ``sprawlctl tier`` does with a bucket alone: verify, restore, query.

In: where the bucket is, what was asked. Out: rows on stdout, complaints on stderr, an exit status.
Apart from ``tier`` because it imports the log, which no other command needs.
"""

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import click

from sprawl._native import __version__
from sprawl.cli.ctl import exits
from sprawl.cli.ctl import output as out
from sprawl.cli.ctl.run import Ended
from sprawl.clock import SystemClock, rfc3339
from sprawl.errors import ObjectDamaged, SettingsError
from sprawl.limits import FAULTS_SHOWN_MAX
from sprawl.log.cloud import sql, verify
from sprawl.log.cloud.bucket import Bucket, choose_cluster
from sprawl.log.cloud.objects import Store
from sprawl.log.cloud.place import StorePlace, parse_place
from sprawl.log.cloud.work import open_store
from sprawl.node.restore import restore_directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What the options of ``source`` were given."""

    from_: str | None
    cluster_id: str
    s3_endpoint: str
    s3_bucket: str
    s3_region: str
    s3_access_key: str
    s3_secret_key: str

    @contextmanager
    def opened(self) -> Iterator[tuple[Store, Bucket]]:
        """The store and the cluster's part of it. Raises a usage error for a place that is none."""
        try:
            place, named = self._place()
        except SettingsError as error:
            raise click.UsageError(error.detail) from error
        store, clock = open_store(place), SystemClock()
        try:
            shown = f"{place.shown}/{place.bucket}"
            cluster_id = choose_cluster(store, clock, self.cluster_id or named, shown)
            yield store, Bucket(store, cluster_id, clock)
        finally:
            store.close()

    def _place(self) -> tuple[StorePlace, str]:
        endpoint, bucket, cluster_id = self.s3_endpoint, self.s3_bucket, ""
        scheme, _, rest = (self.from_ or "").partition("://")
        if scheme == "s3":
            bucket, _, cluster_id = rest.rstrip("/").partition("/")
        elif scheme == "file":
            folder, _, bucket = rest.rstrip("/").rpartition("/")
            endpoint, bucket = f"file://{folder or '/'}", unquote(bucket)
        place = parse_place(
            endpoint,
            bucket=bucket,
            region=self.s3_region,
            access_key=self.s3_access_key,
            secret_key=self.s3_secret_key,
        )
        return place, cluster_id


def show_verified(source: Source, output: str) -> None:
    """Verifies a bucket; Ended when something does not hold."""
    faults: list[dict[str, str]] = []

    def fault(key: str, why: str) -> None:
        out.complain(f"{key}: {why}")
        if len(faults) < FAULTS_SHOWN_MAX:
            faults.append({"key": key, "fault": why})

    with source.opened() as (_, bucket):
        row = _dated(asdict(verify.verify(bucket, fault)))
    if output in ("json", "ndjson"):
        out.record(row | {"first_faults": faults}, output)
    else:
        out.record(row, output)
    if row["faults"]:
        raise Ended(exits.FAILED)


def show_restored(
    source: Source, path: str, bind_port: int, node_id: str, output: str, *, skips: bool
) -> None:
    """Makes a data directory; ``skips``: what is damaged is left out, not refused."""

    def fault(key: str, why: str) -> None:
        if not skips:
            raise ObjectDamaged(f"{key}: {why} (--skip-damaged leaves it out)")
        out.complain(f"left out: {key}: {why}")

    with source.opened() as (_, bucket):
        found = restore_directory(
            bucket,
            path,
            bind_port=bind_port,
            node_id=node_id,
            version=__version__,
            clock=SystemClock(),
            fault=fault,
        )
    row = _dated(asdict(found))
    out.record({"directory": path, "recovery_point": row.pop("newest")} | row, output)


def show_rows(source: Source, query: str, output: str) -> None:
    """Runs a query; rows are written as they come where the form allows it."""
    with (
        source.opened() as (store, bucket),
        sql.query(store, bucket.cluster_id, query, SystemClock()) as found,
    ):
        names = found.columns
        rows = (dict(zip(names, map(_plain, row), strict=True)) for row in found.rows())
        if output in ("ndjson", "raw"):
            for row in rows:
                out.rows([row], output)
        else:
            out.rows(list(rows), output)


def _dated(row: Mapping[str, Any]) -> dict[str, object]:
    """The row with times as text: ``oldest_ns`` becomes ``oldest``; 0 is none."""
    shown: dict[str, object] = {}
    for name, value in row.items():
        if name.endswith("_ns"):
            shown[name.removesuffix("_ns")] = rfc3339(value) if value else None
        else:
            shown[name] = value
    return shown


def _plain(value: object) -> object:
    """A value of DuckDB's as JSON has it."""
    if isinstance(value, bytes | bytearray):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta | Decimal | UUID):
        return str(value)
    return value
