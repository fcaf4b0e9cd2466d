"""Handoffs by the tools of langgraph-swarm and langgraph-supervisor, each of them once."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("langgraph")
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolCall
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.wire import DEFAULT_SHAPE, WAYS, WIRE_SHAPES, Way

QUESTION = {"messages": [("user", "Hi")]}

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what these packages call in LangGraph


class Turns(BaseChatModel):
    """A model that asks for these tools turn by turn, and then answers."""

    turns: list[tuple[str, ...]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "openai-chat"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        asked = self.turns.pop(0) if self.turns else ()
        calls = [ToolCall(name=name, args={"from_agent": "research"}, id=str(uuid4())) for name in asked]
        message = AIMessage("" if calls else "Done.", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=message)])


def swarm() -> Any:
    """Alice hands over to Bob, who hands back to Alice."""
    from langchain.agents import create_agent
    from langgraph_swarm import create_handoff_tool, create_swarm

    alice = create_agent(Turns(turns=[("transfer_to_bob",)]), [create_handoff_tool(agent_name="bob")], name="alice")
    bob = create_agent(Turns(turns=[("transfer_to_alice",)]), [create_handoff_tool(agent_name="alice")], name="bob")
    return create_swarm([alice, bob], default_active_agent="alice").compile(name="team")


def supervisor(*turns: tuple[str, ...]) -> Any:
    """A supervisor of two agents, who ask for nothing."""
    from langchain.agents import create_agent
    from langgraph_supervisor import create_supervisor
    from langgraph_supervisor.handoff import create_forward_message_tool

    agents: list[Any] = [create_agent(Turns(), [], name=name) for name in ("research", "maths")]
    tools: list[Any] = [create_forward_message_tool()]
    return create_supervisor(agents, model=Turns(turns=list(turns)), tools=tools).compile(name="team")


def handoffs(captured: Captured) -> list[str]:
    """The names of the spans of handoffs, in their order."""
    return [each.name for each in captured.spans if each.op == "gen_ai.handoff"]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_swarm_hands_over_and_back(shape: str, way: Way) -> None:
    """Each use of a handoff tool is one span, beside the agent whose tool it is."""
    pytest.importorskip("langgraph_swarm")
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(swarm(), QUESTION, {"callbacks": [handler]})
    assert handoffs(captured) == ["handoff from alice to bob", "handoff from bob to alice"]
    team = captured.find(name="invoke_agent team")
    assert {each.parent_id for each in captured.find_all(op="gen_ai.handoff")} == {team.span_id}
    assert len(captured.find_all(name="invoke_agent alice")) == 2
    assert handler.live_runs == 0


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_supervisor_hands_over(shape: str, way: Way) -> None:
    """Each agent that the supervisor calls is one handoff; its return, and a forwarded message, is none."""
    pytest.importorskip("langgraph_supervisor")
    handler = SentryStreamHandler()
    team = supervisor(("transfer_to_research",), ("transfer_to_maths",), ("forward_message",))
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(team, QUESTION, {"callbacks": [handler]})
    assert handoffs(captured) == ["handoff from supervisor to research", "handoff from supervisor to maths"]
    assert len(captured.find_all(name="invoke_agent supervisor")) == 3
    assert len(captured.find_all(name="execute_tool forward_message")) == 1
    assert handler.live_runs == 0


def test_a_supervisor_hands_over_to_two_at_once() -> None:
    """As many handoffs as agents that go on."""
    pytest.importorskip("langgraph_supervisor")
    with capture_spans(**WIRE_SHAPES[DEFAULT_SHAPE]) as captured:
        supervisor(("transfer_to_research", "transfer_to_maths")).invoke(
            QUESTION, {"callbacks": [SentryStreamHandler()]}
        )
    called = {each.name for each in captured.find_all(op="gen_ai.invoke_agent")} & {
        "invoke_agent research",
        "invoke_agent maths",
    }
    assert {name.split()[-1] for name in handoffs(captured)} == {name.split()[-1] for name in called}
    assert len(handoffs(captured)) == len(called)
