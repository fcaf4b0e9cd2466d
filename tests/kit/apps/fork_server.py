"""Runs scripts, each in a fork of this process, which has imported what they need and has set nothing up.

`python -m tests.kit.apps.fork_server FD` takes scripts from the socket FD: see `tests/kit/fresh.py`. With `clients`
after it, it has the client libraries of all providers; else Sentry finds none of them.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module

from sentry_sdk.integrations import iter_default_integrations

from tests.kit.fresh import HEADER

CLIENTS = ("langchain.agents", "langchain_anthropic", "langchain_aws", "langchain_google_genai")


def warm_up(*, clients: bool) -> None:
    """Import what takes seconds. Nothing is initialised: that is left to the scripts."""
    for name in ("langchain_openai", *(CLIENTS if clients else ())):
        with suppress(ModuleNotFoundError):  # of an extra: a script that needs it says so
            import_module(name)
    if not clients:
        import_module("tests.kit.lean")
    for name in ("sentry_langchain_stream.testing", "tests.kit.wire"):
        import_module(name)
    list(iter_default_integrations(True))


def serve(control: socket.socket) -> str | None:
    """Fork for each script, and report its process and its exit status. In a fork, return the script."""
    while True:
        header, descriptors, _, _ = socket.recv_fds(control, HEADER, 2)
        if not header:
            return None
        size, message = int(header), b""
        while len(message) < size:
            message += control.recv(size - len(message))
        child = os.fork()
        if child == 0:
            control.close()
            for target, descriptor in enumerate(descriptors, 1):
                os.dup2(descriptor, target)
                os.close(descriptor)
            job = json.loads(message)
            os.environ.clear()
            os.environ.update(job["environment"])
            signal.signal(signal.SIGINT, signal.default_int_handler)
            return str(job["script"])
        for descriptor in descriptors:
            os.close(descriptor)
        control.sendall(f"{child}\n".encode())
        control.sendall(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n".encode())


if __name__ == "__main__":
    warm_up(clients="clients" in sys.argv)
    gc.freeze()  # what is imported is in use until the end: no fork needs to look at it
    script = serve(socket.socket(fileno=int(sys.argv[1])))
    if script is not None:
        exec(compile(script, "<script>", "exec"), globals())
