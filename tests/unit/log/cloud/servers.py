"""Servers that speak S3, each a process or thread of the tests."""

import contextlib
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from sprawl.log.cloud.place import StorePlace, parse_place
from tests.needs import s3s_fs

ROOT = Path(__file__).resolve().parents[4]
READY_S = 30


def new_bucket() -> str:
    """A name that no other test has."""
    return f"sprawl-{secrets.token_hex(6)}"


def place_at(endpoint: str, access_key: str, secret_key: str) -> StorePlace:
    """A bucket of its own there."""
    return parse_place(
        endpoint,
        bucket=new_bucket(),
        region="us-east-1",
        access_key=access_key,
        secret_key=secret_key,
    )


def through(place: StorePlace, endpoint: str) -> StorePlace:
    """The same bucket by another way."""
    host = endpoint.removeprefix("http://")
    return replace(place, shown=endpoint, host=host)


@contextlib.contextmanager
def minio(folder: Path) -> Iterator[StorePlace]:
    """MinIO, started and stopped by its script."""
    script = [str(ROOT / "scripts/minio.sh")]
    started = subprocess.run(
        [*script, "start", str(folder)], check=True, capture_output=True, text=True
    )
    said = dict(line.split("=", 1) for line in started.stdout.split())
    try:
        yield place_at(said["MINIO_ENDPOINT"], said["MINIO_ACCESS_KEY"], said["MINIO_SECRET_KEY"])
    finally:
        subprocess.run([*script, "stop", str(folder)], check=True)


@contextlib.contextmanager
def s3s(folder: Path) -> Iterator[StorePlace]:
    """s3s-fs: another server in another language, over a directory."""
    program = s3s_fs()
    assert program
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "data").mkdir(parents=True)
    command = [program, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--access-key", "sprawl-test", "--secret-key", "sprawl-test-secret"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, str(folder / "data")], stdout=log, stderr=log, env=os.environ
        )
    try:
        deadline = time.monotonic() + READY_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, "s3s-fs does not listen"
                time.sleep(0.02)
        yield place_at(f"http://127.0.0.1:{port}", "sprawl-test", "sprawl-test-secret")
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def moto() -> Iterator[StorePlace]:
    """moto on a thread: it keeps nothing and checks no key, so it shows semantics alone."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield place_at(f"http://{host}:{port}", "sprawl-test", "sprawl-test-secret")
    finally:
        server.stop()
