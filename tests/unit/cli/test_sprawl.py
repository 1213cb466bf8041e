"""The command `sprawl`, as a process with twin rooms: exit statuses, one-line refusals, signals."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.unit.node.free_ports import free_ports

TWIN = Path(__file__).parents[1] / "node/twin_sprawl.py"
Running = subprocess.Popen[str]


class Command:
    """Starts `sprawl` in one fresh directory and ends what it started."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: list[Running] = []

    def start(self, *argv: str, **environment: str) -> Running:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SPRAWL_")}
        process = subprocess.Popen(
            [sys.executable, str(TWIN), *argv],
            cwd=self._directory,
            env=kept | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._running.append(process)
        return process

    def node(self, *argv: str, **environment: str) -> tuple[Running, list[int]]:
        """A node on free loopback ports (cluster, HTTP, health) that answers."""
        ports = free_ports(3)
        names = ("bindPort", "httpPort", "healthPort")
        flags = [f"-{name}={port}" for name, port in zip(names, ports, strict=True)]
        addresses = ["-httpAddr=127.0.0.1", "-bindAddr=127.0.0.1"]
        process = self.start(*flags, *addresses, *argv, **environment)
        self.await_answer(process, ports[1])
        return process, ports

    def await_answer(self, process: Running, port: int) -> None:
        deadline = time.monotonic() + 20
        while process.poll() is None and time.monotonic() < deadline:
            try:
                with urlopen(f"http://127.0.0.1:{port}/status", timeout=1) as answer:
                    assert json.load(answer)["http_port"] == port
                    return
            except OSError:
                time.sleep(0.02)
        pytest.fail(f"no answer on port {port}; status {process.poll()}")

    def ended(self, *argv: str, **environment: str) -> tuple[int, str, str]:
        process = self.start(*argv, **environment)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err

    def close(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def sprawl(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path)
    yield command
    command.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_idle_node_with_0_within_2_s(
    sprawl: Command, number: signal.Signals
) -> None:
    process, _ = sprawl.node()
    process.send_signal(number)
    _, err = process.communicate(timeout=2)
    assert process.returncode == 0
    assert "node stopped" in err


def test_a_start_says_what_it_is_and_where(sprawl: Command, tmp_path: Path) -> None:
    process, (bind, http, _) = sprawl.node("-s3SecretKey=hunter2", SPRAWL_XYZ="1")
    process.terminate()
    _, err = process.communicate(timeout=10)
    assert f"HTTP server listening on 127.0.0.1:{http}\n" in err
    assert re.search(r"\[Node [0-9a-f]{8}\] Became leader for term 1\n", err)
    assert f"data in data/{bind}, tiers memory (100 MiB) and disk: " in err
    assert f"setting bindPort={bind} (flag -bindPort)" in err
    assert "unknown variable SPRAWL_XYZ has no effect" in err
    assert "hunter2" not in err
    assert "no client authentication" not in err
    identity = json.loads((tmp_path / f"data/{bind}/node.json").read_text())
    assert identity["bind_port"] == bind


def test_a_node_that_the_network_reaches_warns(sprawl: Command) -> None:
    process, (_, http, _) = sprawl.node("-httpAddr=0.0.0.0")
    process.terminate()
    _, err = process.communicate(timeout=10)
    assert f"WARNING no client authentication on 0.0.0.0:{http}" in err


def test_a_second_node_on_the_same_port_is_told_whose_it_is(sprawl: Command) -> None:
    first, (_, _, health) = sprawl.node()
    bind, _ = free_ports(2)
    status, _, err = sprawl.ended(f"-bindPort={bind}", f"-httpPort={health}", "-httpAddr=127.0.0.1")
    assert status == 1
    assert re.fullmatch(
        rf"Failed to bind to port {health}: address already in use; port {health} is the health "
        rf"port of node [0-9a-f]{{8}} \(pid {first.pid}\); choose another with -httpPort\n",
        err,
    )


def test_a_second_node_on_the_same_cluster_port_is_told_whose_it_is(sprawl: Command) -> None:
    first, (bind, _, _) = sprawl.node()
    status, _, err = sprawl.ended(f"-bindPort={bind}", "-httpPort=0", "-httpAddr=127.0.0.1")
    assert status == 1
    assert f"port {bind} is the cluster port of node " in err
    assert f"(pid {first.pid}); choose another with -bindPort\n" in err


def test_nodes_with_the_same_path_get_folders_of_their_own(sprawl: Command, tmp_path: Path) -> None:
    _, (first, _, _) = sprawl.node("-diskStoragePath=shared")
    _, (second, _, _) = sprawl.node("-diskStoragePath=shared")
    assert json.loads((tmp_path / "shared/node.json").read_text())["bind_port"] == first
    assert (tmp_path / f"shared/{second}/node.json").exists()


def test_an_identity_that_cannot_be_read_is_refused_with_1(sprawl: Command, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/node.json").write_text("{")
    (bind,) = free_ports(1)
    status, _, err = sprawl.ended(
        f"-bindPort={bind}", "-httpPort=0", "-httpAddr=127.0.0.1", "-diskStoragePath=bad"
    )
    assert status == 1
    assert err.startswith("cannot use data directory bad/node.json: not JSON")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["-htpPort=1"], "sprawl: unknown flag -htpPort; did you mean -httpPort?"),
        (["-bindPort=banana"], "sprawl: -bindPort: 'banana' is not a whole number"),
        (["-bindPort"], "sprawl: -bindPort: needs a value"),
        (["-settings=no.toml"], "sprawl: settings file no.toml: No such file or directory"),
        (["-bindPort=\x1b[31m\n"], "sprawl: -bindPort: '\\x1b[31m\\n' is not a whole number"),
        (["-nodeId=\udcff"], "sprawl: -nodeId: '\\udcff' holds more than letters, digits and"),
    ],
)
def test_a_bad_setting_is_one_line_and_the_usage_with_2(
    sprawl: Command, argv: list[str], line: str
) -> None:
    status, out, err = sprawl.ended(*argv)
    assert (status, out) == (2, "")
    first, usage = err.splitlines()
    assert first.startswith(line)
    assert usage.startswith("usage: sprawl ")


def test_what_is_not_in_this_version_is_one_line_with_2(sprawl: Command, tmp_path: Path) -> None:
    status, _, err = sprawl.ended("-seeds=10.255.255.1:7946")
    assert status == 2
    assert err == (
        "sprawl: -seeds=10.255.255.1:7946: joining a cluster is not in this version; leave it out\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flag", ["-h", "-help", "--help"])
def test_help_is_on_stdout_with_0(sprawl: Command, flag: str) -> None:
    status, out, err = sprawl.ended(flag)
    assert (status, err) == (0, "")
    assert "-bindPort" in out


def test_version_and_print_config_are_on_stdout_with_0(sprawl: Command) -> None:
    assert sprawl.ended("-version")[:2] == (0, "sprawl 0.1.0\n")
    status, out, err = sprawl.ended("-printConfig", "-bindPort=7950", MINIO_SECRET_KEY="hunter2")
    assert (status, err) == (0, "")
    assert "bindPort = 7950  # flag -bindPort\n" in out
    assert "hunter2" not in out


def test_a_hangup_reloads_the_settings_file(sprawl: Command, tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("drainTimeout = '5s'\n")
    process, _ = sprawl.node("-settings=s.toml")
    file.write_text("drainTimeout = '7s'\nhttpPort = 1\nconnectionsMax = 5\n")
    process.send_signal(signal.SIGHUP)
    assert process.stderr is not None
    seen = ""
    while "settings reloaded" not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line
    assert "setting drainTimeout changed from 5 to 7" in seen
    assert "setting connectionsMax needs a restart: 20000 stays, not 5" in seen
    process.terminate()
    assert process.wait(10) == 0


def test_json_lines_are_json(sprawl: Command) -> None:
    process, _ = sprawl.node(SPRAWL_LOG_FORMAT="json")
    process.terminate()
    _, err = process.communicate(timeout=10)
    messages = [json.loads(line)["message"] for line in err.splitlines()]
    assert any(message.startswith("HTTP server listening on ") for message in messages)
