"""What reports the exception of an application: web frameworks, a task queue, threads, tasks, the end of a script.

Each reporter runs the application's code the way that its framework does, with Sentry's own integration for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx
import sentry_sdk
from sentry_sdk.envelope import Envelope

from sentry_langchain_stream.testing import Captured

Sync = Callable[[], object]
Async = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Reporter:
    """What reports an exception.

    Args:
        name: What it is called in the tests.
        run: Runs the application's code, and swallows what the framework raises again.
        is_async: Whether that code is async.
        integrations: Makes Sentry's integrations for it that are not on by default.
    """

    name: str
    run: Callable[[Any], Awaitable[None]]
    is_async: bool
    integrations: Callable[[], Sequence[Any]] = tuple

    def __str__(self) -> str:
        return self.name


async def _request(app: Any, path: str = "/") -> None:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        with contextlib.suppress(Exception):
            await client.get(path)


async def _fastapi(code: Async) -> None:
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/")
    async def route() -> str:
        return str(await code())

    await _request(app)


async def _fastapi_sync(code: Sync) -> None:
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/")
    def route() -> str:
        return str(code())

    await _request(app)


async def _fastapi_stream(code: Async) -> None:
    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse

    app = FastAPI()

    @app.get("/")
    async def route() -> StreamingResponse:
        async def relay() -> Any:
            yield "first"
            yield str(await code())

        return StreamingResponse(relay())

    await _request(app)


async def _starlette(code: Async) -> None:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def route(request: Any) -> PlainTextResponse:
        return PlainTextResponse(str(await code()))

    await _request(Starlette(routes=[Route("/", route)]))


_django_code: list[Async] = []
_django_streams: list[Callable[[], Iterable[str]]] = []


@cache
def _django_app() -> Any:
    import django  # type: ignore[import-untyped, unused-ignore]
    from django.conf import settings  # type: ignore[import-untyped, unused-ignore]
    from django.core.asgi import get_asgi_application  # type: ignore[import-untyped, unused-ignore]
    from django.http import HttpResponse, StreamingHttpResponse  # type: ignore[import-untyped, unused-ignore]
    from django.urls import path  # type: ignore[import-untyped, unused-ignore]

    async def view(request: Any) -> HttpResponse:
        return HttpResponse(str(await _django_code[-1]()))

    def stream(request: Any) -> StreamingHttpResponse:
        return StreamingHttpResponse(_django_streams[-1]())

    class Urls:
        urlpatterns = (path("", view), path("stream", stream))

    settings.configure(ROOT_URLCONF=Urls, ALLOWED_HOSTS=["*"], SECRET_KEY="tests", DEBUG=False)
    django.setup()
    return get_asgi_application()


@contextlib.contextmanager
def django_stream(chunks: Callable[[], Iterable[str]]) -> Iterator[Any]:
    """The WSGI application of Django, whose route `/stream` answers with these chunks."""
    _django_app()
    from django.core.wsgi import get_wsgi_application  # type: ignore[import-untyped, unused-ignore]

    _django_streams.append(chunks)
    try:
        yield get_wsgi_application()
    finally:
        _django_streams.pop()


async def _django(code: Async) -> None:
    _django_code.append(code)
    try:
        await _request(_django_app())
    finally:
        _django_code.pop()


async def _celery(code: Sync) -> None:
    from celery import Celery  # type: ignore[import-untyped, unused-ignore]

    app = Celery("tests", broker="memory://")

    @app.task(name="answer", shared=False)  # type: ignore[untyped-decorator, unused-ignore]
    def answer() -> str:
        return str(code())

    answer.apply()


async def _thread(code: Sync) -> None:
    hook, threading.excepthook = threading.excepthook, lambda _: None
    try:
        thread = threading.Thread(target=code)
        thread.start()
        thread.join()
    finally:
        threading.excepthook = hook


async def _script(code: Sync) -> None:
    from sentry_sdk.integrations import excepthook

    # As the interpreter does at the end of a script. The hook of the process would print the traceback.
    hook = excepthook._make_excepthook(lambda *_: None)
    try:
        code()
    except BaseException:
        hook(*sys.exc_info())


@contextlib.contextmanager
def _tasks_are_watched() -> Iterator[None]:
    from sentry_sdk.integrations.asyncio import patch_asyncio

    loop = asyncio.get_running_loop()
    loop.set_task_factory(None)
    patch_asyncio()
    try:
        yield
    finally:
        loop.set_task_factory(None)  # the integration has patched the loop where the client was made, too


async def _task(code: Async) -> None:
    async def work() -> object:
        return await code()

    with _tasks_are_watched():
        await asyncio.gather(asyncio.create_task(work()), return_exceptions=True)


def _asyncio_integration() -> Sequence[Any]:
    from sentry_sdk.integrations.asyncio import AsyncioIntegration

    return [AsyncioIntegration()]


async def _capture(code: Sync) -> None:
    try:
        code()
    except Exception as error:
        sentry_sdk.capture_exception(error)


async def _acapture(code: Async) -> None:
    try:
        await code()
    except Exception as error:
        sentry_sdk.capture_exception(error)


REPORTERS = (
    Reporter("fastapi", _fastapi, True),
    Reporter("fastapi, sync", _fastapi_sync, False),
    Reporter("fastapi, streamed response", _fastapi_stream, True),
    Reporter("starlette", _starlette, True),
    Reporter("django", _django, True),
    Reporter("celery", _celery, False),
    Reporter("thread", _thread, False),
    Reporter("script", _script, False),
    Reporter("asyncio task", _task, True, _asyncio_integration),
    Reporter("capture_exception", _capture, False),
    Reporter("capture_exception, async", _acapture, True),
)


def sessions(captured: Captured) -> dict[str, int]:
    """How many sessions have ended in each way."""
    captured.client.flush(timeout=2.0)
    found: dict[str, int] = {}
    for raw in captured.envelopes:
        for item in Envelope.deserialize(raw).items:
            if item.type == "sessions":
                for each in json.loads(item.payload.get_bytes())["aggregates"]:
                    for how in ("exited", "errored", "crashed", "abnormal"):
                        if each.get(how):
                            found[how] = found.get(how, 0) + each[how]
            elif item.type == "session":
                status = json.loads(item.payload.get_bytes())["status"]
                found[status] = found.get(status, 0) + 1
    return found


def without_others(captured: Captured) -> None:
    """Take away Sentry's own integrations for LangChain, which report what was recovered from, and leave spans active.

    `disabled_integrations` does not do it for a client that is not the first one of a process (sentry-sdk 2.75).
    """
    for name in ("langchain", "langgraph"):
        captured.client.integrations.pop(name, None)
