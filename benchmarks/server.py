"""A service that streams a model's answer, in a contestant's own environment, for `production.py`.

    python -m benchmarks.server <contestant> <variant> <address where spans go> <tokens> <tokens per second>

It prints its port. `GET /` streams an answer, `GET /?8` one of 8 tokens; `GET /cpu` says how many seconds of the
processor the process has used.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import resource
import socket
import sys
import warnings
from typing import Any

import uvicorn

from .adapters import Adapter, Sink
from .model import FakeChatOpenAI
from .workloads import config_of, prompt_of

_START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}


def application(adapter: Adapter, tokens: int, per_second: float) -> Any:
    """The service: a plain ASGI application, so that nothing but the contestant stands around the model."""

    async def pause() -> None:
        await asyncio.sleep(1 / per_second)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        model = FakeChatOpenAI(pieces=int(scope["query_string"] or tokens), pause=pause)
        await send(_START)
        async for chunk in model.astream(prompt_of(300), config=config_of(adapter)):
            await send({"type": "http.response.body", "body": str(chunk.content).encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        with adapter.request():
            await answer(scope, receive, send)

    streaming = inside if adapter.asgi is None else adapter.asgi(answer)

    async def cpu(send: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(None, adapter.flush)
        used = resource.getrusage(resource.RUSAGE_SELF)
        await send(_START)
        await send({"type": "http.response.body", "body": f"{used.ru_utime + used.ru_stime}".encode()})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await (cpu(send) if scope["path"] == "/cpu" else streaming(scope, receive, send))

    return app


def main() -> None:
    """Serve until the process is killed."""
    warnings.simplefilter("ignore")
    name, variant, address, tokens, per_second = sys.argv[1:]
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    adapter = importlib.import_module(f"benchmarks.adapters.{name}").setup(Sink(address=address), variant)
    app = application(adapter, int(tokens), float(per_second))
    listening = socket.socket()
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as asyncio does for a socket that it makes
    listening.bind(("127.0.0.1", 0))
    listening.listen(128)  # from now on clients wait till the server answers
    print(listening.getsockname()[1], file=told, flush=True)
    config = uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
