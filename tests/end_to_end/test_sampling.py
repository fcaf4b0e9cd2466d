"""What a `traces_sampler` gets of a root run, to decide by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.async_context import is_async, needs_async_context
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way

QUESTION = {"question": "Hi"}
MESSAGES = {"messages": [("user", "Hi")]}


def model() -> Any:
    """A model by itself."""
    return ScriptedModel()


def chain() -> Any:
    """A chain around a model."""
    return ChatPromptTemplate.from_template("{question}") | ScriptedModel()


def agent() -> Any:
    """A graph that LangChain runs as an agent."""
    from langchain.agents import create_agent

    return create_agent(ScriptedModel(), [])


def named_agent() -> Any:
    """The same with a name, which LangChain has to say is an agent."""
    from langchain.agents import create_agent

    made = create_agent(ScriptedModel(), [], name="scout")
    if "lc_agent_name" not in (made.config or {}).get("metadata", {}):
        pytest.skip("before langchain 1.2.13 an agent with a name is a chain until its first node starts")
    return made


ROOTS: dict[str, tuple[Callable[[], Any], Any, dict[str, Any]]] = {
    "model": (model, "Hi", {"operation": "chat", "model": "scripted"}),
    "chain": (chain, QUESTION, {"operation": None, "model": None}),
    "agent": (agent, MESSAGES, {"operation": "invoke_agent", "model": None}),
    "named agent": (named_agent, MESSAGES, {"operation": "invoke_agent", "model": None}),
}


@pytest.fixture
def sampled() -> list[dict[str, Any]]:
    """What the sampler got of each root run."""
    return []


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
@needs_async_context(lambda root, way: root in ("agent", "named agent") and is_async(way))
async def test_a_sampler_gets_what_is_known_of_a_root_run(
    shape: str, root: str, way: Way, sampled: list[dict[str, Any]]
) -> None:
    """It gets the operation, the model, the pipeline, the tags and the metadata that `metadata_keys` names, once."""

    def sampler(context: Any) -> float:
        sampled.append(context["langchain_run"])
        return 1.0

    make, asked, facts = ROOTS[root]
    handler = SentryStreamHandler("support-bot", metadata_keys=("plan", "missing"))
    config = {"callbacks": [handler], "tags": ["beta"], "metadata": {"plan": "free", "secret": "canary"}}
    with capture_spans(**WIRE_SHAPES[shape], traces_sampler=sampler) as captured:
        await way.run(make(), asked, config)
    assert len(captured.find_all(op="gen_ai.chat")) == 1
    assert sampled == [{**facts, "pipeline": "support-bot", "tags": ["beta"], "metadata": {"plan": "free"}}]


@pytest.mark.parametrize("tag", ["seq:step:1", "graph:step:2", "map:key:a", "langsmith:hidden", "branch:default"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_sampler_gets_no_tag_of_langchain(shape: str, tag: str, sampled: list[dict[str, Any]]) -> None:
    """A tag that LangChain or LangGraph adds is left out, as it is from the span."""

    def sampler(context: Any) -> float:
        sampled.append(context["langchain_run"])
        return 1.0

    with capture_spans(**WIRE_SHAPES[shape], traces_sampler=sampler):
        ScriptedModel().invoke("Hi", {"callbacks": [SentryStreamHandler()], "tags": [tag, "beta"]})
    assert [each["tags"] for each in sampled] == [["beta"]]


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_root_run_is_dropped_by_its_sampler(shape: str) -> None:
    """A sampler can drop the runs of one model and keep all others."""

    def sampler(context: Any) -> float:
        return 0.0 if context["langchain_run"]["model"] == "small" else 1.0

    with capture_spans(**WIRE_SHAPES[shape], traces_sampler=sampler) as captured:
        for name in ("small", "large"):
            ScriptedModel(model_name=name).invoke("Hi", {"callbacks": [SentryStreamHandler()]})
    assert [span.name for span in captured.find_all(op="gen_ai.chat")] == ["chat large"]


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_nothing_of_the_sampling_context_is_sent(shape: str) -> None:
    """What only the sampler gets, as metadata where content is off, does not leave the process."""
    handler = SentryStreamHandler(metadata_keys=("plan",))
    with capture_spans(**WIRE_SHAPES[shape], traces_sampler=lambda _: 1.0) as captured:
        RunnableLambda(str).invoke("Hi", {"callbacks": [handler], "metadata": {"plan": "canary"}})
    assert len(captured.find_all(op="function")) == 1
    assert b"canary" not in b"".join(captured.envelopes)
