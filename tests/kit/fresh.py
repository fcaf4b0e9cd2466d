"""Fresh processes for scripts: forks of one that has imported LangChain and Sentry's integrations, and no more.

To import those takes seconds, and a fork milliseconds. What is tested in a process of its own (how Sentry sets itself
up, what happens when a process ends) starts in a fork as it does in a new process: nothing is initialised, no thread
runs.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO

from tests.kit import HANG, REPOSITORY

HEADER = 8
"""Bytes in which the length of a message to the process that is forked is written."""


@dataclass
class Process:
    """A process that runs a script.

    Args:
        pid: Its id.
        stdout: What it prints, as it prints it.
        stderr: What it complained of, once it has ended.
        returncode: How it ended, once it has.
    """

    pid: int
    stdout: IO[str]
    stderr: str = ""
    returncode: int = 0


class Fresh:
    """Runs scripts, one at a time, each in a fresh process.

    Args:
        clients: Whether the client libraries of all providers are there. They take as long as all the rest.
    """

    def __init__(self, *, clients: bool = False) -> None:
        self._control, theirs = socket.socketpair()
        self._replies = self._control.makefile("r")
        with theirs:
            options = [str(theirs.fileno()), *(["clients"] if clients else [])]
            command = [sys.executable, "-m", "tests.kit.apps.fork_server", *options]
            self._server = subprocess.Popen(
                command, cwd=REPOSITORY, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
            )

    def close(self) -> None:
        """End the process that is forked."""
        self._replies.close()
        self._control.close()
        self._server.wait(HANG)

    @contextmanager
    def process(self, script: str, environment: Mapping[str, str] | None = None) -> Iterator[Process]:
        """Run a script while the block lasts. The block reads what it prints; how it ended is known afterwards."""
        job = {"script": textwrap.dedent(script), "environment": {**os.environ, **(environment or {})}}
        message = json.dumps(job).encode()
        reading, writing = os.pipe()
        with os.fdopen(reading) as stdout, TemporaryFile("w+") as stderr:
            try:
                socket.send_fds(self._control, [b"%*d" % (HEADER, len(message))], [writing, stderr.fileno()])
            finally:
                os.close(writing)
            self._control.sendall(message)
            running = Process(int(self._replies.readline()), stdout)
            timer = threading.Timer(HANG, _kill, [running.pid])
            timer.start()
            try:
                yield running
            except BaseException:
                _kill(running.pid)
                raise
            finally:
                running.returncode = int(self._replies.readline())
                timer.cancel()
                timer.join()
                stderr.seek(0)
                running.stderr = stderr.read()

    def run(self, script: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a script to its end."""
        with self.process(script, environment) as running:
            printed = running.stdout.read()
        return subprocess.CompletedProcess([script], running.returncode, printed, running.stderr)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
