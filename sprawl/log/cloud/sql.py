"""SQL over a bucket with no node: DuckDB reads the segments through our own object store.

In: an open store, a cluster's id, one query. Out: names of columns and rows. Invariants: one SELECT is
run and nothing else; nothing is downloaded but the parts of the files that the query needs: DuckDB's
own S3 reader is an extension that it fetches from its makers at run time, so it gets a file system of
ours. The packages (extra ``sql``) are imported when a query is run. Source: docs/scale-out.md.
"""

import contextlib
import fnmatch
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sprawl.clock import SECOND_NS, Clock
from sprawl.errors import InvalidRequest, NotAvailable, ObjectNotFound, SprawlError
from sprawl.limits import BUCKET_CALL_TIMEOUT_S, OBJECTS_PAGE_MAX, QUERY_ROWS_COUNT
from sprawl.log.cloud.layout import DATA_PREFIX, cluster_prefix
from sprawl.log.cloud.objects import Deadline, ObjectInfo, ObjectStore

_SCHEME: Final = "sprawl"
_MISSING: Final = "tier query needs more packages: pip install 'sprawl-node[sql]'"


class Result:
    """What a query gave: names of its columns, then rows, a bounded number at a time."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self.columns: Final = [column[0] for column in cursor.description]

    def rows(self) -> Iterator[Sequence[object]]:
        """The rows in order."""
        while found := self._cursor.fetchmany(QUERY_ROWS_COUNT):
            yield from found


@contextlib.contextmanager
def query(store: ObjectStore, cluster_id: str, sql: str, clock: Clock) -> Iterator[Result]:
    """Runs one SELECT over the view ``messages``: the columns of docs/design/cloud.md and ``day``.

    Raises NotAvailable without the packages, InvalidRequest for what is no single SELECT or is wrong in
    itself, and what the store raises.
    """
    try:
        import duckdb
        import fsspec
        import pytz
    except ImportError as error:
        raise NotAvailable(_MISSING, code="not_available") from error
    del fsspec, pytz  # DuckDB imports them itself, and says less when they are missing
    files = _Files(store, clock)
    data = cluster_prefix(cluster_id) + DATA_PREFIX
    if not files.list(data, limit=1):
        raise ObjectNotFound(f"cluster {cluster_id} has no segment yet")
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        try:
            _prepare(connection, folder, files, data)
            yield Result(connection.execute(_only_select(duckdb, sql)))
        except duckdb.Error as error:
            if files.failure is not None:
                raise files.failure from error
            raise InvalidRequest(" ".join(str(error).split())) from error


def _prepare(connection: Any, folder: str, files: "_Files", data: str) -> None:
    connection.register_filesystem(_file_system(files))
    connection.execute(
        f"set temp_directory = '{folder}'; set timezone = 'UTC';"
        "set autoinstall_known_extensions = false; set autoload_known_extensions = false;"
    )
    path = f"{_SCHEME}://{data}*/*.parquet"
    connection.read_parquet(path, hive_partitioning=True).create_view("messages")


def _only_select(duckdb: Any, sql: str) -> Any:
    statements = duckdb.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise InvalidRequest("one SELECT is run and nothing else")
    return statements[0]


class _Files:
    """The objects of a store as DuckDB asks for them; what a list told is not asked for again."""

    def __init__(self, store: ObjectStore, clock: Clock) -> None:
        self.failure: SprawlError | None = None
        self._store = store
        self._clock = clock
        self._known: dict[str, ObjectInfo] = {}

    def list(self, prefix: str, limit: int = 0) -> list[str]:
        """Keys below a prefix, at most ``limit`` of them if given."""
        keys: list[str] = []
        while True:
            page = self._call(
                self._store.page,
                prefix,
                after=keys[-1] if keys else "",
                limit=limit or OBJECTS_PAGE_MAX,
            )
            self._known |= {info.key: info for info in page}
            keys += [info.key for info in page]
            if limit or len(page) < OBJECTS_PAGE_MAX:
                return keys

    def info(self, key: str) -> ObjectInfo:
        """What is known of an object."""
        if key not in self._known:
            self._known[key] = self._call(self._store.head, key)
        return self._known[key]

    def read(self, key: str, start: int, end: int) -> bytes:
        """The bytes ``[start, end)``."""
        found: bytes = self._call(self._store.get, key, start=start, length=end - start)
        return found

    def _call(self, call: Callable[..., Any], key: str, **arguments: object) -> Any:
        try:
            return call(key, Deadline(self._clock, BUCKET_CALL_TIMEOUT_S), **arguments)
        except SprawlError as error:
            self.failure = error
            raise


def _file_system(files: _Files) -> object:
    """The objects as fsspec has files: what DuckDB takes."""
    from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

    class File(AbstractBufferedFile):
        def _fetch_range(self, start: int, end: int) -> bytes:
            return files.read(self.path, start, end)

    class FileSystem(AbstractFileSystem):
        protocol = _SCHEME
        cachable = False

        def glob(self, path: str, **_: object) -> list[str]:
            pattern = self._strip_protocol(path)
            keys = files.list(pattern.partition("*")[0])
            return [key for key in keys if fnmatch.fnmatchcase(key, pattern)]

        def info(self, path: str, **_: object) -> dict[str, object]:
            info = files.info(self._strip_protocol(path))
            return {"name": info.key, "size": info.size_bytes, "type": "file"}

        def modified(self, path: str) -> datetime:
            modified_ns = files.info(self._strip_protocol(path)).modified_ns
            return datetime.fromtimestamp(modified_ns // SECOND_NS, UTC)

        def _open(self, path: str, mode: str = "rb", **_: object) -> File:
            return File(self, path, mode, cache_type="none")

    return FileSystem()
