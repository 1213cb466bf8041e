"""Work for the worker process of the tests."""

import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from sprawl.errors import ObjectNotFound
from sprawl.limits import WORKER_BACKGROUND_MAX
from sprawl.worker.work import Answer, Call, Handler

_gate = threading.Semaphore(0)


def echo(call: Call) -> Answer:
    return Answer({"got": dict(call.members), "pid": os.getpid()}, call.body)


def refuse(call: Call) -> Answer:
    raise ObjectNotFound("no such thing", members={"key": call.members["key"]})


def fail(call: Call) -> Answer:
    raise ZeroDivisionError("a defect")


def unsayable(call: Call) -> Answer:
    return Answer({"what": object()})


def die(call: Call) -> Answer:
    os._exit(3)


def hold(call: Call) -> Answer:
    """Until ``release``, or its deadline, or nobody waits."""
    while not _gate.acquire(timeout=0.01):
        if call.left_s == 0:
            return Answer({"cancelled": call.is_cancelled})
    return Answer()


def release(call: Call) -> Answer:
    _gate.release(WORKER_BACKGROUND_MAX)
    return Answer()


def hang(call: Call) -> Answer:
    time.sleep(3600)
    return Answer()


def say(call: Call) -> Answer:
    logging.getLogger("sprawl.test").warning("said %s", call.members["what"])
    return Answer()


def mark(call: Call) -> Answer:
    Path(str(call.members["path"])).touch()
    return Answer()


def modules(call: Call) -> Answer:
    return Answer({"modules": sorted(sys.modules)})


def handlers() -> Mapping[str, Handler]:
    work = (echo, refuse, fail, unsayable, die, hold, release, hang, say, mark, modules)
    return {one.__name__: one for one in work}
