"""What was counted is told once: reports that repeat, prompts of one request, and answers from LangChain's cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.language_models import BaseChatModel, BaseLLM
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult, Generation, LLMResult

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import CapturedSpan, capture_spans
from tests.kit.wire import WAYS, ScriptedModel, Way

USED = {"input_tokens": 10, "output_tokens": 3, "total_tokens": 13}


class Reporting(BaseChatModel):
    """A model that streams a word per report, `(input, output)` each."""

    reports: tuple[tuple[int, int], ...]

    @property
    def _llm_type(self) -> str:
        return "openai-chat"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        for read, written in self.reports:
            usage: Any = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
            yield ChatGenerationChunk(message=AIMessageChunk(content="word ", usage_metadata=usage))


class Completing(BaseLLM):
    """A model that answers all its prompts in one request, and reports their tokens together."""

    usage: dict[str, int] | None

    @property
    def _llm_type(self) -> str:
        return "openai"

    def _generate(self, prompts: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> LLMResult:
        return LLMResult(
            generations=[[Generation(text="an answer")] for _ in prompts], llm_output={"token_usage": self.usage}
        )


def numbers(span: CapturedSpan) -> tuple[Any, ...]:
    """Input, output, total, and whose they are."""
    names = ("usage.input_tokens", "usage.output_tokens", "usage.total_tokens")
    return (*(span.attributes.get(f"gen_ai.{name}") for name in names), span.attributes.get(SOURCE))


SOURCE = "langchain_stream.usage_source"


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        pytest.param(((10, 1), (10, 2), (10, 3)), (10, 3, 13, "provider"), id="all so far, in every chunk"),
        pytest.param(((10, 0), (0, 1), (0, 2)), (10, 3, 13, "provider"), id="what came since, in every chunk"),
        pytest.param(((10, 0), (0, 3)), (10, 3, 13, "provider"), id="the prompt first, the answer last"),
        pytest.param(((10, 3),), (10, 3, 13, "provider"), id="once"),
    ],
)
@pytest.mark.parametrize("way", [way for way in WAYS if way.streams], ids=str)
async def test_however_often_a_stream_reports_its_tokens_are_counted_once(
    way: Way, reports: tuple[tuple[int, int], ...], expected: tuple[Any, ...]
) -> None:
    """LangChain adds all reports of a stream up; where they repeat each other, the last one is right instead."""
    with capture_spans() as captured:
        await way.run(Reporting(reports=reports), "Hi", {"callbacks": [SentryStreamHandler()]})
    assert numbers(captured.find(op="gen_ai.chat")) == expected


async def test_an_answer_to_a_prompt_of_no_tokens_is_an_estimate() -> None:
    """A provider that leaves the prompt out is not believed to have read nothing: the number is an estimate."""
    with capture_spans() as captured:
        await WAYS[0].run(Reporting(reports=((0, 3),)), "Hi there", {"callbacks": [SentryStreamHandler()]})
    read, written, total, source = numbers(captured.find(op="gen_ai.chat"))
    assert (written, total, source) == (3, read + 3, "estimate")
    assert read > 0


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 20, "completion_tokens": 6, "total_tokens": 26}, [(20, 6, 26, "provider"), (None,) * 4]),
        ({}, [(None,) * 4, (None,) * 4]),
    ],
    ids=["reported", "not reported"],
)
def test_the_prompts_of_one_request_are_counted_once(usage: dict[str, int], expected: list[Any]) -> None:
    """A completion model reports the tokens of all its prompts together: they are with the first, none are made up."""
    handlers: Any = [SentryStreamHandler()]
    with capture_spans() as captured:
        Completing(usage=usage).generate(["one", "two"], callbacks=handlers)
    spans = captured.find_all(op="gen_ai.text_completion")
    assert sorted((numbers(span) for span in spans), key=repr, reverse=True) == sorted(expected, key=repr, reverse=True)


def test_a_single_prompt_without_usage_is_estimated() -> None:
    """An empty usage with the only prompt of a request means that nothing was reported."""
    with capture_spans() as captured:
        Completing(usage={}).invoke("one", config={"callbacks": [SentryStreamHandler()]})
    assert numbers(captured.find(op="gen_ai.text_completion"))[-1] == "estimate"


@pytest.mark.parametrize("usage", [USED, None], ids=["with usage", "without usage"])
@pytest.mark.parametrize("way", [way for way in WAYS if not way.streams], ids=str)
async def test_an_answer_from_langchains_cache_used_no_tokens(way: Way, usage: dict[str, Any] | None) -> None:
    """A cached answer was billed nothing: the span says that it is one, and has no token attribute at all."""
    model = ScriptedModel(usage=usage, cache=InMemoryCache())
    with capture_spans() as captured:
        for _ in range(2):
            await way.run(model, "Hi", {"callbacks": [SentryStreamHandler()]})
    first, second = captured.find_all(op="gen_ai.chat")
    assert "cache.hit" not in first.attributes
    assert first.attributes[SOURCE] == ("provider" if usage else "estimate")
    assert second.attributes["cache.hit"] is True
    assert [key for key in second.attributes if "tokens" in key or key == SOURCE] == []
