"""Prompts are compared by a digest of their content."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from sentry_langchain_stream._content import digests
from sentry_langchain_stream._content.digests import digest


def image(data: str) -> HumanMessage:
    """A question about an image."""
    blocks: list[Any] = [{"type": "text", "text": "What is it?"}]
    return HumanMessage([*blocks, {"type": "image", "base64": data, "mime_type": "image/png"}])


def called(**arguments: Any) -> AIMessage:
    """An answer that calls a tool."""
    return AIMessage("", tool_calls=[{"name": "look", "args": arguments, "id": "call-1"}])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["ask Ann"], ["ask Bob"]),
        ([HumanMessage("ask Ann")], [HumanMessage("ask Bob")]),
        ([HumanMessage("Hi")], [SystemMessage("Hi")]),
        ([HumanMessage("Hi")], [HumanMessage("Hi"), HumanMessage("Hi")]),
        ([SystemMessage("a"), HumanMessage("b")], [SystemMessage("b"), HumanMessage("a")]),
        ([image("AAAA")], [image("AAAB")]),
        ([called(subject="a")], [called(subject="b")]),
        ([called(subject=["a", ["b"]])], [called(subject=[["a"], "b"])]),
        ([ToolMessage("x", tool_call_id="1")], [ToolMessage("x", tool_call_id="2")]),
        ([{"role": "user", "content": "a"}], [{"role": "user", "content": "b"}]),
        ([("user", "a")], [("user", "b")]),
    ],
)
def test_prompts_that_differ_have_other_digests(one: list[Any], other: list[Any]) -> None:
    """In a text, a role, an image, the arguments of a tool call: in whatever the model gets."""
    assert digest(one) == digest([*one])
    assert digest(one) != digest(other)


def test_prompts_of_the_same_content_have_the_same_digest() -> None:
    """Middleware makes the messages of an attempt anew, with ids of their own."""
    one, other = ([SystemMessage("Be brief."), HumanMessage("Hi", id=id), image("AAAA")] for id in ("1", "2"))
    assert digest(one) == digest(other)


def test_a_long_text_is_compared_by_its_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read has a limit, and the latest message is read first."""
    monkeypatch.setattr(digests, "_MOST", 3_000)
    long = "a" * 3_000
    assert digest([long + "b" + long]) == digest([long + "c" + long])
    assert digest([long + "b"]) != digest([long + "c"])
    assert digest([long, "Hi"]) != digest([long, "Ho"])


def test_many_values_are_read_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt of very many small values does not take longer than a long text."""
    monkeypatch.setattr(digests, "_MOST", 3_000)
    assert digest([["a"] * 100 + ["b"]]) == digest([["a"] * 100 + ["c"]])
    assert digest([["a"] * 100]) != digest([["a"] * 101])


def test_a_value_that_contains_itself_has_a_digest() -> None:
    """It ends at a depth that no message has."""
    block: dict[str, Any] = {"type": "text"}
    block["text"] = block
    assert digest([block]) == digest([block])
