"""Proves the Dockerfile on a machine without a container engine, as root: runs its steps, then starts what they made.

A base image is stood in for by a bare Debian root of the same release with Debian's own Python (debootstrap, kept in
``build/image/base``). The steps are read from the Dockerfile itself, so that what is proven is that file: RUN by
chroot in a mount namespace of its own, COPY obeying .dockerignore, then ENV, WORKDIR, USER, HEALTHCHECK and ENTRYPOINT
for a start as the non-root user in a network and process namespace of its own, on the default ports. An instruction
that this program does not know ends it.
"""

import fcntl
import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "image"
PACKAGES = "python3,python3-venv,python3-dev,ca-certificates"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
READ_BACK = """\
import urllib.request
url = "http://127.0.0.1:8080/v1/topics/image/messages?from=earliest"
print(urllib.request.urlopen(url, timeout=5).read().decode())"""
READY_S = 20
STOP_S = 12


@dataclass
class Stage:
    """One FROM and what the instructions after it have set."""

    name: str
    release: str
    root: Path
    env: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    workdir: str = "/"
    user: str = "0:0"
    healthcheck: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)


def instructions(text: str) -> list[tuple[str, str]]:
    """(instruction, rest) of each logical line of a Dockerfile."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    pairs = (line.partition(" ") for line in joined.splitlines() if line.strip())
    return [(word.upper(), rest.strip()) for word, _, rest in pairs]


def say(text: str) -> None:
    print(f"== {text}", flush=True)


def bare_root(release: str) -> Path:
    """A Debian root of ``release`` with Python, made once."""
    base = WORK / "base" / release
    if not (base / "made").exists():
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir(parents=True)
        say(f"debootstrap {release}")
        command = [
            "debootstrap",
            "--variant=minbase",
            f"--include={PACKAGES}",
            release,
            str(base / "root"),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (base / "made").touch()
    return base / "root"


def in_root(stage: Stage, command: list[str], env: dict[str, str]) -> list[str]:
    """The command that runs ``command`` inside the stage with /proc and /dev there, as the stage's user."""
    mounts = f"mount --rbind /dev {stage.root}/dev && mount -t proc proc {stage.root}/proc"
    inner = ["chroot", f"--userspec={stage.user}", str(stage.root), "/usr/bin/env", "-i"]
    inner += [f"{name}={value}" for name, value in env.items()]
    inner += ["/bin/sh", "-c", f"cd {shlex.quote(stage.workdir)} && exec {shlex.join(command)}"]
    script = f"{mounts} && exec {shlex.join(inner)}"
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]


def is_ignored(path: Path) -> bool:
    """Whether .dockerignore keeps ``path`` out of the build context."""
    relative = path.relative_to(ROOT)
    patterns = [p for p in (ROOT / ".dockerignore").read_text().split("\n") if p and p[0] != "#"]
    allowed = {p[1:] for p in patterns if p.startswith("!")}
    anywhere = [p.removeprefix("**/") for p in patterns if p.startswith("**/")]
    kept = relative.parts[0] in allowed
    return not kept or any(fnmatch.fnmatch(part, p) for part in relative.parts for p in anywhere)


def copy(stage: Stage, stages: dict[str, Stage], rest: str) -> None:
    """COPY, from the context or from an earlier stage."""
    *sources, destination = shlex.split(rest)
    origin = ROOT
    if sources[0].startswith("--from="):
        origin = stages[sources.pop(0).removeprefix("--from=")].root
    goal = stage.root / (Path(stage.workdir) / destination).relative_to("/")
    for source in sources:
        path = origin / source.lstrip("/")
        target = goal / path.name if destination.endswith("/") else goal
        target.parent.mkdir(parents=True, exist_ok=True)
        if origin != ROOT:
            shutil.copytree(path, target, symlinks=True, dirs_exist_ok=True)
            continue
        if is_ignored(path):
            raise SystemExit(f"COPY {source}: .dockerignore keeps it out of the context")
        if path.is_dir():
            shutil.copytree(
                path,
                target,
                dirs_exist_ok=True,
                ignore=lambda at, names: [n for n in names if is_ignored(Path(at, n))],
            )
        else:
            shutil.copy2(path, target)


def start_stage(rest: str) -> Stage:
    """FROM python:X-slim-RELEASE [AS NAME]."""
    match = re.fullmatch(r"python:[\d.]+-slim-(\w+)(?: AS (\w+))?", rest)
    if match is None:
        raise SystemExit(f"FROM {rest}: only python:X-slim-RELEASE can be stood in for")
    name = match[2] or "final"
    root = WORK / name
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "-a", "--reflink=auto", str(bare_root(match[1])), str(root)], check=True)
    # The stand-in reaches the registries the way this machine does.
    shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")
    shutil.copyfile(CERTIFICATES, root / CERTIFICATES.lstrip("/"))
    return Stage(name, match[1], root)


def build() -> Stage:
    """Runs every step; the last stage is the image."""
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    trust = dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT", "CARGO_HTTP_CAINFO"), CERTIFICATES)
    for word, rest in instructions((ROOT / "Dockerfile").read_text()):
        say(f"{word} {rest}")
        if word == "FROM":
            stage = start_stage(rest)
            stages[stage.name] = stage
            continue
        if stage is None:
            raise SystemExit(f"{word} before FROM")
        match word:
            case "RUN":
                command = in_root(stage, ["/bin/sh", "-ec", rest], trust | stage.env)
                subprocess.run(command, check=True)
            case "COPY":
                copy(stage, stages, rest)
            case "ENV":
                name, _, value = rest.partition("=")
                stage.env[name] = value
            case "WORKDIR":
                stage.workdir = rest
                (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "USER":
                stage.user = rest
            case "HEALTHCHECK":
                stage.healthcheck = json.loads(rest.partition("CMD ")[2])
            case "ENTRYPOINT":
                stage.entrypoint = json.loads(rest)
            case "VOLUME" | "EXPOSE" | "STOPSIGNAL":
                pass  # only an engine can act on these
            case _:
                raise SystemExit(f"unknown instruction {word}")
    if stage is None:
        raise SystemExit("the Dockerfile has no FROM")
    return stage


def loopback_up() -> None:
    """Brings up ``lo`` in this network namespace (SIOCSIFFLAGS with IFF_UP)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 0x1))


def run(stage: Stage, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs a command in the image and gives its output."""
    full = in_root(stage, command, stage.env)
    return subprocess.run(full, check=False, capture_output=True, text=True)


def node_pid(unshare: int) -> int:
    """Process id of the node that a command of ``in_root`` has become (its only child)."""
    children = Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()
    return int(children[0])


def prove(stage: Stage) -> None:
    """Starts the image's node as its user on the defaults and uses it; raises SystemExit when anything differs."""
    loopback_up()
    for command in ("/app/sprawl", "/app/sprawlctl"):
        if run(stage, [command, "--help"]).returncode != 0:
            raise SystemExit(f"{command} --help failed in the image")
    say(f"starting {stage.entrypoint} as {stage.user}")
    with subprocess.Popen(in_root(stage, stage.entrypoint, stage.env)) as node:
        deadline = time.monotonic() + READY_S
        while (health := run(stage, stage.healthcheck)).returncode != 0:
            if node.poll() is not None:
                raise SystemExit(f"the node ended with {node.returncode}")
            if time.monotonic() > deadline:
                node.kill()
                raise SystemExit(f"no healthy answer within {READY_S} s: {health.stderr}")
        pid = node_pid(node.pid)
        uid = Path(f"/proc/{pid}").stat().st_uid
        sent = run(stage, ["/app/sprawlctl", "publish", "-t", "image", "-m", "from the image"])
        read = run(stage, ["python3", "-c", READ_BACK])
        os.kill(pid, signal.SIGTERM)
        code = node.wait(STOP_S)
    if uid != int(stage.user.partition(":")[0]):
        raise SystemExit(f"the node ran as uid {uid}")
    if sent.returncode != 0 or '"payload":"from the image"' not in read.stdout:
        raise SystemExit(f"publish or read failed: {sent.stderr} {read.stdout} {read.stderr}")
    if code != 0:
        raise SystemExit(f"SIGTERM ended the node with {code}")
    app = subprocess.run(
        ["du", "-sm", stage.root / "app"], check=True, capture_output=True, text=True
    )
    say(f"healthy, published, read, stopped; as uid {uid}; /app is {app.stdout.split()[0]} MB")


if __name__ == "__main__":
    if "SPRAWL_IMAGE_NAMESPACE" not in os.environ:
        image = build()
        # The start happens in a network namespace, so that the default ports are free.
        again = ["unshare", "--net", sys.executable, __file__]
        state = json.dumps({**vars(image), "root": str(image.root)})
        raise SystemExit(
            subprocess.run(
                again, check=False, env=os.environ | {"SPRAWL_IMAGE_NAMESPACE": state}
            ).returncode
        )
    described = json.loads(os.environ["SPRAWL_IMAGE_NAMESPACE"])
    prove(Stage(**described | {"root": Path(described["root"])}))
