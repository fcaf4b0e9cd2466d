"""Which prompt a model was called with, by name and version, and the variables that were chosen."""

from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnableParallel

from sentry_langchain_stream import SentryStreamHandler, SentryStreamIntegration
from sentry_langchain_stream._vocabulary.keys import PROMPT_NAME, PROMPT_VERSION
from sentry_langchain_stream.testing import CapturedSpan, capture_spans
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way, content_allowed

HUB = {"lc_hub_owner": "acme", "lc_hub_repo": "greeting", "lc_hub_commit_hash": "50442af1"}
LANGFUSE = {"langfuse_prompt": SimpleNamespace(name="greeting-lf", version=3)}
OWN = {"prompt_name": "greeting-own", "prompt_version": 7}
ASKED = {"language": "canary51fe", "topic": "tea"}
VARIABLE = "gen_ai.prompt.variable."


def template(metadata: dict[str, Any] | None = None, **more: Any) -> Any:
    """A prompt, with what its maker has put on it."""
    made = ChatPromptTemplate.from_template("Say {topic} in {language}")
    return made.model_copy(update={"metadata": metadata, **more})


def variables(span: CapturedSpan) -> dict[str, Any]:
    """The prompt's variables on a span."""
    return {key.removeprefix(VARIABLE): value for key, value in span.attributes.items() if key.startswith(VARIABLE)}


def refuse(_: int) -> None:
    raise ConnectionError


def named(span: CapturedSpan) -> tuple[Any, Any]:
    """The prompt's name and version on a span."""
    return span.attributes.get(PROMPT_NAME), span.attributes.get(PROMPT_VERSION)


SOURCES: dict[str, tuple[Any, dict[str, Any], tuple[Any, Any]]] = {
    "hub": (template(HUB), {}, ("acme/greeting", "50442af1")),
    "hub without owner": (template({**HUB, "lc_hub_owner": "-"}), {}, ("greeting", "50442af1")),
    "langfuse": (template(LANGFUSE), {}, ("greeting-lf", "3")),
    "metadata of the prompt": (template(OWN), {}, ("greeting-own", "7")),
    "metadata of the call": (template(), OWN, ("greeting-own", "7")),
    "the prompt's own before the call's": (template(HUB), OWN, ("acme/greeting", "50442af1")),
    "name of the prompt": (template(name="greet"), {}, ("greet", None)),
    "name of its run": (template().with_config(run_name="greet"), {}, ("greet", None)),
    "nothing": (template(), {}, (None, None)),
    "a name that is no text": (template(), {"prompt_name": ["x"], "prompt_version": 1}, (None, None)),
}


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_models_span_names_its_prompt(shape: str, way: Way) -> None:
    """From the Hub's, Langfuse's or the application's metadata, or the prompt's own name, and on no other span."""
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        for source, (prompt, metadata, _) in SOURCES.items():
            chain = prompt | ScriptedModel() | StrOutputParser()
            await way.run(chain, ASKED, {"callbacks": [handler], "metadata": metadata, "run_name": source})
    spans = captured.spans
    for source, (_, _, expected) in SOURCES.items():
        (root,) = (span for span in spans if span.name == source)
        assert [named(span) for span in spans if span.parent_id == root.span_id] == [expected], source
        assert named(root) == (None, None)


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_variables_leave_if_chosen_and_allowed(shape: str, way: Way) -> None:
    """A variable is content: none is recorded unless inputs may be, and then only those that were chosen, redacted."""
    chosen: dict[str, Any] = {"prompt_variables": ["language", "missing"]}
    app = template() | ScriptedModel()

    def hide(text: str) -> str:
        return text.replace("canary51fe", "[hidden]")

    cases: dict[bool, list[tuple[dict[str, Any], dict[str, str]]]] = {
        True: [({**chosen, "redact": hide}, {"language": "[hidden]"}), ({**chosen, "include_prompts": False}, {})],
        False: [(chosen, {})],
    }
    for allowed, each in cases.items():
        with capture_spans(**WIRE_SHAPES[shape], **content_allowed(allowed)) as captured:
            for settings, _ in each:
                await way.run(app, ASKED, {"callbacks": [SentryStreamHandler(**settings)]})
        assert [variables(span) for span in captured.find_all(op="gen_ai.chat")] == [expected for _, expected in each]
        assert b"canary51fe" not in b"".join(captured.envelopes)
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        for settings in (chosen, {}):
            await way.run(app, ASKED, {"callbacks": [SentryStreamHandler(**settings)]})
    found = [variables(span) for span in captured.find_all(op="gen_ai.chat")]
    assert found == [{"language": "canary51fe"}, {}]


CHAINS: dict[str, tuple[Any, list[str | None]]] = {
    "a step between": (template(HUB) | RunnableLambda(lambda given: given) | ScriptedModel(), ["acme/greeting"]),
    "a retry": (
        template(HUB) | ScriptedModel(before=refuse).with_retry(stop_after_attempt=2, wait_exponential_jitter=False),
        ["acme/greeting", "acme/greeting"],
    ),
    "a fallback": (
        template(HUB) | ScriptedModel(before=refuse).with_fallbacks([ScriptedModel()]),
        ["acme/greeting", "acme/greeting"],
    ),
    "two prompts": (
        template(HUB) | ScriptedModel() | (lambda _: ASKED) | template(name="second") | ScriptedModel(),
        ["acme/greeting", "second"],
    ),
    "a prompt without a name": (
        template(HUB) | ScriptedModel() | (lambda _: ASKED) | template() | ScriptedModel(),
        ["acme/greeting", None],
    ),
    "a model without a prompt": (
        template(HUB) | ScriptedModel() | (lambda _: [HumanMessage("Hi")]) | ScriptedModel(),
        ["acme/greeting", None],
    ),
    "side by side": (
        RunnableParallel(a=template(HUB) | ScriptedModel(), b=template(name="second") | ScriptedModel()),
        ["acme/greeting", "second"],
    ),
}


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_a_prompt_is_for_the_next_call(way: Way) -> None:
    """The attempts of a call share its prompt; a later call and a neighbour do not."""
    handler = SentryStreamHandler(capture_errors=False)
    with capture_spans() as captured:
        for name, (chain, _) in CHAINS.items():
            with suppress(ConnectionError):  # the retry fails too
                await way.run(chain, ASKED, {"callbacks": [handler], "run_name": name})
    spans = captured.spans
    for name, (_, expected) in CHAINS.items():
        (root,) = (span for span in spans if span.name == name)
        found = [named(span)[0] for span in spans if span.op == "gen_ai.chat" and span.trace_id == root.trace_id]
        if name == "a retry" and way.streams:  # LangChain does not retry a stream
            expected = expected[:1]
        assert sorted(map(str, found)) == sorted(map(str, expected)), name


def test_with_the_integration_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The integration records prompts too, and variables may be chosen by the environment."""
    monkeypatch.setenv("SENTRY_LANGCHAIN_PROMPT_VARIABLES", "topic, language")
    ours = SentryStreamIntegration(providers=False)
    with capture_spans(integrations=[ours], **content_allowed(True)) as captured:
        (template(HUB) | ScriptedModel()).invoke(ASKED)
    span = captured.find(op="gen_ai.chat")
    assert named(span) == ("acme/greeting", "50442af1")
    assert span.attributes[f"{VARIABLE}topic"] == "tea"
