"""`redact` and `token_counter` may call LangChain themselves, for example a model that finds personal data."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from sentry_sdk.integrations.threading import ThreadingIntegration

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.integration import SentryStreamIntegration
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way, content_allowed

MOST = 20
"""So many calls are far too many: `redact` calls itself."""

Call = Callable[[Runnable[Any, Any], str], None]


def directly(app: Runnable[Any, Any], text: str) -> None:
    app.invoke({"text": text})


def streaming(app: Runnable[Any, Any], text: str) -> None:
    for _ in app.stream({"text": text}):
        pass


def in_an_executor(app: Runnable[Any, Any], text: str) -> None:
    app.batch([{"text": text}] * 2)


def in_a_pool(app: Runnable[Any, Any], text: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(app.invoke, {"text": text}).result()


def in_a_thread(app: Runnable[Any, Any], text: str) -> None:
    thread = threading.Thread(target=app.invoke, args=({"text": text},))
    thread.start()
    thread.join()


def in_a_loop_of_its_own(app: Runnable[Any, Any], text: str) -> None:
    thread = threading.Thread(target=lambda: asyncio.run(app.ainvoke({"text": text})))
    thread.start()
    thread.join()


CALLS = (directly, streaming, in_an_executor, in_a_pool, in_a_thread, in_a_loop_of_its_own)


class Finder:
    """Finds personal data with a chain of LangChain."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.calls = 0
        self.app = ChatPromptTemplate.from_template("Who is in {text}?") | ScriptedModel(pieces=("nobody",))

    def redact(self, text: str) -> str:
        self.calls += 1
        assert self.calls < MOST
        self.call(self.app, text)
        return "found nobody"

    def count(self, text: str) -> int:
        self.redact(text)
        return 7


@pytest.mark.parametrize("argument", ["redact", "token_counter"])
@pytest.mark.parametrize("by", ["handler", "integration"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("way", [each for each in WAYS if each.name in ("astream", "invoke")], ids=str)
async def test_a_function_that_calls_a_chain_returns(way: Way, call: Call, by: str, argument: str) -> None:
    """The function is called for the application's texts only, and no span is made of the chain that it calls."""
    finder = Finder(call)
    options: dict[str, Any] = {argument: finder.redact if argument == "redact" else finder.count}
    app = ChatPromptTemplate.from_template("Say {text}") | ScriptedModel()
    integrations: list[Any] = [ThreadingIntegration()]
    config: Any = {}
    if by == "integration":
        integrations.append(SentryStreamIntegration(providers=False, **options))
    else:
        config["callbacks"] = [SentryStreamHandler(**options)]
    with capture_spans(integrations=integrations, **content_allowed(True)) as captured:
        await way.run(app, {"text": "Hi"}, config)
    assert finder.calls >= 2 - (argument == "token_counter")
    [span] = captured.find_all(op="gen_ai.chat")
    assert span.attributes["langchain_stream.outcome"] == "completed"
    assert ("found nobody" in span.attributes["gen_ai.output.messages"]) is (argument == "redact")
    assert b"Who is in" not in b"".join(captured.envelopes)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_what_runs_after_redact_is_followed(shape: str) -> None:
    """A thread that `redact` has started may serve the application afterwards: its calls are recorded."""
    with ThreadPoolExecutor(1) as pool:

        def redact(text: str) -> str:
            return pool.submit(str, text).result()

        handler = SentryStreamHandler(redact=redact)
        with capture_spans(integrations=[ThreadingIntegration()], **WIRE_SHAPES[shape], **content_allowed(True)) as c:
            ScriptedModel().invoke("Hi", {"callbacks": [handler]})
            plain = SentryStreamHandler()
            pool.submit(lambda: ScriptedModel().invoke("Hi", {"callbacks": [plain]})).result()
        assert len(c.find_all(op="gen_ai.chat")) == 2
