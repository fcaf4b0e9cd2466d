"""Whatever LangChain hands to a hook: the run ends, and the hook raises nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import WIRE_SHAPES, content_allowed

pytestmark = pytest.mark.usefixtures("lenient")


class Unclassed:
    """Raises when it is asked for its class, which `isinstance` does."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("no class")


class UnclassedError(Exception):
    """An exception that raises when it is asked for its class."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("no class")


class Unread:
    """Raises whatever it is asked."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


VALUES: dict[str, Callable[[], Any]] = {
    "no class": Unclassed,
    "nothing can be read": Unread,
    "in a list": lambda: [Unclassed(), Unread()],
    "in a mapping": lambda: {"messages": [Unclassed()], "content": Unread(), "output": Unclassed()},
    "None": lambda: None,
    "a type": lambda: Unclassed,
}

KINDS = ("chat_model", "llm", "chain", "tool", "retriever")
STARTS: dict[str, Callable[[Any, Any], Any]] = {
    "chat_model": lambda handler, run_id: handler.on_chat_model_start({}, [[]], run_id=run_id),
    "llm": lambda handler, run_id: handler.on_llm_start({}, ["Hi"], run_id=run_id),
    "chain": lambda handler, run_id: handler.on_chain_start({}, {}, run_id=run_id, name="LangGraph"),
    "tool": lambda handler, run_id: handler.on_tool_start({"name": "look"}, "Hi", run_id=run_id),
    "retriever": lambda handler, run_id: handler.on_retriever_start({}, "Hi", run_id=run_id),
}


def ends(handler: Any, kind: str, how: str) -> Callable[..., Any]:
    name = "llm" if kind == "chat_model" else kind
    hook: Callable[..., Any] = getattr(handler, f"on_{name}_{how}")
    return hook


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_run_ends_whatever_it_returns(shape: str, kind: str, value: str) -> None:
    """The end event of a hostile result ends the run, and its span is sent."""
    handler: Any = SentryStreamHandler()
    run_id = uuid4()
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        STARTS[kind](handler, run_id)
        assert handler.live_runs == 1
        if kind in ("chat_model", "llm"):
            handler.on_llm_new_token(VALUES[value](), chunk=VALUES[value](), run_id=run_id)
            handler.on_stream_event(VALUES[value](), run_id=run_id)
        ends(handler, kind, "end")(VALUES[value](), run_id=run_id)
        assert handler.live_runs == 0
    assert len(captured.spans) >= 1


@pytest.mark.parametrize("error", [UnclassedError, ValueError])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_run_ends_whatever_it_raises(shape: str, kind: str, error: type[Exception]) -> None:
    """The error event of a hostile exception, with a hostile partial answer, ends the run as failed."""
    handler: Any = SentryStreamHandler()
    run_id = uuid4()
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        STARTS[kind](handler, run_id)
        ends(handler, kind, "error")(error(), run_id=run_id, response=Unclassed())
        assert handler.live_runs == 0
    outcomes = {span.attributes.get("langchain_stream.outcome") for span in captured.spans}
    assert "failed" in outcomes


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_run_starts_whatever_it_is_given(shape: str, value: str) -> None:
    """Hostile inputs, tags and metadata cost their own attributes, not the span."""
    make = VALUES[value]
    handler: Any = SentryStreamHandler(metadata_keys=["plan"])
    more: dict[str, Any] = {"tags": [make()], "metadata": {"plan": make(), "thread_id": make(), "ls_provider": make()}}
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        ids = [uuid4() for _ in KINDS]
        options = {"invocation_params": {"tools": [make()], "stop": make(), "model": make(), "temperature": make()}}
        handler.on_chat_model_start({"kwargs": make()}, [[make()]], run_id=ids[0], **more, **options)
        handler.on_llm_start({}, [make()], run_id=ids[1], **more, **options)
        handler.on_chain_start({}, make(), run_id=ids[2], name="LangGraph", **more)
        handler.on_tool_start({"name": make()}, make(), run_id=ids[3], inputs=make(), **more)
        handler.on_retriever_start({"id": make()}, make(), run_id=ids[4], **more)
        started = handler.live_runs
        for kind, run_id in zip(KINDS, ids, strict=True):
            ends(handler, kind, "end")(None, run_id=run_id)
        assert handler.live_runs == 0
    assert started >= len(KINDS)
    assert len(captured.spans) >= len(KINDS)
