"""From checked settings to a running node: what must be had before the loop runs.

In: loaded settings. Out: the exit status of the node. Raises SettingsError for what this version
does not have, StartError for ports and directory. Order: refusals, logs, ports, directory, loop;
a start that is refused says one line and nothing else.
"""

import logging
import os
from collections.abc import Callable
from typing import Final

from sprawl._native import __version__
from sprawl.clock import SystemClock
from sprawl.log.place import file_system_warning
from sprawl.model import node_id_of
from sprawl.node import logs
from sprawl.node.directory import Directory, open_directory
from sprawl.node.not_in_version import is_address_here, require_available
from sprawl.node.object_store import object_store
from sprawl.node.ports import Ports, take_ports
from sprawl.settings import Loaded, Settings
from sprawl.settings.show import effective_lines

_log: Final = logging.getLogger("sprawl.node")


def launch(loaded: Loaded, reload: Callable[[], Loaded]) -> int:
    """Runs a node until it ends."""
    settings = loaded.settings
    require_available(settings, is_address_here)
    if settings.has_cloud:
        # Refused before a port or a directory is touched.
        object_store(settings)
    clock = SystemClock()
    logs.configure(
        log_format=settings.log_format,
        level=settings.log_level,
        clock=clock,
    )
    ports = take_ports(settings)
    try:
        directory = _open_directory(settings)
    except BaseException:
        ports.close()
        raise
    place = file_system_warning(directory.path) if settings.has_disk else ""
    _tell(loaded, (*ports.warnings, *directory.warnings, *([place] if place else [])))
    return _run(settings, ports, directory, clock, reload)


def _run(
    settings: Settings,
    ports: Ports,
    directory: Directory,
    clock: SystemClock,
    reload: Callable[[], Loaded],
) -> int:
    import uvloop

    from sprawl.node.node import Node

    async def live() -> int:
        node = Node(settings, ports, directory, clock=clock, version=__version__, reload=reload)
        return await node.run()

    try:
        return uvloop.run(live())
    finally:
        ports.close()
        directory.release()


def _open_directory(settings: Settings) -> Directory:
    return open_directory(
        settings.directory,
        settings.bind_port,
        settings.node_id,
        __version__,
        lambda: node_id_of(os.urandom(16)),
    )


def _tell(loaded: Loaded, warnings: tuple[str, ...]) -> None:
    """What differs from the defaults, with its origin; what has no effect; what looks wrong."""
    for warning in (*loaded.warnings, *warnings):
        _log.warning(warning)
    for notice in loaded.notices:
        _log.info(notice)
    for line in effective_lines(loaded.settings):
        _log.info(f"setting {line}")
