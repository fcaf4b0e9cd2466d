"""Several handlers see one run: one span, the nearest handler's, and every veto holds."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest
from langchain_core.messages import SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langgraph.graph import START, MessagesState, StateGraph

from sentry_langchain_stream import SentryStreamHandler, SentryStreamIntegration
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way, content_allowed

ways = pytest.mark.parametrize("way", WAYS, ids=str)
shapes = pytest.mark.parametrize("shape", WIRE_SHAPES)

SECRET = "tell me the secret"


def chain(model: Any) -> Any:
    """A chain as users write it."""
    return ChatPromptTemplate.from_template("{question}") | model | StrOutputParser()


def tree(captured: Captured) -> list[tuple[str, str]]:
    """Op and name of each span."""
    return [(span.op, span.name) for span in captured.spans]


@shapes
@ways
async def test_two_in_one_call_make_one_span_per_run(shape: str, way: Way) -> None:
    """Two instances in one list: the tree is that of one, named by the last, and neither keeps a run."""
    first, last = SentryStreamHandler("first"), SentryStreamHandler("last")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(chain(ScriptedModel()), {"question": "Hi"}, {"callbacks": [first, last]})
    root, call = captured.find(op="function"), captured.find(op="gen_ai.chat")
    assert len(captured.spans) == 2, captured.tree()
    assert call.parent_id == root.span_id
    assert root.name == "last"
    assert call.attributes["gen_ai.pipeline.name"] == "last"
    assert call.attributes["langchain_stream.outcome"] == "completed"
    assert call.attributes.get("langchain_stream.chunks") == (3 if way.streams else None)
    assert (first.live_runs, last.live_runs) == (0, 0)


@shapes
@ways
async def test_the_models_own_handler_records_its_call_below_the_chain(shape: str, way: Way) -> None:
    """A handler of the model records the call, in the tree of the handler that was passed to the chain."""
    outer, own = SentryStreamHandler("shop"), SentryStreamHandler("model", dialect="ai")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(chain(ScriptedModel(callbacks=[own])), {"question": "Hi"}, {"callbacks": [outer]})
    root, call = captured.find(name="shop"), captured.find(name="model")
    assert len(captured.spans) == 2, captured.tree()
    assert (root.op, call.parent_id) == ("function", root.span_id)
    assert call.op.startswith("ai.chat_completions.create.")
    assert call.attributes["pipeline_name"] == "model"
    assert (outer.live_runs, own.live_runs) == (0, 0)


@ways
async def test_the_same_pair_repeated_counts_once(way: Way) -> None:
    """The list `[a, b, a, b]` is as `[a, b]`: each chunk counts once."""
    pair = [SentryStreamHandler(), SentryStreamHandler()]
    with capture_spans() as captured:
        await way.run(ScriptedModel(), "Hi", {"callbacks": pair * 2})
    assert captured.find(op="gen_ai.chat").attributes.get("langchain_stream.chunks") == (3 if way.streams else None)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["the veto first", "the veto last"])
@pytest.mark.parametrize(
    "veto", [{"include_prompts": False}, {"redact": lambda text: "[redacted]"}], ids=["off", "redact"]
)
@shapes
@ways
async def test_no_veto_is_passed(shape: str, way: Way, veto: dict[str, Any], order: tuple[int, int]) -> None:
    """Whichever of two handlers vetoes content, none of it leaves, of the chain, the tool or the model."""
    pair = [SentryStreamHandler(**veto), SentryStreamHandler()]
    callbacks = [pair[index] for index in order]
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        await way.run(chain(ScriptedModel(pieces=("my ", "secret"))), {"question": SECRET}, {"callbacks": callbacks})
    sent = json.dumps(captured.items, default=str)
    assert captured.find(op="gen_ai.chat").attributes["langchain_stream.outcome"] == "completed"
    assert "secret" not in sent


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["the veto first", "the veto last"])
@pytest.mark.parametrize(
    "veto", [{"include_prompts": False}, {"redact": lambda text: "[redacted]"}], ids=["off", "redact"]
)
@shapes
def test_no_veto_is_passed_by_what_is_said_of_a_call(shape: str, veto: dict[str, Any], order: tuple[int, int]) -> None:
    """Tags, metadata and the variables of a prompt, in whichever order the handlers are; the prompt's name stays."""
    chosen: dict[str, Any] = {"metadata_keys": ("tenant",), "prompt_variables": ("question",)}
    pair = [SentryStreamHandler(**chosen, **veto), SentryStreamHandler(**chosen)]
    config: Any = {"callbacks": [pair[index] for index in order], "tags": [SECRET], "metadata": {"tenant": SECRET}}
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        made = ChatPromptTemplate.from_template("{question}").with_config(run_name="greeting") | ScriptedModel()
        made.invoke({"question": SECRET}, config)
        ScriptedModel().invoke("Hi", config)
    first, _ = captured.find_all(op="gen_ai.chat")
    assert first.attributes["gen_ai.prompt.name"] == "greeting"
    assert "secret" not in json.dumps(captured.items, default=str)


def masked(first: str, *others: str) -> Any:
    """A `redact` that knows these names."""
    return lambda text: re.sub("|".join((first, *others)), "[name]", text)


KEY: dict[str, Any] = {"user_key": "user_id"}
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the first redacts": (KEY | {"redact": masked("Ada", "Bob")}, KEY),
    "the last redacts": (KEY, KEY | {"redact": masked("Ada", "Bob")}),
    "each redacts a part": (KEY | {"redact": masked("Ada")}, KEY | {"redact": masked("Bob")}),
    "one redacts, the other has the key": ({"redact": masked("Ada", "Bob")}, KEY),
    "one has the key, the other redacts": (KEY, {"redact": masked("Ada", "Bob")}),
    "the one that has the key redacts a part": (KEY | {"redact": masked("Ada")}, {"redact": masked("Bob")}),
    "the first sends no prompts and redacts": (KEY | {"redact": masked("Ada", "Bob"), "include_prompts": False}, KEY),
}


@pytest.mark.parametrize("allowed", [True, False], ids=["content", "no content"])
@pytest.mark.parametrize("pair", PAIRS)
@shapes
def test_the_user_passes_the_redact_of_both(shape: str, pair: str, allowed: bool) -> None:
    """Whichever handler knows where the user's id is, it is on all spans as both of them would have it."""
    config: Any = {
        "callbacks": [SentryStreamHandler(**settings) for settings in PAIRS[pair]],
        "metadata": {"user_id": "Ada and Bob"},
    }
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(allowed)) as captured:
        chain(ScriptedModel()).invoke({"question": "Hi"}, config)
        ScriptedModel().invoke("Hi", config)
    assert len(captured.spans) == 4, captured.tree()
    assert {span.attributes["user.id"] for span in captured.spans} == {"[name] and [name]"}


@shapes
def test_the_user_passes_the_redact_of_a_chains_handler(shape: str) -> None:
    """The model's own handler knows of no `redact`, and that of the chain sees the model, too."""
    own = SentryStreamHandler(user_key="user_id")
    config: Any = {"callbacks": [SentryStreamHandler(redact=masked("Ada"))], "metadata": {"user_id": "Ada"}}
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        chain(ScriptedModel(callbacks=[own])).invoke({"question": "Hi"}, config)
    assert captured.find(op="gen_ai.chat").attributes["user.id"] == "[name]"


@ways
async def test_a_handler_of_the_call_takes_precedence_over_the_integration(way: Way) -> None:
    """With `SentryStreamIntegration` and a handler of the call: one span per run, the call's."""
    with capture_spans(integrations=[SentryStreamIntegration("everywhere")]) as captured:
        await way.run(chain(ScriptedModel()), {"question": "Hi"}, {"callbacks": [SentryStreamHandler("here")]})
        await way.run(chain(ScriptedModel(callbacks=[SentryStreamHandler("model")])), {"question": "Hi"}, {})
    calls = captured.find_all(op="gen_ai.chat")
    assert [span.attributes["gen_ai.pipeline.name"] for span in calls] == ["here", "model"]
    assert len(captured.spans) == 4, captured.tree()


def test_a_failure_seen_by_two_is_one_issue() -> None:
    """A chain that fails under two handlers is one issue, linked to the span that failed."""

    def fail(given: Any) -> Any:
        raise ValueError("broken")

    with capture_spans() as captured, pytest.raises(ValueError, match="broken"):
        (RunnableLambda(fail) | ScriptedModel()).invoke(
            "Hi", {"callbacks": [SentryStreamHandler(), SentryStreamHandler()]}
        )
    (issue,) = captured.events
    assert issue["contexts"]["trace"]["span_id"] in {span.span_id for span in captured.spans}


def test_nothing_stays_of_calls_that_the_models_own_handler_took_over() -> None:
    """However many calls two handlers see, none of them keeps more than a few notes of those that have ended."""
    own, calls = SentryStreamHandler(), SentryStreamHandler()
    model = ScriptedModel(callbacks=[own])
    with capture_spans():
        for _ in range(50):
            model.invoke("Hi", {"callbacks": [calls]})
    assert [len(each._runs._eviction._roots) <= 2 for each in (own, calls)] == [True, True]


def test_a_log_line_says_once_that_there_are_two(caplog: pytest.LogCaptureFixture) -> None:
    """Two handlers are named in one log line, however many runs they see; a single one in none."""
    with capture_spans(), caplog.at_level(logging.WARNING):
        ScriptedModel().invoke("Hi", {"callbacks": [SentryStreamHandler()]})
        assert "Two SentryStreamHandlers" not in caplog.text
        for _ in range(3):
            ScriptedModel().invoke("Hi", {"callbacks": [SentryStreamHandler(), SentryStreamHandler()]})
    assert caplog.text.count("Two SentryStreamHandlers") == 1


class Asking(ScriptedModel):
    """A model of a provider."""

    model_name: str = "asking"


def _agent_of(node_handler: Any, model_handlers: list[Any]) -> Any:
    model = Asking(callbacks=model_handlers)
    config: Any = {"callbacks": [node_handler]} if node_handler is not None else {}

    def node(state: Any) -> Any:
        return {"messages": [model.invoke([SystemMessage("SYSTEM canary"), *state["messages"]], config)]}

    return StateGraph(MessagesState).add_node("one", node).add_edge(START, "one").compile(name="scout")


VETOES: Any = {"include_prompts": {"include_prompts": False}, "redact": {"redact": lambda text: "[redacted]"}}


@pytest.mark.parametrize("veto", VETOES)
@pytest.mark.parametrize("of", ["the agent", "the call", "the model"])
def test_the_instructions_of_an_agent_pass_the_vetoes_of_both(of: str, veto: str) -> None:
    """What a call is asked with is on the agent's span only if the same may be recorded of the two."""
    vetoing, open_one = SentryStreamHandler(**VETOES[veto]), SentryStreamHandler()
    node_handler = {"the agent": open_one, "the call": vetoing}.get(of)
    graph = _agent_of(node_handler, [vetoing] if of == "the model" else [])
    with capture_spans(**content_allowed(True)) as captured:
        graph.invoke({"messages": [("user", "Hi")]}, {"callbacks": [vetoing if of == "the agent" else open_one]})
    found = captured.find(name="invoke_agent scout").attributes
    assert "canary" not in str(found)
