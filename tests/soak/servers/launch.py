"""Starting and ending the servers, and what they take of the memory."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.kit import REPOSITORY

from . import books

SERVICE = "tests.soak.servers.service:app"
PATIENCE = 60.0
"""Seconds after which a server does not stop, or a client gets no more."""
RECYCLED = 100
"""Requests, or tasks, after which a worker is replaced, where workers are."""


@dataclass(frozen=True)
class Server:
    """A server, and how it is started."""

    name: str
    packages: tuple[str, ...]
    command: str
    """Its module and arguments; `{port}` and `{recycled}` are filled in."""
    recycles: str = ""
    """The arguments with which its workers are replaced."""
    kind: str = "web"
    kills: frozenset[int] = frozenset()
    """Signals after which its workers are killed: what they have open is lost."""
    may_grow: float = 48.0
    """MB by which its largest process may grow after it is warm."""

    @property
    def missing(self) -> list[str]:
        """The packages that are not installed."""
        return [each for each in self.packages if find_spec(each) is None]


_UVICORN = f"uvicorn {SERVICE} --log-level critical --timeout-graceful-shutdown 1 --port {{port}}"
_CELERY = "celery -A tests.soak.servers.tasks worker -l CRITICAL --without-gossip --without-mingle --without-heartbeat"
_SETTLES = 112.0
"""A worker of Celery grows by up to 90 MB in its first 1,500 tasks, with the handler and without, and then no more."""

SERVERS = (
    Server("uvicorn", ("uvicorn",), _UVICORN),
    Server("uvicorn x4", ("uvicorn",), f"{_UVICORN} --workers 4", "--limit-max-requests {recycled}"),
    Server(
        "gunicorn x2",
        ("gunicorn", "uvicorn.workers"),
        f"gunicorn {SERVICE} --worker-class tests.soak.servers.gunicorn_worker.Worker --workers 2 --log-level critical"
        " --graceful-timeout 3 --bind 127.0.0.1:{port}",
        "--max-requests {recycled}",
        kills=frozenset({signal.SIGINT}),  # a quick shutdown, by SIGQUIT, which uvicorn's worker does not heed
    ),
    Server(
        "hypercorn",
        ("hypercorn",),
        f"hypercorn {SERVICE} --log-level CRITICAL --graceful-timeout 1 --workers 2 --bind 127.0.0.1:{{port}}",
        "--max-requests {recycled}",
    ),
    Server(
        "celery prefork",
        ("celery",),
        f"{_CELERY} -P prefork -c 2",
        "--max-tasks-per-child {recycled}",
        kind="queue",
        may_grow=_SETTLES,
    ),
    Server("celery threads", ("celery",), f"{_CELERY} -P threads -c 4", kind="queue", may_grow=_SETTLES),
    Server("celery gevent", ("celery", "gevent"), f"{_CELERY} -P gevent -c 8", kind="queue", may_grow=_SETTLES),
)


class Running:
    """A server that runs."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self.port = port

    def stop(self, number: int) -> float:
        """Send it this signal. Returns the seconds that it took to end; infinite if it did not."""
        began = time.monotonic()
        self._process.send_signal(number)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return float("inf")
        return time.monotonic() - began

    def memory(self) -> float:
        """MB that its largest process has; 0 where the platform does not tell."""
        return max((_resident(pid) for pid in _of_session(self._process.pid)), default=0.0)


@contextmanager
def running(server: Server, dsn: str, shape: str, book: Path, *, recycled: int = 0) -> Iterator[Running]:
    """Run a server while the block lasts. What is left of it afterwards is killed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        books.BOOK: str(book),
        books.DSN: dsn,
        books.SHAPE: shape,
        "PYTHONWARNINGS": "ignore",
    }
    text = f"{server.command} {server.recycles if recycled else ''}".format(port=port, recycled=recycled)
    with (
        book.with_suffix(".stderr").open("ab") as errors,
        subprocess.Popen(
            [sys.executable, "-m", *text.split()],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield Running(process, port)
        finally:
            for pid in {process.pid, *_of_session(process.pid)}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _of_session(session: int) -> list[int]:
    """The processes of a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                found.append(int(folder.name))
    return found


def _resident(pid: int) -> float:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return 0.0
