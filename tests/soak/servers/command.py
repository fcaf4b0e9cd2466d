"""`make soak ARGS=--servers`: one table, and an exit code that is not 0 if a row breaks a rule."""

from __future__ import annotations

import platform
import signal
import sys
from importlib import metadata

from tests.kit.wire import BOTH_MODELS

from .launch import RECYCLED, SERVERS, Server
from .rows import Row, Run
from .sink import SINKS

PACKAGES = ("sentry-sdk", "langchain-core", "uvicorn", "gunicorn", "hypercorn", "celery", "gevent")


def main(names: list[str], ways: list[str], seconds: float) -> int:
    """Run it.

    Args:
        names: Of servers; all if there are none.
        ways: Of Sentry to answer; all if there are none.
        seconds: How long the clients of a row come.

    Returns:
        The exit code.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no server is left
    print("Python " + platform.python_version() + "".join(f", {name} {_version(name)}" for name in PACKAGES))
    print(Row.HEADER)
    broken = 0
    for server in SERVERS:
        if names and server.name not in names:
            continue
        if server.missing:
            print(f"{server.name:15} not installed: {', '.join(server.missing)}")
            continue
        for way in ways or SINKS:
            row = play(server, way, _run(way, seconds))
            print(row, flush=True)
            for each in row.broken():
                broken += 1
                print(f"  {each}", flush=True)
    print("no rule broken" if not broken else f"{broken} rules broken")
    return 1 if broken else 0


def play(server: Server, way: str, run: Run) -> Row:
    """Measure a server with a sink that has this way."""
    if server.kind == "web":
        from . import web

        return web.play(server, way, run)
    from . import queue

    return queue.play(server, way, run)


def _run(way: str, seconds: float) -> Run:
    """Each signal meets each of the SDK's span models, and workers that are replaced."""
    place = SINKS.index(way)
    return Run(
        signal=signal.SIGINT if place % 2 else signal.SIGTERM,
        shape=BOTH_MODELS[place // 2 % len(BOTH_MODELS)],
        seconds=seconds,
        recycled=RECYCLED if place >= 4 else 0,
    )


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
