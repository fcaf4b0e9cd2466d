"""Messages that are nothing but a text: the shorter way makes the same of them as the way of all messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from hypothesis import example, given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage

from sentry_langchain_stream._content import messages, plain_messages
from sentry_langchain_stream._content.messages import input_messages, output_messages, prompt_messages
from sentry_langchain_stream._content.policy import Limits, Policy
from tests.kit.strategies import limits, media_data, texts
from tests.properties.test_messages import history

LONG = "Harbour lights. " * 400
SMALL = Limits(part=500, attribute=1_000, span=4_000)
said = st.one_of(
    texts,
    media_data,
    st.integers(0, 1_200).map(lambda length: LONG[:length]),
    st.sampled_from(["\ud83d", 'é" \n' * 90]),
)
asked = st.lists(
    st.one_of(
        said.map(HumanMessage),
        said.map(AIMessage),
        said.map(lambda text: AIMessageChunk(content=text)),
        said.map(lambda text: AIMessage(text, tool_calls=[{"name": "seek", "args": {}, "id": "c"}])),
        said.map(lambda text: AIMessage(text, additional_kwargs={"refusal": text})),
        said.map(lambda text: HumanMessage(text, tool_calls=[{"name": "seek", "args": {}, "id": "c"}])),
    ),
    max_size=5,
)


def both_ways(convert: Callable[[], str | None]) -> str | None:
    """What is recorded, which is the same without the shorter way."""
    shortly = convert()
    with patch.object(messages, "plain_message", lambda *_: None):
        assert convert() == shortly
    return shortly


@given(st.one_of(asked, history), limits)
@example([HumanMessage(LONG[:700])], SMALL)
@example([HumanMessage(LONG[:300]), AIMessage(LONG[:300]), HumanMessage(LONG[:300])], SMALL)
def test_a_prompt_is_recorded_the_same_on_the_shorter_way(prompt: list[Any], chosen: Limits) -> None:
    """The messages of a prompt become the same JSON, whatever they are and however little of them fits."""
    both_ways(lambda: input_messages(prompt, Policy(inputs=True, limits=chosen)))


@given(
    st.lists(st.tuples(st.one_of(asked.map(lambda some: some[0] if some else "Ahoy."), said), st.none() | said)), limits
)
@example([("Ahoy.", "s" * 210)], SMALL)
@example([("Ahoy.", "\ud83d")], SMALL)
def test_an_answer_is_recorded_the_same_on_the_shorter_way(
    answers: list[tuple[Any, str | None]], chosen: Limits
) -> None:
    """Answers become the same JSON, with any reason to stop."""
    both_ways(lambda: output_messages(answers, Policy(outputs=True, limits=chosen)))


@given(st.lists(said, max_size=4), limits)
def test_prompts_of_text_are_recorded_the_same_on_the_shorter_way(prompts: list[str], chosen: Limits) -> None:
    """The prompts of a completion model become the same JSON."""
    both_ways(lambda: prompt_messages(prompts, Policy(inputs=True, limits=chosen)))


def test_the_messages_of_most_calls_take_the_shorter_way() -> None:
    """A text of the user and one of the model are converted without a budget."""
    policy = Policy(inputs=True, outputs=True)
    for message, role in ((HumanMessage("Which way?"), "user"), (AIMessage("North."), "assistant"), ("North.", "user")):
        assert plain_messages.plain_message(message, role, policy, 10_000) is not None
