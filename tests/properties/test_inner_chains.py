"""A chain below a chain has the same record, whether it is started and ended the short way or not."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import reduce
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
import sentry_sdk
from hypothesis import example, given, settings
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel
from langchain_core.tools import BaseTool, tool

from sentry_langchain_stream import SentryStreamHandler, watch_runs
from sentry_langchain_stream._from_langchain import same_ids
from sentry_langchain_stream._from_langchain.inner_chains import InnerChains
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.wire import ScriptedModel, content_allowed

Built = Runnable[Any, Any]


class StepError(Exception):
    """What a step fails with."""


@tool
def search(text: str) -> str:
    """Find a text."""
    return text


@tool
def broken(text: str) -> str:
    """Fail."""
    raise StepError(text)


def _model() -> BaseChatModel:
    return ScriptedModel(pieces=("so ", "it ", "is"))


def _fail(_: Any) -> Any:
    raise StepError("failed")


def _messages(value: Any) -> list[BaseMessage]:
    return [HumanMessage(str(value))]


def _variables(value: Any) -> dict[str, str]:
    return {"x": str(value)}


GREETING = ChatPromptTemplate.from_template("{x}").with_config(metadata={"prompt_name": "greeting"})


def _answer() -> Built:
    return RunnableLambda(_messages) | _model() | StrOutputParser()


def _inside(step: Built) -> Built:
    """A function that calls a chain."""
    return RunnableLambda(lambda value: step.invoke(value), name="outer")


def _around(leaf: Built, *makes: Callable[[Built], Built]) -> Built:
    return reduce(lambda inner, make: make(inner), makes, leaf)


def _named(name: str) -> Callable[[Built], Built]:
    return lambda step: _inside(step).with_config(run_name=name)


def _talk(step: Built) -> Built:
    return _inside(step).with_config(metadata={"thread_id": "t-1"})


def _greet(step: Built) -> Built:
    return RunnableLambda(_variables) | GREETING | step


def _search(by: BaseTool) -> Built:
    return RunnableLambda(lambda value: by.invoke({"text": str(value)}))


LEAVES: tuple[Callable[[], Built], ...] = (
    lambda: RunnableLambda(str),
    _answer,
    lambda: RunnableLambda(_variables) | ChatPromptTemplate.from_template("{x}") | _model(),
    lambda: RunnableLambda(_fail),
    lambda: _search(search),
    lambda: _search(broken),
    lambda: RunnableLambda(_fail).with_retry(stop_after_attempt=2, wait_exponential_jitter=False),
)


AROUND: tuple[Callable[[Built], Built], ...] = (
    _inside,
    lambda step: step | RunnableLambda(str),
    _greet,
    lambda step: step.with_config(run_name="captain"),
    lambda step: step.with_config(run_name="LangGraph"),
    lambda step: step.with_config(tags=["mine"]),
    lambda step: step.with_config(metadata={"thread_id": "t-1", "kept": "yes"}),
    lambda step: step.with_config(configurable={"session_id": "s-1"}),
    lambda step: step.with_retry(stop_after_attempt=2, wait_exponential_jitter=False),
)

SPLIT: tuple[Callable[[Built], Built], ...] = (
    lambda step: RunnableParallel(one=step, two=RunnableLambda(str)),
    lambda step: step.with_fallbacks([RunnableLambda(_messages) | _model()]),
    lambda step: RunnableLambda(_fail).with_fallbacks([step]),
)
"""What ends in an order of its own when it is left: that of threads, or of garbage collection."""


def _chains(*around: Callable[[Built], Built]) -> st.SearchStrategy[Built]:
    """A leaf, inside of two to five others."""
    outer = st.lists(st.sampled_from(around), min_size=2, max_size=5)
    return st.builds(lambda leaf, makes: _around(leaf(), *makes), st.sampled_from(LEAVES), outer)


handlers = st.fixed_dictionaries(
    {}, optional={"chains": st.just(True), "metadata_keys": st.just(("kept",)), "nesting": st.just(False)}
)


def _invoke(chain: Built, config: Any) -> None:
    chain.invoke("Hi", config)


def _leave(chain: Built, config: Any) -> None:
    stream = chain.stream("Hi", config)
    next(stream)
    stream.close()  # type: ignore[attr-defined]


def _ainvoke(chain: Built, config: Any) -> None:
    asyncio.run(chain.ainvoke("Hi", config))


def _batch(chain: Built, config: Any) -> None:
    one_by_one: Any = {**config, "max_concurrency": 1}
    chain.batch(["Hi", "Ho"], one_by_one)


called = st.one_of(
    st.tuples(_chains(*AROUND, *SPLIT), st.sampled_from((_invoke, _ainvoke, _batch))),
    st.tuples(_chains(*AROUND), st.just(_leave)),
)


@contextmanager
def _long_way() -> Iterator[None]:
    with (
        patch.object(InnerChains, "start", lambda *_: False),
        patch.object(InnerChains, "end", lambda *_: False),
    ):
        yield


def _told(captured: Captured, runs: Any) -> Any:
    """All that was recorded but for times and random ids."""
    names = {span.span_id: span.name for span in captured.spans}
    spans = [
        (
            span.op,
            span.name,
            span.status,
            names.get(span.parent_id or "", span.parent_id is None),
            {key: value for key, value in span.attributes.items() if _is_same_again(key)},
        )
        for span in captured.spans
    ]
    issues = [
        ([each["value"] for each in event["exception"]["values"]], names.get(event["contexts"]["trace"]["span_id"]))
        for event in captured.events
    ]
    ended = [(each.kind, each.name, each.outcome, each.error_type, each.total_tokens) for each in runs]
    return sorted(spans, key=repr), issues, ended


def _is_same_again(key: str) -> bool:
    timed = ("rate", "gap", "silence", "first_chunk", "per_second", "response.id")
    return key.startswith(("langchain_stream.", "gen_ai.")) and not any(each in key for each in timed)


def _record(
    chain: Built, call: Callable[[Built, Any], None], arguments: dict[str, Any], options: dict[str, Any]
) -> tuple[Any, int]:
    gc.freeze()  # of all examples together, only what this one leaves is looked through
    handler = SentryStreamHandler(**arguments)
    with capture_spans(**options) as captured, watch_runs() as runs:
        with sentry_sdk.start_transaction(op="http.server", name="GET /answer"), suppress(StepError):
            call(chain, {"callbacks": [handler]})
        gc.collect()
        sentry_sdk.flush()
        return _told(captured, runs), handler.live_runs


def _rethrow(step: Built) -> Built:
    """A step that catches a failure, and one that fails with it."""
    caught: list[StepError] = []

    def catch(value: Any) -> None:
        try:
            step.invoke(value)
        except StepError as error:
            caught.append(error)

    def throw(_: Any) -> None:
        if caught:
            raise caught.pop()

    return RunnableLambda(catch) | RunnableLambda(throw)


RECORDED = content_allowed(True)


@example((_around(_answer(), _inside, _inside, _named("LangGraph")), _invoke), {}, RECORDED)
@example((_around(_answer(), _inside, _inside, _greet), _invoke), {}, RECORDED)
@example((_around(_answer(), _inside, _inside, _talk), _invoke), {}, RECORDED)
@example((_around(_answer(), _inside, _talk, _inside), _invoke), {}, RECORDED)
@example((_around(RunnableLambda(_fail), _inside, _talk, _inside), _invoke), {}, RECORDED)
@example((_around(_search(broken), _inside, _rethrow, _inside), _invoke), {}, RECORDED)
@example((_around(_answer(), _inside, _inside, _named("RunnableWithFallbacks"), _inside), _leave), {}, RECORDED)
@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(
    called,
    handlers,
    st.sampled_from((content_allowed(True), {"traces_sample_rate": 0.0})),
)
def test_the_short_way_records_what_the_long_way_does(
    called: tuple[Built, Callable[[Built, Any], None]], arguments: dict[str, Any], options: dict[str, Any]
) -> None:
    """Whatever chains are made of, and however they end: spans, issues, runs and counts are the same."""
    short = _record(*called, arguments, options)
    with _long_way():
        long = _record(*called, arguments, options)
    assert short == long


@pytest.mark.parametrize("again", [{}, {uuid4(): ()}], ids=["no", "an"])
def test_a_step_of_a_chain_goes_the_short_way(again: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after two runs have shared an id. Else the test above would compare the long way with itself."""
    monkeypatch.setattr(same_ids, "again", again)
    began: list[bool] = []
    original = InnerChains.start

    def start(self: InnerChains, *args: Any) -> bool:
        began.append(original(self, *args))
        return began[-1]

    with patch.object(InnerChains, "start", start), capture_spans():
        chain = RunnableLambda(str) | RunnableLambda(str)
        chain.invoke("Hi", {"callbacks": [SentryStreamHandler()]})
    assert began == [False, True, True]
