"""What the SDK sends to a running Spotlight, read back from there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
import sentry_sdk
from httpx_sse import ServerSentEvent, connect_sse
from typer.testing import CliRunner, Result

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.cli import app as command_line
from sentry_langchain_stream.demo import spotlight as viewer
from sentry_langchain_stream.demo import story
from sentry_langchain_stream.demo.serve import Elsewhere, serving
from sentry_langchain_stream.testing import capture_spans
from tests.kit import HANG
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, active_span

USAGE = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, no DSN and no viewer, whatever the environment has."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE", "SENTRY_DSN", "SENTRY_SPOTLIGHT"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def events(url: str) -> Iterator[Iterator[ServerSentEvent]]:
    """What Spotlight has, and then what it is given, an event for each envelope."""
    with (
        httpx.Client(trust_env=False, timeout=HANG) as client,
        connect_sse(client, "GET", url, params={"client": "test"}) as source,
    ):
        yield source.iter_sse()


def transaction(url: str, trace: str) -> dict[str, Any]:
    """The transaction of a trace, as Spotlight has it."""
    with events(url) as told:
        for event in told:
            for header, payload in json.loads(event.data)[1]:
                if header["type"] == "transaction" and payload["contexts"]["trace"]["trace_id"] == trace:
                    found: dict[str, Any] = payload
                    return found
    raise LookupError(trace)


def test_spotlight_has_the_model_span_inside_of_its_transaction(spotlight: str) -> None:
    """With the options that the docs name, the AI span is where Spotlight's view of AI calls looks for it."""
    with capture_spans(**viewer.options(spotlight)), sentry_sdk.start_transaction(name="chat", op="task") as request:
        for _ in ScriptedModel(usage=USAGE).stream("Hi", config={"callbacks": [SentryStreamHandler("support-bot")]}):
            pass
    sent = transaction(spotlight, request.trace_id)
    (span,) = [each for each in sent["spans"] if each["op"].startswith("gen_ai.")]
    assert (span["op"], span["parent_span_id"]) == ("gen_ai.chat", request.span_id)
    assert span["data"]["ai.total_tokens"] == 12
    assert span["data"]["pipeline_name"] == "support-bot"
    assert span["data"]["langchain_stream.outcome"] == "completed"


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_spotlight_takes_every_wire_shape(spotlight: str, shape: str) -> None:
    """However the SDK sends it, a span comes back from Spotlight as it left the process."""
    with capture_spans(**WIRE_SHAPES[shape], spotlight=spotlight) as captured:
        with active_span(shape):
            async for _ in ScriptedModel(usage=USAGE).astream("Hi", config={"callbacks": [SentryStreamHandler()]}):
                pass
        ours = captured.find(op="gen_ai.chat")
    (back,) = [span for span in viewer.received(spotlight) if span.span_id == ours.span_id]
    assert (back.op, back.name, back.parent_id, back.shape) == (ours.op, ours.name, ours.parent_id, ours.shape)
    assert back.attributes["ai.total_tokens"] == 12


# -- the demo -------------------------------------------------------------------------------------------------


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `demo --spotlight`, without pauses in the answer; the SDK's variable says where Spotlight is."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(story, "ANSWER", replace(story.ANSWER, pause=0.0))

    def run(url: str) -> Result:
        monkeypatch.setenv("SENTRY_SPOTLIGHT", url)
        return CliRunner().invoke(command_line, ["demo", "--spotlight"])

    return run


def test_the_demo_sends_its_spans_to_spotlight(spotlight: str, demo: Any) -> None:
    """`demo --spotlight` finds its model span there, says where to look, and the transaction is there whole."""
    result = demo(spotlight)
    assert result.exit_code == 0, result.output
    assert "✓  Spotlight has the span" in result.output
    assert spotlight.removesuffix("/stream") in result.output
    begun = re.search(r"at trace ([0-9a-f]{8})", result.output)
    assert begun
    request, *inside = [span for span in viewer.received(spotlight) if span.trace_id.startswith(begun[1])]
    (call,) = [span for span in inside if span.op == "gen_ai.chat"]
    assert (request.op, request.name, request.shape) == ("http.server", "/answer", "transaction")
    assert call.shape == "transaction"
    assert call.attributes["ai.total_tokens"] == story.ANSWER.total_tokens


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/stream", "http://[/stream"], ids=["nobody", "no address"])
def test_the_demo_wants_a_running_spotlight(demo: Any, url: str) -> None:
    """Where none answers, the demo says so before it asks anything, as a usage error."""
    result = demo(url)
    assert result.exit_code == 2
    assert "Spotlight does not answer" in result.output
    assert "question" not in result.output


def test_the_demo_does_not_take_another_server_for_spotlight(demo: Any) -> None:
    """A server that is something else is no Spotlight."""
    other = Elsewhere()
    other.get("/health")(lambda: "OK")
    with serving(other) as url:
        result = demo(f"{url}/stream")
    assert result.exit_code == 2


def test_the_demo_fails_if_spotlight_did_not_get_the_span(demo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Spotlight that answers but has not got the span fails the check: the SDK would not say so."""
    monkeypatch.setattr(viewer, "is_running", lambda url: True)
    monkeypatch.setattr(viewer, "received", lambda url: iter(()))
    result = demo("http://127.0.0.1:9/stream")
    assert result.exit_code == 1
    assert "✗  Spotlight has the span" in result.output


def test_the_address_is_the_one_that_the_sdk_would_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """`SENTRY_SPOTLIGHT` is heeded if it is a URL; where it only says yes, and without it, it is the usual port."""
    assert viewer.address() == "http://127.0.0.1:8969/stream"
    monkeypatch.setenv("SENTRY_SPOTLIGHT", "1")
    assert viewer.address() == "http://127.0.0.1:8969/stream"
    monkeypatch.setenv("SENTRY_SPOTLIGHT", "http://127.0.0.1:9000/stream")
    assert viewer.address() == "http://127.0.0.1:9000/stream"


def test_older_sdks_are_given_no_option_that_they_do_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """An SDK that knows no other place for AI spans than their transaction is not told to use it."""
    monkeypatch.setattr(sentry_sdk, "VERSION", "2.59.0")
    assert viewer.options("http://127.0.0.1:9000/stream") == {"spotlight": "http://127.0.0.1:9000/stream"}
