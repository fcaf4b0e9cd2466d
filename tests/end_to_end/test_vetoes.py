"""`include_prompts=False`: one of the three that can say so is enough."""

from __future__ import annotations

from typing import Any

import pytest
import sentry_sdk
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations import Integration
from sentry_sdk.integrations.langchain import LangchainIntegration
from sentry_sdk.integrations.langgraph import LanggraphIntegration
from sentry_sdk.transport import Transport

from sentry_langchain_stream import SentryStreamHandler, SentryStreamIntegration, track_stream
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.async_context import is_async, needs_async_context
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way, content_allowed

PROMPT, ANSWER, TAG = "canary-prompt", "canary-answer", "canary-tag"
WORDS = (PROMPT.encode(), ANSWER.encode(), TAG.encode())

VETOES: dict[str, tuple[list[Integration], dict[str, Any]]] = {
    "none": ([], {}),
    "handler": ([], {"include_prompts": False}),
    "langchain": ([LangchainIntegration(include_prompts=False)], {}),
    "langgraph": ([LanggraphIntegration(include_prompts=False)], {}),
    "all": (
        [LangchainIntegration(include_prompts=False), LanggraphIntegration(include_prompts=False)],
        {"include_prompts": False},
    ),
}


@tool
def look_up(order: str) -> str:
    """Look an order up."""
    return ANSWER


def found_in(captured: Captured) -> list[bool]:
    """Which of the words leave the process."""
    captured.client.flush()
    sent = b"".join(captured.envelopes)
    return [word in sent for word in WORDS]


@pytest.mark.parametrize("veto", VETOES)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize("way", WAYS[::3], ids=str)
@needs_async_context(lambda way: is_async(way))
async def test_one_veto_is_enough(way: Way, shape: str, veto: str) -> None:
    """Content leaves if the client allows it and neither the handler nor an integration of Sentry's forbids it."""
    integrations, options = VETOES[veto]
    look = RunnableLambda(lambda message: look_up.invoke({"order": message.content}))
    app = ChatPromptTemplate.from_template("{question}") | ScriptedModel(pieces=(ANSWER,)) | look
    config = {"callbacks": [SentryStreamHandler(**options)], "tags": [TAG]}
    with capture_spans(integrations=integrations, **WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        await way.run(app, {"question": PROMPT}, config)
    assert len(captured.find_all(op="gen_ai.chat")) == 1
    assert len(captured.find_all(op="gen_ai.execute_tool")) == 1
    assert found_in(captured) == [veto == "none"] * 3


@pytest.mark.parametrize("veto", VETOES)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_veto_holds_for_a_tracked_stream(shape: str, veto: str) -> None:
    """The prompt and the answer of `track_stream` are content like any other."""
    integrations, options = VETOES[veto]
    with capture_spans(integrations=integrations, **WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        for _ in track_stream(iter([ANSWER]), model="gpt-4o-mini", prompt=PROMPT, **options):
            pass
    assert found_in(captured) == [veto == "none", veto == "none", False]


@pytest.mark.parametrize("veto", [{"include_prompts": False}, {"redact": lambda text: "[gone]"}], ids=["off", "redact"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_the_vetoes_of_our_integration_hold_for_a_tracked_stream(shape: str, veto: dict[str, Any]) -> None:
    """It speaks for the model calls of the whole process."""
    integrations = [SentryStreamIntegration(**veto)]
    with capture_spans(integrations=integrations, **WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        for _ in track_stream(iter([ANSWER]), model="gpt-4o-mini", prompt=PROMPT):
            pass
    assert found_in(captured) == [False, False, False]
    assert captured.find(op="gen_ai.chat").attributes["gen_ai.request.model"] == "gpt-4o-mini"


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_what_starts_under_another_client_is_that_clients_to_allow(shape: str) -> None:
    """After a second `sentry_sdk.init` that allows no content, none is recorded of the calls that start then."""
    later: list[bytes] = []

    def step(_: str) -> None:
        with capture_spans(**WIRE_SHAPES[shape], **content_allowed(False)) as captured:
            ScriptedModel().invoke("a secret of the child")
            captured.client.flush()
        later.extend(captured.envelopes)

    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        RunnableLambda(step).invoke("the question", {"callbacks": [SentryStreamHandler()]})
        captured.client.flush()
    sent = b"".join([*captured.envelopes, *later])
    assert b"gen_ai.chat" in sent
    assert b"a secret of the child" not in sent


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_what_starts_with_another_client_is_sent_by_that_client(shape: str) -> None:
    """A tenant's client in a scope of its own: the stream that starts there is read where that client is no more."""
    sent: list[bytes] = []

    class Sending(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            sent.append(envelope.serialize())

    options: dict[str, Any] = {**WIRE_SHAPES[shape], **content_allowed(True)}
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(False)) as captured:
        tenants = sentry_sdk.Client(
            "http://public@127.0.0.1:9/42", transport=Sending, traces_sample_rate=1.0, **options
        )
        with sentry_sdk.new_scope() as scope:
            scope.set_client(tenants)
            stream = ScriptedModel().stream("a secret", {"callbacks": [SentryStreamHandler()]})
            next(stream)
        list(stream)
        captured.client.flush()
        tenants.flush()
    assert b"a secret" in b"".join(sent)
    assert captured.spans == []
