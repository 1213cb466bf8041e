"""The node: builds the rooms, starts them in the order of their needs, stops them in reverse.

In: checked settings, bound ports, a locked directory. Out: a running node, and an exit status.
Invariants: nothing else constructs a service; a failed start gives back what it took; a background
task that dies stops the node; after ``stop`` the directory and the ports are free. Source:
docs/design/node.md.
"""

import asyncio
import dataclasses
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from sprawl.clock import Clock
from sprawl.errors import SprawlError
from sprawl.limits import SAMPLE_INTERVAL_S
from sprawl.metrics.system import SystemLoad
from sprawl.model import short_id
from sprawl.node import logs
from sprawl.node.banner import banner_lines, tiers_line
from sprawl.node.directory import Directory
from sprawl.node.ports import Ports
from sprawl.node.process import quiet_collector, raise_file_limit
from sprawl.node.rooms import Build, Rooms, build_rooms
from sprawl.node.tasks import Tasks
from sprawl.node.view import LiveView
from sprawl.settings import Loaded, Settings
from sprawl.settings.show import changes

_log: Final = logging.getLogger("sprawl.node")
_LOOPBACK: Final = ("localhost", "::1")
# A cluster of one is its own leader from the first term on.
_FIRST_TERM: Final = 1
# Seconds a room gets beyond its own drain before it is closed under it.
_DRAIN_GRACE_S: Final = 0.5


class Node:
    """One node; ``run`` is its whole life."""

    def __init__(
        self,
        settings: Settings,
        ports: Ports,
        directory: Directory,
        *,
        clock: Clock,
        version: str,
        build: Build = build_rooms,
        reload: Callable[[], Loaded] | None = None,
    ) -> None:
        self.view: Final = LiveView(settings, directory, ports, clock, version)
        self.tasks: Final = Tasks(self._task_failed)
        self._ports = ports
        self._directory = directory
        self._clock = clock
        self._build = build
        self._reload = reload
        self._rooms: Rooms | None = None
        self._stop_asked = asyncio.Event()
        self._is_hurried = asyncio.Event()
        self._exit_status = 0

    async def run(self) -> int:
        """Starts, serves until a signal or a failure, stops; returns the exit status."""
        self._watch_signals()
        try:
            await self.start()
            await self._stop_asked.wait()
        finally:
            await self.stop(drain=self._exit_status == 0)
        return self._exit_status

    async def start(self) -> None:
        """Builds and starts the rooms; on return the node answers on its ports."""
        view, settings = self.view, self.view.settings
        if shortage := raise_file_limit(settings.connections_max):
            is_asked = settings.is_given("connections_max")
            _log.log(logging.WARNING if is_asked else logging.DEBUG, shortage)
        rooms = self._rooms = self._build(settings, view, self.tasks, self._directory)
        # The log has noted this start already: a crash between the two leaves the log ahead.
        self._directory.sign_start(with_log=rooms.disk is not None)
        view.load = SystemLoad(
            self._clock,
            view.disk_path,
            lambda: rooms.engine.stats()["counters"].get("messages_received", 0),
            lambda: len(asyncio.all_tasks()),
        )
        if rooms.cloud is not None:
            await rooms.cloud.open()
        await rooms.edge.start(self._ports.http, self._ports.health)
        self.tasks.start("node.sample-load", self._sample_load(view.load))
        if rooms.disk is not None:
            self.tasks.start("log.tick", self._every_second(rooms.disk.tick))
            self.tasks.start("log.keep", self._every_second(rooms.disk.keep))
            self.tasks.start("log.scrub", rooms.disk.scrub())
        if rooms.cloud is not None:
            self.tasks.start("log.move", rooms.cloud.run())
        quiet_collector()
        view.state = "ready"
        self._announce()

    async def stop(self, *, drain: bool) -> None:
        """Drains within ``drain_timeout_s``, then gives everything back; twice does nothing."""
        if self._rooms is not None:
            was_serving = self.view.state == "ready"
            self.view.state = "draining"
            if was_serving:
                await self._drain(self._rooms, self.view.settings.drain_timeout_s if drain else 0)
            if self._rooms.cloud is not None:
                await self._rooms.cloud.stop()
            await self.tasks.stop()
            is_kept = self._rooms.disk is None or await self._rooms.disk.stop()
            self._rooms = None
            if drain and is_kept:
                self._sign_clean()
            _log.info("node stopped", extra={"uptime_s": round(self.view.uptime_s(), 1)})
        if self.view.load is not None:
            self.view.load.close()
        self._ports.close()
        self._directory.release()

    def ask_stop(self) -> None:
        """Ends ``run`` with a drain; asked again while draining, it ends at once."""
        if self._stop_asked.is_set():
            self._is_hurried.set()
        self._stop_asked.set()

    def reload(self) -> None:
        """Reads the settings again and applies those that may change while the node runs."""
        if self._reload is None:
            return
        try:
            loaded = self._reload()
        except SprawlError as error:
            _log.error("settings not reloaded: %s", error.detail)
            return
        applied = {}
        for row, old, new in changes(self.view.settings, loaded.settings):
            if not row.reloadable:
                _log.warning("setting %s needs a restart: %s stays, not %s", row.key, old, new)
                continue
            _log.warning("setting %s changed from %s to %s", row.key, old, new)
            applied[row.name] = getattr(loaded.settings, row.name)
        origins = dict(self.view.settings.origins)
        origins |= {n: o for n, o in loaded.settings.origins.items() if n in applied}
        settings = dataclasses.replace(self.view.settings, **applied, origins=origins)
        self.view.settings = settings
        logs.configure(log_format=settings.log_format, level=settings.log_level, clock=self._clock)
        _log.info("settings reloaded", extra={"changed_count": len(applied)})

    async def _drain(self, rooms: Rooms, timeout_s: float) -> None:
        """Lets the edge end what is open, until it has, the time is over, or somebody hurries."""
        _log.info("draining", extra={"drain_timeout_s": timeout_s})
        work = asyncio.ensure_future(rooms.edge.stop(timeout_s))
        hurry = asyncio.ensure_future(self._is_hurried.wait())
        try:
            await asyncio.wait(
                {work, hurry},
                timeout=timeout_s + _DRAIN_GRACE_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not work.done():
                _log.warning("not everything in flight has ended, closing")
            elif error := work.exception():
                _log.error("drain failed", exc_info=error)
        finally:
            work.cancel()
            hurry.cancel()
            await asyncio.wait({work, hurry})

    def _sign_clean(self) -> None:
        try:
            self._directory.sign_clean()
        except SprawlError as error:
            # The next start then looks at everything, as after a crash.
            _log.warning("the orderly stop is not noted: %s", error.detail)

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.ask_stop)
        loop.add_signal_handler(signal.SIGHUP, self.reload)

    def _task_failed(self, failure: SprawlError) -> None:
        _log.error("stopping: %s", failure.detail, exc_info=failure.__cause__)
        self._exit_status = 1
        self._stop_asked.set()

    async def _every_second(self, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(1.0)
            await act()

    async def _sample_load(self, load: SystemLoad) -> None:
        while True:
            await asyncio.sleep(SAMPLE_INTERVAL_S)
            load.sample()

    def _announce(self) -> None:
        view, settings = self.view, self.view.settings
        http_addr = settings.http_addr
        shown = f"[{http_addr}]" if ":" in http_addr else http_addr
        _log.info("HTTP server listening on %s:%d", shown, view.http_port)
        if view.health_port:
            _log.info("health server listening on %s:%d", shown, view.health_port)
        _log.info("data in %s, %s", view.disk_path, tiers_line(view), extra=_ids(view))
        if not _is_loopback(http_addr):
            _log.warning(
                "no client authentication on %s:%d: whoever reaches the port may publish and read; "
                "bind it with -httpAddr=127.0.0.1 or guard it by a firewall",
                shown,
                view.http_port,
            )
        _log.info("[Node %s] Became leader for term %d", short_id(view.node_id), _FIRST_TERM)
        if sys.stderr.isatty():
            sys.stderr.write("\n".join([*banner_lines(view), ""]))
            sys.stderr.flush()


def _ids(view: LiveView) -> dict[str, object]:
    return {"node_id": view.node_id, "pid": os.getpid()}


def _is_loopback(address: str) -> bool:
    return address in _LOOPBACK or address.startswith("127.")
