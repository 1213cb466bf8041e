"""What a terminal sees at the start.

In: the view of the node. Out: lines. Invariant: it says what is true, so also when messages are held
in memory only, and how many.
"""

import shutil
import sys
from pathlib import Path

from sprawl.limits import MIB
from sprawl.node.object_store import object_store
from sprawl.node.view import LiveView

_WILDCARDS = ("0.0.0.0", "::", "")


def banner_lines(view: LiveView) -> list[str]:
    """About six lines: who, where, what is kept how, and three commands to try."""
    settings = view.settings
    http = f"http://{_host(settings.http_addr)}:{view.http_port}"
    health = f":{view.health_port}" if view.health_port else "none"
    node_option = "" if http == "http://localhost:8080" else f" -n {http}"
    ctl = _command("sprawlctl")
    addresses = (
        f"  HTTP {settings.http_addr}:{view.http_port} · health {health} · "
        f"cluster {settings.bind_addr}:{view.bind_port} (a cluster of one)"
    )
    return [
        f"Sprawl {view.version}, node {view.node_id}, start {view.boot_counter}",
        addresses,
        f"  data {view.disk_path} · {tiers_line(view)}",
        f"  try: {ctl}{node_option} subscribe -t my-topic",
        f'       {ctl}{node_option} publish -t my-topic -m "Hello, World!"',
        f"       curl {http}/v1/topics/my-topic/messages",
    ]


def tiers_line(view: LiveView) -> str:
    """Which tiers are on, and what that promises about keeping messages."""
    memory = f"{view.memory_bytes_max / MIB:g} MiB"
    if view.settings.has_cloud:
        place = object_store(view.settings)
        return (
            f"tiers memory ({memory}), disk and cloud ({place.bucket} at {place.shown}): messages "
            "are acknowledged once they are on disk"
        )
    if view.settings.has_disk:
        return f"tiers memory ({memory}) and disk: messages are acknowledged once they are on disk"
    return f"tier memory: messages are held in memory only, bounded to {memory}"


def _host(address: str) -> str:
    if address in _WILDCARDS:
        return "localhost"
    return f"[{address}]" if ":" in address else address


def _command(name: str) -> str:
    """As it can be typed in another terminal: by name, or with the path beside this program."""
    if shutil.which(name):
        return name
    beside = Path(sys.argv[0]).with_name(name)
    return str(beside) if beside.exists() else name
