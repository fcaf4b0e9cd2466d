"""`redact` and `token_counter` may call LangChain themselves, for example a model that finds personal data."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sentry_sdk
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda
from sentry_sdk.integrations.threading import ThreadingIntegration

from sentry_langchain_stream import SentryStreamHandler, record_evaluation, track_stream
from sentry_langchain_stream._runs import enclosing
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


REPORTS: dict[str, Callable[[BaseException], object]] = {
    "capture_exception": sentry_sdk.capture_exception,
    "logger.exception": lambda error: logging.getLogger("pii").exception("the service is down"),
}


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_redact_that_reports_its_own_failure_is_not_called_for_that(shape: str, report: str) -> None:
    """It is called while a run fails, so the run's exception is in the context of its own; neither text is sent."""
    asked: list[str] = []

    def redact(text: str) -> str:
        asked.append(text)
        if len(asked) > MOST:
            return "[gone]"
        try:
            raise ConnectionError("the service is down")
        except ConnectionError as error:
            REPORTS[report](error)
        return "[gone]"

    def fail(_: str) -> str:
        raise ValueError(f"{secret} is unknown")

    secret = "@".join(("ada", "example.org"))  # not as it stands in the source, which is sent
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        with pytest.raises(ValueError, match="unknown"):
            RunnableLambda(fail).invoke(secret, {"callbacks": [SentryStreamHandler(redact=redact)]})
        sentry_sdk.flush()
    assert 0 < len(asked) <= MOST
    assert {event["exception"]["values"][-1]["type"] for event in captured.events} == {"ConnectionError", "ValueError"}
    assert secret.encode() not in b"".join(captured.envelopes)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_tracked_stream_in_redact_is_not_followed(shape: str) -> None:
    """What a raw client is asked there is the text before it is redacted."""

    def redact(text: str) -> str:
        return "".join(track_stream(iter(["[gone]"]), model="pii", messages=text))

    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        ScriptedModel().invoke("ada@example.org", {"callbacks": [SentryStreamHandler(redact=redact)]})
    assert len(captured.find_all(op="gen_ai.chat")) == 1
    assert b"ada@example.org" not in b"".join(captured.envelopes)


def test_a_model_in_the_redact_of_an_evaluation_is_not_followed() -> None:
    """An explanation is redacted in the same way."""
    model = ScriptedModel(pieces=("[gone]",))

    def redact(text: str) -> str:
        return str(model.invoke(text).content)

    with capture_spans(integrations=[SentryStreamIntegration()], **content_allowed(True)) as captured:
        handler = SentryStreamHandler()
        with handler.watch() as runs:
            model.invoke("Hi", {"callbacks": [handler]})
        record_evaluation(runs[0], name="tone", score=1, explanation="ada@example.org is kind", redact=redact)
    assert len(captured.find_all(op="gen_ai.chat")) == 1
    assert captured.find(op="gen_ai.evaluate").attributes["gen_ai.evaluation.explanation"] == "[gone]"


@pytest.mark.parametrize("call", CALLS)
def test_what_the_users_function_runs_leaves_nothing_behind(call: Call) -> None:
    """The ids of runs that are not followed, because `redact` has started them, are not kept either."""
    handler: Any = SentryStreamHandler()
    finder = Finder(lambda app, text: call(app.with_config(callbacks=[handler]), text))
    handler = SentryStreamHandler(redact=finder.redact)
    before = dict(enclosing.claims)
    with capture_spans(**content_allowed(True)):
        ScriptedModel().invoke("Hi", {"callbacks": [handler]})
    assert finder.calls > 0
    assert enclosing.claims == before
