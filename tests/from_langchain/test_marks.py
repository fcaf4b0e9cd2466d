"""What LangChain's and LangGraph's own bookkeeping tells of a run."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from sentry_langchain_stream._content.policy import Policy
from sentry_langchain_stream._from_langchain import marks
from sentry_langchain_stream._runs.kinds import Control, Outcome
from sentry_langchain_stream._runs.start import Start
from sentry_langchain_stream._vocabulary import names

OPEN = Policy(inputs=True, outputs=True)
CLOSED = Policy(inputs=False, outputs=True)


def start(name: str | None = None, *tags: str, **metadata: Any) -> Start:
    return marks.read_start("chain", uuid4(), None, metadata, {"name": name, "tags": list(tags)})


@pytest.mark.parametrize(
    ("tags", "expected"),
    [(("graph:step:1",), True), (("mine", "graph:step:12"), True), (("seq:step:1",), False), ((), False)],
)
def test_a_node_is_told_by_its_tag(tags: tuple[str, ...], expected: bool) -> None:
    """LangGraph tags the nodes of a graph, and nothing else, with their step."""
    assert marks.is_node(tags) is expected


@pytest.mark.parametrize(
    ("begun", "expected"),
    [
        (start("LangGraph"), True),
        (start("office", ls_integration="langgraph"), True),
        (start("scout", ls_integration="langchain_create_agent"), True),
        (start("chief", ls_integration="deepagents"), True),
        (start("LangGraph", "seq:step:1", ls_integration="langgraph", langgraph_node="work"), True),
        (start("RunnableSequence"), False),
        (start("chain", ls_integration="langchain_chat_model"), False),
        (start("chain", ls_integration=7), False),
        (start("RunnableSequence", ls_integration="langgraph", langgraph_node="work"), False),
        (start("RunnableSequence", lc_agent_name="scout", langgraph_node="model"), False),
        (start("scout", lc_agent_name="scout", langgraph_node="tools"), False),
        (start("LangGraph", "graph:step:1", ls_integration="langgraph"), False),
        (start(None), False),
    ],
)
def test_a_graph_is_told_by_its_start(begun: Start, expected: bool) -> None:
    """A graph is known by its name or by what LangGraph says of it, a chain or node inside of one is none."""
    assert begun.kind == ("agent" if expected else "chain")


@pytest.mark.parametrize(
    ("begun", "above", "expected"),
    [
        (start("scout", lc_agent_name="scout"), None, "scout"),
        (start("run", lc_agent_name="scout"), None, "scout"),
        (start("inner", lc_agent_name="chief"), "chief", "inner"),
        (start("inner", lc_agent_name="helper"), "chief", "helper"),
        (start("office"), None, "office"),
        (start("office", lc_agent_name=""), None, "office"),
        (start("office", lc_agent_name=7), None, "office"),
        (start(None), None, "LangGraph"),
    ],
)
def test_an_agents_name(begun: Start, above: str | None, expected: str) -> None:
    """An agent is called by its own name, not by the one that it inherits, else as its run is."""
    assert names.agent(told=begun.agent_name, around=(above,) if above else (), run=begun.name) == expected


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (("retry:attempt:2",), 2),
        (("seq:step:1", "retry:attempt:13"), 13),
        (("retry:attempt:soon", "retry:attempt:3"), 3),
        (("retry:attempt:",), None),
        (("mine:retry:attempt:2",), None),
        ((), None),
    ],
)
def test_an_attempt_is_told_by_its_tag(tags: tuple[str, ...], expected: int | None) -> None:
    """`with_retry` tags what it calls again with the number of the attempt."""
    assert marks.attempt(tags) == expected


@pytest.mark.parametrize(
    ("error", "outcome", "control"),
    [
        (GeneratorExit(), "abandoned", None),
        (asyncio.CancelledError(), "cancelled", None),
        (KeyboardInterrupt(), "cancelled", None),
        (SystemExit(), "cancelled", None),
        (ValueError(), "failed", None),
        (TimeoutError(), "failed", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_not_every_exception_is_an_error(error: BaseException, outcome: Outcome, control: Control | None) -> None:
    """Consumers leave, tasks are cancelled, graphs hand control upwards; what is left has failed."""
    assert marks.outcome(error) == outcome
    assert marks.control(error) == control


def test_a_graph_hands_control_upwards() -> None:
    """LangGraph's interrupts and handoffs are exceptions, and no errors."""
    from langgraph.errors import GraphInterrupt, ParentCommand
    from langgraph.types import Command

    for error, control in ((GraphInterrupt(), "interrupt"), (ParentCommand(Command(goto="clerk")), "handoff")):
        assert marks.outcome(error) == "completed"
        assert marks.control(error) == control


@pytest.mark.parametrize("value", [3, None, ["x"], {"name": "x"}, True], ids=repr)
def test_a_pipeline_name_that_is_no_text_is_passed_over(value: object) -> None:
    """Metadata is the user's: a `pipeline_name` there that is no text does not count."""
    assert start("chain", pipeline_name=value).pipeline_name is None
