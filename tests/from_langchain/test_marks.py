"""What LangChain's and LangGraph's own bookkeeping tells of a run."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest

from sentry_langchain_stream._content.labels import conversation_id, user_labels
from sentry_langchain_stream._content.policy import Policy
from sentry_langchain_stream._from_langchain import marks
from sentry_langchain_stream._runs.run import Control, Outcome, Start
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
        (start("scout", lc_agent_name="scout", langgraph_node="work"), True),
        (start("RunnableSequence"), False),
        (start("chain", ls_integration="langchain_chat_model"), False),
        (start("chain", ls_integration=7), False),
        (start("RunnableSequence", ls_integration="langgraph", langgraph_node="work"), False),
        (start("RunnableSequence", lc_agent_name="scout", langgraph_node="model"), False),
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
        (start("office"), None, "office"),
        (start("office", lc_agent_name=""), None, "office"),
        (start("office", lc_agent_name=7), None, "office"),
        (start(None), None, "LangGraph"),
    ],
)
def test_an_agents_name(begun: Start, above: str | None, expected: str) -> None:
    """An agent is called by its own name, not by the one that it inherits, else as its run is."""
    assert names.agent(own=begun.agent_name, parent=above, run=begun.name) == expected


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


def hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:32]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"thread_id": "t-1"}, "t-1"),
        ({"session_id": "s_1", "thread_id": "t-1"}, "s_1"),
        ({"conversation_id": "c.1", "session_id": "s_1", "thread_id": "t-1"}, "c.1"),
        ({"conversation_id": None, "thread_id": "t-1"}, "t-1"),
        ({"conversation_id": "", "thread_id": "t-1"}, "t-1"),
        ({"conversation_id": True, "thread_id": 0}, "0"),
        ({"thread_id": "a" * 128}, "a" * 128),
        ({"thread_id": "a" * 129}, hashed("a" * 129)),
        ({"thread_id": "a/b"}, hashed("a/b")),
        ({"thread_id": "ann@example.org"}, hashed("ann@example.org")),
        ({"thread_id": "t-1\n"}, hashed("t-1\n")),
        ({"thread_id": "é"}, hashed("é")),
        ({"other": "t-1"}, None),
        ({}, None),
    ],
)
def test_a_conversations_id(metadata: dict[str, Any], expected: str | None) -> None:
    """The most particular id that there is, as it is if that is opaque, else its hash."""
    assert conversation_id(metadata) == expected


def test_an_id_that_is_no_text_of_unicode_is_hashed() -> None:
    """An id with half of a surrogate pair, which no encoding has, does no harm."""
    assert len(str(conversation_id({"thread_id": "\ud800"}))) == 32


def test_labels_are_the_users_tags_and_chosen_metadata() -> None:
    """LangChain's own tags are left out, and so is metadata that was not asked for."""
    own = ("seq:step:1", "graph:step:2", "map:key:a", "retry:attempt:2", "langsmith:hidden", "nostream")
    choice = ("condition:1", "branch:2", "branch:default")
    begun = start("chain", *own, *choice, "shop", "branch:main", "langchain_app", tenant="acme", plan="gold")
    assert user_labels(begun.tags, begun.metadata, ["tenant", "missing"], OPEN) == {
        "langchain_stream.tags": ["shop", "branch:main", "langchain_app"],
        "langchain_stream.metadata.tenant": "acme",
    }


def test_without_content_there_are_no_labels() -> None:
    """Tags and metadata are the user's words: where inputs may not be recorded, they are not."""
    begun = start("chain", "shop", tenant="acme")
    assert user_labels(begun.tags, begun.metadata, ["tenant"], CLOSED) == {}


class Unreadable:
    """What has no text to give."""

    def __str__(self) -> str:
        raise RuntimeError("str")


def test_one_value_that_has_no_text_costs_itself_only() -> None:
    """Of metadata that cannot be made a text nothing is told; the tags, and all else that was chosen, are there."""
    begun = start("chain", "shop", plan=Unreadable(), number=10**5_000, tenant="acme")
    assert user_labels(begun.tags, begun.metadata, ["plan", "number", "tenant"], OPEN) == {
        "langchain_stream.tags": ["shop"],
        "langchain_stream.metadata.tenant": "acme",
    }
    assert conversation_id({"session_id": 10**5_000, "thread_id": "t-1"}) == "t-1"


def test_labels_are_redacted() -> None:
    """`redact` sees every tag and every value; what it makes nothing of is left out."""
    policy = Policy(inputs=True, outputs=True, redact=lambda text: text.replace("acme", "***"))
    begun = start("chain", "of acme", tenant="acme")
    assert user_labels(begun.tags, begun.metadata, ["tenant"], policy) == {
        "langchain_stream.tags": ["of ***"],
        "langchain_stream.metadata.tenant": "***",
    }


def test_labels_are_few_and_short() -> None:
    """At most twenty tags are kept, and of a text two hundred characters, cut visibly."""
    begun = start("chain", *(f"tag-{number}" for number in range(30)), note="n" * 201, whole="w" * 200, number=7)
    found = user_labels(begun.tags, begun.metadata, ["note", "whole", "number"], OPEN)
    assert found["langchain_stream.tags"] == [f"tag-{number}" for number in range(20)]
    assert found["langchain_stream.metadata.note"] == "n" * 197 + "..."
    assert found["langchain_stream.metadata.whole"] == "w" * 200
    assert found["langchain_stream.metadata.number"] == "7"


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
