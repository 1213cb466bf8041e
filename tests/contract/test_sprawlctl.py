"""``sprawlctl`` against a real node, as people type it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A node of its own, on loopback."""
    port = _free_port()
    folder = tmp_path_factory.mktemp("node")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SPRAWL_")}
    with (folder / "log").open("wb") as log:
        node = subprocess.Popen(
            [sys.executable, "-m", "sprawl.cli.node", "-bindAddr=127.0.0.1", "-httpAddr=127.0.0.1",
             f"-httpPort={port}", f"-bindPort={_free_port()}"],
            cwd=folder, stdout=log, stderr=log,
            env=environment | {"SPRAWL_HEALTH_PORT": str(_free_port())},
        )  # fmt: skip
        try:
            _await_ready(node, port, folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            node.send_signal(signal.SIGTERM)
            assert node.wait(20) == 0


def _await_ready(node: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline_s = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=2):
                return
        except OSError:
            assert node.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline_s, log.read_text(encoding="utf-8")
            time.sleep(0.05)


def ctl(url: str, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "sprawl.cli.ctl", "-n", url, *arguments],
        input=stdin, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_the_readme_commands(url: str) -> None:
    done = ctl(url, "subscribe", "-t", "my-topic")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"Subscribed to my-topic on {url} \(ID: [\w-]+\)\n", done.stdout)
    done = ctl(url, "publish", "-t", "my-topic", "-m", "Hello, World!")
    assert (done.returncode, done.stderr) == (0, "")
    identifier, last = done.stdout.splitlines()
    assert last == "Published 1 messages (0 failures)"
    with urllib.request.urlopen(f"{url}/messages/{identifier.removeprefix('ID: ')}") as answer:
        assert json.load(answer)["payload"] == "Hello, World!"


def test_publish_without_waiting(url: str) -> None:
    done = ctl(url, "publish", "-t", "lazy", "-w=false", "-c", "3", "-i", "1ms")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "Published 3 messages (0 failures)"


def test_the_integration_tests_pass(url: str) -> None:
    done = ctl(url, "test", "-c", "50")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "Running integration tests..."
    assert lines[1:7] == [
        "Test 1: Basic pub/sub", "✅ Passed",
        "Test 2: Message delivery under load", "✅ Passed",
        "Test 3: Node failure recovery", "✅ Passed",
    ]  # fmt: skip
    assert lines[7] == f"Metrics for {url}:"
    for line, name in zip(lines[8:], ("Routed", "Sent", "Stored", "Received"), strict=True):
        assert re.fullmatch(rf"  Messages {name}: \d+", line)


def test_diagnose_checks_every_endpoint(url: str) -> None:
    done = ctl(url, "diagnose")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("... OK") == 6
    for name in ("Node ID: ", "HTTP Port: ", "Address: ", "Cluster Members: 1"):
        assert f"  {name}" in done.stdout
    dead = ctl("http://127.0.0.1:1", "diagnose")
    assert dead.returncode == 1
    assert dead.stdout.count("... FAILED\n  Error: ") == 6


def test_a_following_subscriber_prints_what_is_published(url: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "sprawl.cli.ctl", "subscribe", "-f", "-t", "news", "-n", url],
        stdout=subprocess.PIPE, text=True,
    ) as follower:  # fmt: skip
        assert follower.stdout is not None
        subscription = follower.stdout.readline().rpartition("(ID: ")[2].rstrip(")\n")
        assert ctl(url, "publish", "-t", "news", "-m", "first").returncode == 0
        assert follower.stdout.readline().endswith("] first\n")
        follower.send_signal(signal.SIGINT)
        assert follower.wait(20) == 130
    request = urllib.request.Request(f"{url}/subscribe/{subscription}", method="DELETE")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    caught.value.close()
    assert caught.value.code == 404


def test_topics_from_their_making_to_their_end(url: str) -> None:
    assert ctl(url, "topic", "create", "p3", "--partitions", "3").returncode == 0
    shown = json.loads(ctl(url, "topic", "show", "p3", "-o", "json").stdout)
    assert [partition["partition"] for partition in shown["partitions"]] == [0, 1, 2]
    names = [
        json.loads(t)["name"] for t in ctl(url, "topic", "ls", "-o=ndjson").stdout.splitlines()
    ]
    assert "p3" in names
    assert ctl(url, "topic", "delete", "p3").returncode == 2
    assert ctl(url, "topic", "delete", "p3", "--dry-run").returncode == 0
    assert ctl(url, "topic", "show", "p3").returncode == 0
    assert ctl(url, "topic", "delete", "p3", "--yes").returncode == 0
    assert ctl(url, "topic", "show", "p3").returncode == 3
    assert ctl(url, "topic", "undelete", "p3").returncode == 0
    assert ctl(url, "topic", "show", "p3").returncode == 0


def test_pub_keeps_everything_of_a_message(url: str) -> None:
    done = ctl(
        url, "pub", "things", "-", "--key", "Ключ", "-H", "Upper=Grüße", "--content-type",
        "application/json", "-o", "json", stdin='{"a":1}',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    receipt = json.loads(done.stdout)
    read = ctl(url, "sub", "things", "--from", "earliest", "-e", "-o", "ndjson")
    message = json.loads(read.stdout)
    assert message["id"] == receipt["id"]
    assert message["key"] == "Ключ"
    assert message["headers"] == {"Upper": "Grüße"}
    assert message["content_type"] == "application/json"
    assert message["payload"] == '{"a":1}'


def test_lines_of_stdin_are_read_back_from_a_cursor(url: str) -> None:
    text = "".join(f"line {n}\n" for n in range(2_000))
    assert ctl(url, "pub", "lines", "--lines", "-o", "raw", stdin=text).returncode == 0
    first = ctl(
        url, "sub", "lines", "--from=earliest", "-e", "-o=raw", "--limit=700", "--show-cursor"
    )
    rest = ctl(url, "sub", "lines", "--from", first.stderr.strip(), "-e", "-o", "raw")
    assert first.stdout + rest.stdout == text


def test_node_health_and_doctor(url: str) -> None:
    assert json.loads(ctl(url, "node", "-o", "json").stdout)["version"]
    assert ctl(url, "health").returncode == 0
    assert ctl(url, "doctor").returncode == 0


@pytest.mark.parametrize("kind", ["pub", "sub", "pubsub", "latency"])
def test_bench_counts_and_loses_nothing(url: str, kind: str) -> None:
    done = ctl(
        url, "bench", kind, "--duration", "500ms", "--warmup", "100ms", "--rate", "2000",
        "--clients", "2", "--batch", "50", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    row = json.loads(done.stdout)
    assert row["errors"] == row["duplicates"] == 0
    assert row["messages"] > 500
    if kind in {"pubsub", "latency"}:
        assert row["lost"] == 0
        assert 0 < row["latency_ms"]["p50"] <= row["latency_ms"]["max"]


def test_tiers_are_shown_and_topics_moved(url: str) -> None:
    assert ctl(url, "publish", "-t", "moved", "-c", "3", "-i", "0").returncode == 0
    done = ctl(url, "tier", "move", "moved", "--to", "disk", "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"status": "success", "tier": "disk", "topic": "moved"}
    shown = json.loads(ctl(url, "tier", "status", "-o", "json").stdout)
    assert [row["tier"] for row in shown] == ["memory", "disk"]
    assert shown[1]["messages"] >= 3
    head, *rows = ctl(url, "tier", "status").stdout.splitlines()
    assert head.split()[:3] == ["TIER", "STATE", "MESSAGES"]
    assert [row.split()[0] for row in rows] == ["memory", "disk"]
    both = ctl(f"{url},{url.replace('127.0.0.1', 'localhost')}", "tier", "status").stdout
    assert both.startswith("NODE") and len(both.splitlines()) == 5
    refused = ctl(url, "tier", "move", "nobody", "--to", "disk")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert refused.stderr.startswith("sprawlctl: ") and refused.stderr.count("\n") == 1
