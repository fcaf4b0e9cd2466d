"""Apps of Streamlit, Gradio and Chainlit in processes of their own, and clients that do what a browser does."""

from __future__ import annotations

import asyncio
import gzip
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import sentry_sdk

from sentry_langchain_stream.demo.endpoint import Answer, create_endpoint
from sentry_langchain_stream.demo.serve import serving
from sentry_langchain_stream.testing import Captured, CapturedSpan
from tests.kit import HANG
from tests.kit.sentry_server import Sentry, playing_sentry

COMMANDS = {
    "streamlit": "-m streamlit run app.py --server.headless true --server.port {} --browser.gatherUsageStats false",
    "gradio": "app.py",
    "chainlit": "-m chainlit run app.py --headless --port {}",
}
READY = {"streamlit": "/_stcore/health", "gradio": "/", "chainlit": "/"}


def until(it_is_so: Callable[[], bool], why: Callable[[], object] = str) -> None:
    """Wait for it, which another process does."""
    deadline = time.monotonic() + HANG
    while not it_is_so():
        assert time.monotonic() < deadline, why()
        time.sleep(0.05)


def question(kind: str) -> str:
    """A question that nobody else asks: `brief`, `long` (20 seconds), `longer` than brief (3 seconds) or `wrong`."""
    return f"{kind}-{uuid4().hex[:8]}"


def _answer(asked: str) -> Answer:
    if asked.startswith("wrong"):
        return Answer(status=400)
    if asked.startswith("long-"):
        return Answer(pieces=("more ",) * 2_000, pause=0.01)
    if asked.startswith("longer"):
        return Answer(pieces=("more ",) * 300, pause=0.01)
    return Answer()


@dataclass
class App:
    """An app that is served, and what Sentry receives from it."""

    url: str
    sentry: Sentry
    asked: list[str]
    """The questions that came to the provider."""

    @property
    def sent(self) -> Captured:
        """What Sentry has received by now."""
        return Captured(
            sentry_sdk.Client(default_integrations=False), [_unpacked(body) for body in [*self.sentry.bodies]]
        )

    def call(self, asked: str) -> CapturedSpan:
        """The span of the model call for a question, once it has arrived: it has the question among its messages."""
        until(lambda: bool(self._calls(asked)), lambda: self.sent.tree())
        (found,) = self._calls(asked)
        return found

    def _calls(self, asked: str) -> list[CapturedSpan]:
        return [each for each in self.sent.find_all(op="gen_ai.chat") if asked in str(each.attributes)]

    def check(self) -> None:
        """After the server has stopped: a span per question, an issue per failure, and no run was left open."""
        sent = self.sent
        calls = sent.find_all(op="gen_ai.chat")
        assert len(calls) == len(self.asked), sent.tree()
        assert [each for each in calls if "langchain_stream.evicted" in each.attributes] == []
        assert len(sent.events) == len([each for each in self.asked if each.startswith("wrong")])

    def trace(self, call: CapturedSpan) -> list[CapturedSpan]:
        """All spans of the trace of a call, once the span of its pipeline has arrived."""

        def found() -> list[CapturedSpan]:
            return [each for each in self.sent.spans if each.trace_id == call.trace_id]

        until(lambda: any(each.span_id == call.parent_id for each in found()), lambda: self.sent.tree())
        return found()


@contextmanager
def served(ui: str, code: str, folder: Path) -> Iterator[App]:
    """Serve an app on 127.0.0.1. After the block the server has stopped, as by Ctrl-C."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "app.py").write_text(code, encoding="utf-8")
    log = folder / "log"
    with playing_sentry() as sentry, provider() as (endpoint, asked), log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *COMMANDS[ui].format(port).split()],
            cwd=folder,
            env={
                **environment(sentry.dsn, endpoint),
                "GRADIO_SERVER_PORT": str(port),
                "CHAINLIT_APP_ROOT": str(folder),
            },
            stdout=output,
            stderr=output,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            until(lambda: process.poll() is not None or _answers(url + READY[ui]), log.read_text)
            assert process.poll() is None, log.read_text()
            yield App(url, sentry, asked)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(HANG)


@contextmanager
def provider() -> Iterator[tuple[str, list[str]]]:
    """Serve the model; yields its URL, and the questions that it is asked."""
    asked: list[str] = []

    def answer(body: dict[str, Any]) -> Answer:
        asked.append(str(body["messages"][-1]["content"]))
        return _answer(asked[-1])

    with serving(create_endpoint(answer)) as url:
        yield url, asked


def environment(dsn: str, endpoint: str) -> dict[str, str]:
    """The environment of an app."""
    return {
        **os.environ,
        "SENTRY_DSN": dsn,
        "SENTRY_RELEASE": "tests",
        "OPENAI_BASE_URL": f"{endpoint}/v1",
        "OPENAI_API_KEY": "x",
        "STREAMLIT_SERVER_ADDRESS": "127.0.0.1",
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "CHAINLIT_HOST": "127.0.0.1",
    }


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def _unpacked(body: bytes) -> bytes:
    if body[:1] == b"{":
        return body
    if body[:2] == b"\x1f\x8b":
        return gzip.decompress(body)
    import brotli  # which comes with Gradio; where it is installed, the SDK uses it

    return bytes(brotli.decompress(body))


class StreamlitTab:
    """A browser's tab with an app of Streamlit."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.input = ""
        self.submit()
        self.read("script_finished")

    def submit(self, asked: str | None = None) -> None:
        """Let the script run again, with the question."""
        from streamlit.proto.BackMsg_pb2 import BackMsg

        message = BackMsg()
        message.rerun_script.query_string = ""
        if asked is not None:
            state = message.rerun_script.widget_states.widgets.add()
            state.id = self.input
            state.chat_input_value.data = asked
        self.socket.send(message.SerializeToString())

    def stop(self) -> None:
        """Click the stop button."""
        from streamlit.proto.BackMsg_pb2 import BackMsg

        self.socket.send(BackMsg(stop_script=True).SerializeToString())

    def read(self, kind: str) -> Any:
        """Read what the server sends, up to a message of this kind."""
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        while True:
            message = ForwardMsg.FromString(self.socket.recv(HANG))
            element = message.delta.new_element
            if element.WhichOneof("type") == "chat_input":
                self.input = element.chat_input.id
            if kind in (message.WhichOneof("type"), element.WhichOneof("type")):
                return message

    def ask(self, asked: str) -> None:
        """Ask, and read the whole answer."""
        self.submit(asked)
        self.read("script_finished")


@contextmanager
def streamlit_tab(url: str) -> Iterator[StreamlitTab]:
    """Open a tab; after the block it is closed."""
    from websockets.sync.client import connect

    protocols: Any = ["streamlit"]
    with connect(url.replace("http", "ws", 1) + "/_stcore/stream", subprotocols=protocols) as websocket:
        yield StreamlitTab(websocket)


class ChainlitTab:
    """A browser's tab with an app of Chainlit: a client of socket.io."""

    def __init__(self) -> None:
        from socketio import AsyncClient

        self.client: Any = AsyncClient()
        self.begun, self.ended = asyncio.Event(), asyncio.Event()
        self.client.on("stream_token", lambda *_: self.begun.set())
        self.client.on("task_start", lambda *_: self.ended.clear())
        self.client.on("task_end", lambda *_: self.ended.set())

    async def submit(self, asked: str) -> None:
        """Ask. Once `begun` is set, the answer has begun, once `ended` is set, it has ended."""
        self.begun.clear()
        self.ended.clear()
        message = {"id": str(uuid4()), "name": "User", "type": "user_message", "output": asked}
        message["createdAt"] = "2026-01-01T00:00:00Z"
        await self.client.emit("client_message", {"message": message, "fileReferences": []})

    async def ask(self, asked: str) -> None:
        """Ask, and wait for the end of the answer."""
        await self.submit(asked)
        await self.ended.wait()

    async def stop(self) -> None:
        """Click the stop button."""
        await self.client.emit("stop")
        await self.ended.wait()


@asynccontextmanager
async def chainlit_tab(url: str) -> AsyncIterator[ChainlitTab]:
    """Open a tab; after the block it is closed."""
    tab = ChainlitTab()
    who = {"clientType": "webapp", "sessionId": str(uuid4()), "threadId": "", "userEnv": "{}", "chatProfile": ""}
    await tab.client.connect(url, socketio_path="/ws/socket.io", transports=["websocket"], auth=who)
    try:
        await tab.client.emit("connection_successful")
        await tab.ended.wait()  # which the server says of a session that is new
        yield tab
    finally:
        await tab.client.disconnect()
