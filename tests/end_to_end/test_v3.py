"""LangChain's v3 streaming: everything is counted once, whatever the model fires beside its stream events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import SecretStr

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.demo.endpoint import Answer, ToolCall, create_endpoint
from sentry_langchain_stream.demo.serve import serving
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.helpers import Clock, handler_on
from tests.kit.network import PAUSES, TIMING, Network, Pieces
from tests.kit.pairwise import in_pairs
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, content_allowed, needs_v3

pytestmark = [needs_v3, pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")]

USAGE: Any = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
ANSWER = Answer(pieces=("a", "b", "c"), prompt_tokens=11, completion_tokens=7, cached_tokens=4, reasoning_tokens=2)
TOOL_CALL = Answer(tool_calls=(ToolCall("look", '{"at": 1}'),))


class Telling(ScriptedModel):
    """A model that uses its run manager, as ChatOpenAI does: token events come ahead of stream events."""

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        for chunk in super()._stream(messages, stop, run_manager, **kwargs):
            if run_manager is not None:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        async for chunk in super()._astream(messages, stop, run_manager, **kwargs):
            if run_manager is not None:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


class TellingPieces(Telling, Pieces):
    """Such a model that streams given messages. Its token events have no reasoning: it hands on the text."""


class Native(ScriptedModel):
    """A model that makes stream events itself, and need not make token events."""

    tells: bool = False
    script: tuple[dict[str, Any], ...] = ()

    def events(self) -> Iterator[Any]:
        yield from self.script or self.answer()

    def answer(self) -> Iterator[Any]:
        yield {"event": "message-start", "role": "ai", "id": "msg-1"}
        yield {"event": "content-block-start", "index": 0, "content": {"type": "text", "text": ""}}
        for number, piece in enumerate(self.pieces):
            if self.before is not None:
                self.before(number)
            yield {"event": "content-block-delta", "index": 0, "delta": {"type": "text-delta", "text": piece}}
        yield {"event": "content-block-finish", "index": 0, "content": {"type": "text", "text": "".join(self.pieces)}}
        yield {"event": "message-finish", **({"usage": self.usage} if self.usage else {})}

    def _stream_chat_model_events(self, messages: Any, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        for event in self.events():
            if self.tells and "delta" in event:
                run_manager.on_llm_new_token(event["delta"]["text"])
            yield event

    async def _astream_chat_model_events(
        self, messages: Any, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        for event in self.events():
            if self.tells and "delta" in event:
                await run_manager.on_llm_new_token(event["delta"]["text"])
            yield event


MODELS: dict[str, Callable[..., ScriptedModel]] = {
    "chunks converted": ScriptedModel,
    "chunks converted, token events first": Telling,
    "events of its own": Native,
    "events of its own, token events too": lambda **options: Native(tells=True, **options),
}


async def settled(handler: SentryStreamHandler) -> None:
    """Until no run is live: an async v3 run ends some loop turns after its stream."""
    for _ in range(60):
        if handler.live_runs:
            await asyncio.sleep(0)


async def _text(model: Any, config: Any) -> None:
    for _ in model.stream_events("Hi", config=config, version="v3").text:
        pass


async def _events(model: Any, config: Any) -> None:
    for _ in model.stream_events("Hi", config=config, version="v3"):
        pass


async def _atext(model: Any, config: Any) -> None:
    async for _ in (await model.astream_events("Hi", config=config, version="v3")).text:
        pass
    await settled(config["callbacks"][-1])


async def _aevents(model: Any, config: Any) -> None:
    async for _ in await model.astream_events("Hi", config=config, version="v3"):
        pass
    await settled(config["callbacks"][-1])


V3_WAYS = {"text": _text, "events": _events, "atext": _atext, "aevents": _aevents}


def serve(answer: Answer) -> Iterator[ChatOpenAI]:
    """The real model class, asking a server that gives this answer."""
    with serving(create_endpoint(answer)) as url:
        yield ChatOpenAI(
            model="gpt-4o-mini", base_url=f"{url}/v1", api_key=SecretStr("none"), stream_usage=True, max_retries=0
        )


@pytest.fixture(scope="module")
def openai() -> Iterator[ChatOpenAI]:
    """A model that answers with text."""
    yield from serve(ANSWER)


@pytest.fixture(scope="module")
def calling() -> Iterator[ChatOpenAI]:
    """A model that answers with a tool call."""
    yield from serve(TOOL_CALL)


def told(captured: Captured) -> Any:
    """The attributes of the only model span."""
    return captured.find(op="gen_ai.chat").attributes


@pytest.mark.parametrize("way", V3_WAYS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_real_model(openai: ChatOpenAI, shape: str, way: str) -> None:
    """ChatOpenAI's v3 stream states the tokens of the server, its chunks once, its times and its text."""
    clock = Clock()
    handler = handler_on(clock)
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        await V3_WAYS[way](openai, {"callbacks": [Network(clock), handler]})
    # The server counts two tokens of reasoning, which it does not stream.
    timing = TIMING | {"langchain_stream.decode_rate": TIMING["langchain_stream.decode_rate"] * 5 / 7}
    expected = timing | {
        "gen_ai.response.streaming": True,
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.finish_reasons": "stop",
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.total_tokens": 18,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 2,
        "langchain_stream.usage_source": "provider",
        "langchain_stream.outcome": "completed",
    }
    attributes = told(captured)
    assert {key: attributes[key] for key in expected if key not in timing} == {
        key: value for key, value in expected.items() if key not in timing
    }
    assert {key: attributes[key] for key in timing} == pytest.approx(timing)
    assert '"content": "abc"' in attributes["gen_ai.output.messages"]
    assert handler.live_runs == 0


async def test_v3_agrees_with_ordinary_streaming(openai: ChatOpenAI, calling: ChatOpenAI) -> None:
    """One answer has the same numbers, whichever way it is streamed: text and tool calls."""
    for model, sent in ((openai, 6), (calling, 5)):
        seen = []
        for way in (None, *V3_WAYS):
            clock = Clock()
            config: Any = {"callbacks": [Network(clock, PAUSES[:sent]), handler_on(clock)]}
            with capture_spans() as captured:
                if way is None:
                    async for _ in model.astream("Hi", config=config):
                        pass
                else:
                    await V3_WAYS[way](model, config)
            unlike = ("sentry.", "gen_ai.response.id", "thread.")
            seen.append({key: value for key, value in told(captured).items() if not key.startswith(unlike)})
        assert seen == [seen[0]] * len(seen)


@in_pairs(shape=WIRE_SHAPES, model=MODELS, way=V3_WAYS)
async def test_each_chunk_counts_once(shape: str, model: str, way: str) -> None:
    """As many chunks as deltas, the provider's tokens and the text once, whatever kind of events the model fires."""
    clock = Clock()
    handler = handler_on(clock)
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        await V3_WAYS[way](MODELS[model](usage=USAGE, before=clock.passing(0.5)), {"callbacks": [handler]})
    attributes = told(captured)
    assert attributes["langchain_stream.chunks"] == 3
    assert attributes["gen_ai.response.time_to_first_chunk"] == 0.5
    assert attributes["langchain_stream.longest_gap"] == 0.5
    assert attributes["gen_ai.usage.output_tokens"] == 7
    assert attributes["langchain_stream.usage_source"] == "provider"
    assert attributes["gen_ai.output.messages"].count("one two three") == 1


@pytest.mark.parametrize("way", V3_WAYS)
@pytest.mark.parametrize("model", MODELS)
async def test_without_usage_the_deltas_are_the_estimate(model: str, way: str) -> None:
    """A v3 stream without usage counts its deltas once, labelled as an estimate."""
    with capture_spans() as captured:
        await V3_WAYS[way](MODELS[model](), {"callbacks": [SentryStreamHandler()]})
    attributes = told(captured)
    assert (attributes["gen_ai.usage.output_tokens"], attributes["langchain_stream.usage_source"]) == (3, "estimate")


@pytest.mark.parametrize("way", V3_WAYS)
@pytest.mark.parametrize("model", MODELS)
async def test_a_token_counter_sees_each_delta_once(model: str, way: str) -> None:
    """A `token_counter` is given every piece of text once, and then the prompt."""
    seen: list[str] = []
    handler = SentryStreamHandler(token_counter=lambda text: seen.append(text) or 5)  # type: ignore[func-returns-value]
    with capture_spans() as captured:
        await V3_WAYS[way](MODELS[model](), {"callbacks": [handler]})
    assert told(captured)["gen_ai.usage.output_tokens"] == 15
    # The first piece is seen by a token event too, and forgotten, where those come first.
    assert seen[-4:] == ["one ", "two ", "three", "Hi"]


@pytest.mark.parametrize("way", V3_WAYS)
@pytest.mark.parametrize("kind", [Pieces, TellingPieces])
async def test_reasoning_is_content(kind: type[Pieces], way: str) -> None:
    """The first chunk may be one of reasoning; it counts, and is no part of the text."""
    clock = Clock()
    model = kind(
        pieces=("",) * 3,
        chunks=(
            AIMessageChunk(content=""),
            AIMessageChunk(content=[{"type": "reasoning", "reasoning": "Well", "index": 0}]),
            AIMessageChunk(content=[{"type": "text", "text": "Yes", "index": 1}]),
        ),
        before=clock.passing(1.0),
    )
    with capture_spans() as captured:
        await V3_WAYS[way](model, {"callbacks": [handler_on(clock)]})
    attributes = told(captured)
    assert attributes["gen_ai.response.time_to_first_chunk"] == 2.0
    assert attributes["langchain_stream.chunks"] == 2


@pytest.mark.parametrize("way", V3_WAYS)
async def test_a_tool_call_is_content(calling: ChatOpenAI, way: str) -> None:
    """The first chunk may be one of a tool call: its name is one chunk, its arguments another."""
    clock = Clock()
    with capture_spans() as captured:
        await V3_WAYS[way](calling, {"callbacks": [Network(clock), handler_on(clock)]})
    attributes = told(captured)
    assert attributes["gen_ai.response.time_to_first_chunk"] == pytest.approx(sum(PAUSES[:2]))
    assert attributes["langchain_stream.chunks"] == 2
    assert attributes["gen_ai.response.finish_reasons"] == "tool_calls"


@in_pairs(shape=WIRE_SHAPES, allowed=(True, False), way=V3_WAYS)
async def test_a_connection_that_breaks(shape: str, allowed: bool, way: str) -> None:
    """What had arrived is estimated, and its text recorded only if that is allowed."""
    handler = SentryStreamHandler(capture_errors=False)
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(allowed)) as captured:
        for model in serve(Answer(pieces=("red ", "green ", "blue"), cut_after=3)):
            with pytest.raises(Exception, match="onnection"):
                await V3_WAYS[way](model, {"callbacks": [handler]})
        await settled(handler)
    attributes = told(captured)
    assert attributes["langchain_stream.outcome"] == "failed"
    assert (attributes["gen_ai.usage.output_tokens"], attributes["langchain_stream.usage_source"]) == (2, "estimate")
    assert ('"content": "red green "' in attributes.get("gen_ai.output.messages", "")) is allowed
    assert (b"green" in b"".join(captured.envelopes)) is allowed


@pytest.mark.parametrize("model", MODELS)
async def test_a_sync_reader_who_leaves(model: str) -> None:
    """A v3 stream that its reader left inside a chain is abandoned when the chain ends, with what had arrived."""

    def answer(question: str) -> str:
        for text in MODELS[model](usage=USAGE).stream_events(question, version="v3").text:
            return str(text)
        return ""

    handler = SentryStreamHandler()
    with capture_spans(**content_allowed(True)) as captured:
        RunnableLambda(answer).invoke("Hi", config={"callbacks": [handler]})
    attributes = told(captured)
    assert attributes["langchain_stream.outcome"] == "abandoned"
    assert (attributes["gen_ai.usage.output_tokens"], attributes["langchain_stream.usage_source"]) == (1, "estimate")
    assert '"content": "one "' in attributes["gen_ai.output.messages"]
    assert handler.live_runs == 0


@pytest.mark.parametrize("how", ["aclose", "cancel"])
async def test_an_async_reader_who_leaves(how: str) -> None:
    """A v3 stream that is closed, or whose model is cancelled, is cancelled, with what had arrived."""
    handler = SentryStreamHandler()

    def hold(number: int) -> Any:
        return asyncio.Event().wait() if number == 2 else None

    with capture_spans(**content_allowed(True)) as captured:
        model = ScriptedModel(usage=USAGE, before=hold)
        stream: Any = await model.astream_events("Hi", config={"callbacks": [handler]}, version="v3")
        texts = aiter(stream.text)
        assert [await anext(texts), await anext(texts)] == ["one ", "two "]
        if how == "aclose":
            await stream.aclose()
        else:
            stream._producer_task.cancel()
        await settled(handler)
    attributes = told(captured)
    assert attributes["langchain_stream.outcome"] == "cancelled"
    assert (attributes["gen_ai.usage.output_tokens"], attributes["langchain_stream.usage_source"]) == (2, "estimate")
    assert '"content": "one two "' in attributes["gen_ai.output.messages"]
    assert captured.events == []


@pytest.mark.parametrize("way", V3_WAYS)
async def test_an_error_event_ends_the_run(way: str) -> None:
    """A model that says by an event that it failed has failed, though LangChain signals no end."""
    handler = SentryStreamHandler()
    script = ({"event": "message-start", "role": "ai", "id": "1"}, {"event": "error", "message": "overloaded"})
    with capture_spans() as captured, pytest.raises(RuntimeError, match="overloaded"):
        await V3_WAYS[way](Native(script=script), {"callbacks": [handler]})
    await settled(handler)
    assert told(captured)["langchain_stream.outcome"] == "failed"
    assert handler.live_runs == 0


@pytest.mark.parametrize("way", V3_WAYS)
@pytest.mark.parametrize("model", MODELS)
async def test_the_handler_twice_in_one_list_counts_once(model: str, way: str) -> None:
    """With the same handler repeated in the callback list, each delta counts once."""
    handler = SentryStreamHandler()
    with capture_spans() as captured:
        await V3_WAYS[way](MODELS[model](), {"callbacks": [handler, handler]})
    assert told(captured)["langchain_stream.chunks"] == 3


@pytest.mark.parametrize("model", MODELS)
def test_a_graph_that_streams_v3(model: str) -> None:
    """A model that is merely invoked in a node of a graph is streamed by events, and measured by them."""

    def node(state: MessagesState) -> Any:
        return {"messages": [MODELS[model](usage=USAGE).invoke(state["messages"])]}

    graph: Any = StateGraph(MessagesState)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    handler = SentryStreamHandler()
    with capture_spans() as captured:
        for _ in graph.compile().stream_events(
            {"messages": [("user", "Hi")]}, config={"callbacks": [handler]}, version="v3"
        ):
            pass
    attributes = told(captured)
    assert (attributes["langchain_stream.chunks"], attributes["gen_ai.usage.output_tokens"]) == (3, 7)


class Repeating(Telling):
    """A model whose server reports in every chunk what was used since the start."""

    def _chunk(self, number: int) -> ChatGenerationChunk:
        so_far: Any = {"input_tokens": 11, "output_tokens": number + 1, "total_tokens": 12 + number}
        text = self.pieces[number] if number < len(self.pieces) else ""
        return ChatGenerationChunk(message=AIMessageChunk(content=text, usage_metadata=so_far))


@pytest.mark.parametrize("way", V3_WAYS)
async def test_reports_that_repeat_are_not_added_up(way: str) -> None:
    """Of reports that each count from the start the last is right, not the sum that LangChain makes of them."""
    with capture_spans() as captured:
        await V3_WAYS[way](Repeating(), {"callbacks": [SentryStreamHandler()]})
    attributes = told(captured)
    assert (attributes["gen_ai.usage.input_tokens"], attributes["gen_ai.usage.output_tokens"]) == (11, 4)


class Counting(Telling):
    """A model whose server reports with each chunk what came since the last one, the details of the prompt first."""

    def _chunk(self, number: int) -> ChatGenerationChunk:
        read = 0 if number else 11
        used: Any = {
            "input_tokens": read,
            "output_tokens": 2,
            "total_tokens": read + 2,
            "input_token_details": {"cache_read": 9 if read else 0},
            "output_token_details": {"reasoning": 1 if read else 0},
        }
        text = self.pieces[number] if number < len(self.pieces) else ""
        return ChatGenerationChunk(message=AIMessageChunk(content=text, usage_metadata=used))


@pytest.mark.parametrize("way", V3_WAYS)
async def test_the_details_of_all_chunks_are_kept(way: str) -> None:
    """LangChain adds up the tokens of the chunks, but has the details of the last one only."""
    with capture_spans() as captured:
        await V3_WAYS[way](Counting(), {"callbacks": [SentryStreamHandler()]})
    attributes = told(captured)
    assert (attributes["gen_ai.usage.input_tokens"], attributes["gen_ai.usage.output_tokens"]) == (11, 8)
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 9
    assert attributes["gen_ai.usage.reasoning.output_tokens"] == 1


def test_a_replay_from_langchains_cache_is_no_stream() -> None:
    """What the cache answers under a v3 graph is replayed as events; it used no tokens and was not streamed."""
    model = ScriptedModel(usage=USAGE, cache=InMemoryCache())
    graph: Any = StateGraph(MessagesState)
    graph.add_node("node", lambda state: {"messages": [model.invoke("Hi")]})
    graph.add_edge(START, "node")
    handler = SentryStreamHandler()
    model.invoke("Hi")
    with capture_spans() as captured:
        for _ in graph.compile().stream_events({"messages": []}, config={"callbacks": [handler]}, version="v3"):
            pass
    attributes = told(captured)
    assert attributes["cache.hit"] is True
    assert attributes["gen_ai.response.streaming"] is False
    assert not {key for key in attributes if "tokens" in key or "chunk" in key}


async def test_stream_events_of_an_unknown_run_are_ignored() -> None:
    """An event for a run that never started, or has ended, does nothing."""
    with capture_spans() as captured:
        await SentryStreamHandler().on_stream_event({"event": "message-start"}, run_id=uuid4())
    assert captured.items == []
