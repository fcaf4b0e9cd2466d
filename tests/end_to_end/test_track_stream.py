"""`track_stream`: a model span around any stream of an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import sentry_sdk
from langgraph.graph import START, MessagesState, StateGraph

from sentry_langchain_stream import SentryStreamHandler, SentryStreamIntegration, track_stream, watch_runs
from sentry_langchain_stream.testing import Captured, CapturedSpan, capture_spans
from sentry_langchain_stream.tracking import AsyncTrackedStream, TrackedStream
from tests.kit.absent import needs
from tests.kit.async_context import needs_async_context
from tests.kit.helpers import Clock, collect
from tests.kit.wire import WIRE_SHAPES, active_span, child_span, content_allowed

ITEMS = ("one ", "two ", "three")


def texts(before: Callable[[int], None] = lambda _: None) -> Iterator[str]:
    for number, item in enumerate(ITEMS):
        before(number)
        yield item


async def atexts(before: Callable[[int], None] = lambda _: None) -> AsyncIterator[str]:
    for item in texts(before):
        await asyncio.sleep(0)
        yield item


async def consume(stream: Any, each: Callable[[Any], None] = lambda _: None) -> list[Any]:
    """Everything in a sync or async stream."""
    found = []
    if isinstance(stream, AsyncTrackedStream):
        async for item in stream:
            each(item)
            found.append(item)
    else:
        for item in stream:
            each(item)
            found.append(item)
    return found


@pytest.fixture(params=[texts, atexts], ids=["sync", "async"])
def source(request: pytest.FixtureRequest) -> Any:
    """A function that makes a stream, sync and async."""
    return request.param


def model_span(captured: Any) -> CapturedSpan:
    """The one model span."""
    span: CapturedSpan = captured.find(op="gen_ai.chat")
    return span


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_stream_has_a_model_span_below_a_pipeline(source: Any, shape: str) -> None:
    """The items come out as they are, and the span tells of the model, the pipeline and the tokens."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        stream = track_stream(source(), model="gpt-4o-mini", pipeline_name="support-bot")
        assert await consume(stream) == list(ITEMS)
    assert captured.tree() == "function  support-bot\n  gen_ai.chat  chat gpt-4o-mini"
    told = model_span(captured).attributes
    assert told["ai.model_id"] == told["gen_ai.request.model"] == "gpt-4o-mini"
    assert "gen_ai.response.model" not in told
    assert "gen_ai.provider.name" not in told  # OpenAI's, Azure's: the name of the model does not say
    assert told["pipeline_name"] == "support-bot"
    assert told["ai.total_tokens"] == told["gen_ai.usage.output_tokens"] == told["langchain_stream.chunks"] == 3
    assert told["langchain_stream.usage_source"] == "estimate"
    assert told["langchain_stream.outcome"] == "completed"
    assert told["gen_ai.response.streaming"] is True


@pytest.mark.parametrize("include_prompts", [True, False])
async def test_what_text_returns_is_weighed_like_a_text(include_prompts: bool) -> None:
    """Of items of the application's own, the tokens are estimated by what `text` returns, recorded or not."""
    pieces = ["A provider that sends whole sentences bundles many tokens in a chunk.", "", "So is this one."]
    items = [{"piece": piece} for piece in pieces]
    with capture_spans(**content_allowed(True)) as captured:
        list(track_stream(iter(pieces), model="m", include_prompts=include_prompts))
        list(track_stream(iter(items), model="m", text=lambda item: item["piece"], include_prompts=include_prompts))
    of_texts, of_items = [span.attributes["gen_ai.usage.output_tokens"] for span in captured.find_all(op="gen_ai.chat")]
    assert of_items == of_texts > 15


@pytest.mark.usefixtures("lenient")
def test_an_item_whose_text_cannot_be_told_has_arrived() -> None:
    """If `text` fails, the item still counts as a chunk, and the stream goes on."""

    def text(item: Any) -> str:
        raise KeyError(item)

    with capture_spans() as captured:
        assert list(track_stream(iter([{}, {}]), model="m", text=text)) == [{}, {}]
    assert model_span(captured).attributes["langchain_stream.chunks"] == 2


def broken_off(first: str) -> Iterator[str]:
    """A stream that fails after its first item."""
    yield first
    raise ValueError("overloaded")


@pytest.mark.parametrize("rate", [0.0, None, 1.0], ids=["not sampled", "no tracing", "sampled"])
async def test_a_run_ends_sampled_or_not(source: Any, rate: float | None) -> None:
    """However a stream ends no run of it is left, and its outcome is known, also if nothing of it is sent."""
    with capture_spans(traces_sample_rate=rate) as captured:
        whole, failing, left, dropped = (
            track_stream(each, model="m") for each in (source(), broken_off("one"), *2 * [iter("ab")])
        )
        await consume(whole)
        with pytest.raises(ValueError, match="overloaded"):
            list(failing)
        with left:
            next(left)
        next(dropped)
        assert dropped.run_info is not None
        del dropped
        collect()
        assert captured.open_runs == []
    outcomes = [each.run_info.outcome for each in (whole, failing, left) if each.run_info is not None]
    assert outcomes == ["completed", "failed", "abandoned"]


def in_a_graph(settings: dict[str, Any], source: Any, shape: str, **given: Any) -> Captured:
    """A tracked stream in a plain function that is a graph's node, as a route calls the graph."""
    messages = [{"role": "user", "content": "canary-in"}]

    def node(_: Any) -> dict[str, Any]:
        list(track_stream(iter(["canary-out"]), model="m", messages=messages, **given))
        return {}

    async def anode(_: Any) -> dict[str, Any]:
        await consume(track_stream(source(), model="m", messages=messages, **given))
        return {}

    is_sync = source is texts
    plain: Any = node if is_sync else anode
    graph = StateGraph(MessagesState).add_node("node", plain).add_edge(START, "node")
    config: Any = {"callbacks": [SentryStreamHandler("bot", user_key="user_id", metadata_keys=["tenant"], **settings)]}
    config["metadata"] = {"conversation_id": "c1", "user_id": "u1", "tenant": "acme"}
    app = graph.compile(name="shop")
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        app.invoke({"messages": []}, config) if is_sync else asyncio.run(app.ainvoke({"messages": []}, config))
    return captured


@needs_async_context(lambda source: source is atexts)
@pytest.mark.parametrize("settings", [{"redact": lambda text: "[hidden]"}, {"include_prompts": False}], ids=list)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_inside_a_run_the_vetoes_of_its_handler_hold(source: Any, shape: str, settings: dict[str, Any]) -> None:
    """A stream in a node is recorded with no more content than the node is, whatever its own arguments say."""
    captured = in_a_graph(settings, source, shape)
    assert model_span(captured)
    assert b"canary" not in b"".join(captured.envelopes)
    assert b"one " not in b"".join(captured.envelopes)


@needs_async_context(lambda source: source is atexts)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_inside_a_run_it_belongs_to_that_run(source: Any, shape: str) -> None:
    """Its span has the pipeline, the agent, the conversation, the user and the metadata of the run around it."""
    told = model_span(in_a_graph({}, source, shape)).attributes
    assert (told["gen_ai.pipeline.name"], told["gen_ai.agent.name"]) == ("bot", "shop")
    assert (told["gen_ai.conversation.id"], told["user.id"]) == ("c1", "u1")
    assert told["langchain_stream.metadata.tenant"] == "acme"
    own = model_span(in_a_graph({}, source, shape, pipeline_name="mine", conversation_id="c2")).attributes
    assert (own["gen_ai.pipeline.name"], own["gen_ai.conversation.id"]) == ("mine", "c2")


@needs("genai_prices")
@pytest.mark.parametrize("rate", [0.0, 1.0], ids=["not sampled", "sampled"])
@pytest.mark.parametrize("asked", [True, False])
async def test_metrics_and_cost_are_those_of_the_integration(source: Any, rate: float, asked: bool) -> None:
    """What the client's integration is asked to record of every model call, it records of a tracked stream, too."""
    ours = SentryStreamIntegration(providers=False, metrics=asked, cost=asked)
    with capture_spans(traces_sample_rate=rate, integrations=[ours]) as captured, watch_runs() as runs:
        stream = track_stream(source(), model="gpt-4o-mini", provider="openai")
        await consume(stream, lambda _: stream.set_usage(input_tokens=20, output_tokens=10))
    assert (runs.cost is not None) is asked
    metrics = [each["name"] for kind, payload in captured.items if kind == "trace_metric" for each in payload["items"]]
    assert ("gen_ai.client.inference.usage.output_tokens" in metrics) is asked


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_what_the_source_does_is_inside_and_what_the_consumer_does_is_not(source: Any, shape: str) -> None:
    """The source's spans hang below the model's, the consumer's beside it, and afterwards all is as before."""

    def work(name: str) -> Callable[[Any], None]:
        def do(_: Any) -> None:
            with child_span(shape, name):
                pass

        return do

    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape) as handle:
        await consume(track_stream(source(work("source")), model="m"), work("consumer"))
        work("after")(None)
    span = model_span(captured)
    assert span.parent_id == handle
    assert {each.parent_id for each in captured.find_all(name="source")} == {span.span_id}
    assert {each.parent_id for each in captured.find_all(name="consumer")} == {handle}
    assert captured.find(name="after").parent_id == handle
    assert (len(captured.find_all(name="source")), len(captured.find_all(name="consumer"))) == (3, 3)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_span_that_the_source_keeps_open_stays_the_sources(shape: str) -> None:
    """A source that yields inside of a span finds it active again, and the consumer never does."""

    async def source() -> AsyncIterator[str]:
        with child_span(shape, "open"):
            for item in ITEMS:
                with child_span(shape, "source"):
                    yield item

    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape) as handle:
        async for _ in track_stream(source(), model="m"):
            with child_span(shape, "consumer"):
                pass
    assert {each.parent_id for each in captured.find_all(name="source")} == {captured.find(name="open").span_id}
    assert {each.parent_id for each in captured.find_all(name="consumer")} == {handle}


async def test_two_streams_at_once_do_not_nest(source: Any) -> None:
    """Streams that are pulled in turn hang side by side."""
    with capture_spans() as captured, active_span("transaction") as handle:
        streams = [track_stream(source(), model=f"m{number}") for number in range(2)]
        for _ in ITEMS:
            for stream in streams:
                await anext(stream) if isinstance(stream, AsyncTrackedStream) else next(stream)
        for stream in streams:
            assert await consume(stream) == []
    assert [span.parent_id for span in captured.find_all(op="gen_ai.chat")] == [handle, handle]


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_source_that_fails_marks_the_span_and_is_no_issue(source: Any, shape: str) -> None:
    """The exception comes out as it is; to report it is the application's."""
    failure = ValueError("no")

    def fail(number: int) -> None:
        if number == 2:
            raise failure

    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        stream = track_stream(source(fail), model="m")
        with pytest.raises(ValueError, match="no") as raised:
            await consume(stream)
    assert raised.value is failure
    span = model_span(captured)
    assert span.attributes["langchain_stream.outcome"] == "failed"
    assert span.attributes["error.type"] == "ValueError"
    assert span.attributes["gen_ai.usage.output_tokens"] == 2
    assert span.status in ("error", "internal_error")
    assert captured.events == []


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize("leave", ["break", "close"])
async def test_a_consumer_who_leaves(source: Any, leave: str, shape: str) -> None:
    """Left by `break`, or closed, a stream is abandoned with what had arrived, and its source is closed."""
    closed = []

    def note(number: int) -> None:
        if number == 0:
            closed.append(False)

    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        stream = track_stream(source(note), model="m")
        if isinstance(stream, AsyncTrackedStream):
            assert await anext(stream) == "one "
            if leave == "close":
                await stream.aclose()
                with pytest.raises(StopAsyncIteration):
                    await anext(stream)
        else:
            assert next(stream) == "one "
            if leave == "close":
                stream.close()
                with pytest.raises(StopIteration):
                    next(stream)
        del stream
        collect()
    told = model_span(captured).attributes
    assert (told["langchain_stream.outcome"], told["langchain_stream.chunks"]) == ("abandoned", 1)
    assert captured.events == []


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize("between", [False, True], ids=["in the source", "in the consumer"])
async def test_a_cancelled_task(shape: str, between: bool) -> None:
    """A stream whose task is cancelled, wherever it is at the time, is cancelled with what had arrived."""
    waiting = asyncio.Event()

    async def source() -> AsyncIterator[str]:
        yield "one "
        if not between:
            waiting.set()
            await asyncio.Event().wait()
        yield "two "

    async def read() -> None:
        async for _ in stream:
            if between:
                waiting.set()
                await asyncio.Event().wait()

    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        stream = track_stream(source(), model="m")
        task = asyncio.create_task(read())
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    told = model_span(captured).attributes
    assert (told["langchain_stream.outcome"], told["langchain_stream.chunks"]) == ("cancelled", 1)


async def test_the_provider_knows_better(source: Any) -> None:
    """What `set_usage` states is the provider's word, whatever had been counted."""
    with capture_spans() as captured:
        stream = track_stream(source(), model="m", token_counter=len)
        await consume(stream, lambda _: stream.set_usage(input_tokens=20, output_tokens=1))
    told = model_span(captured).attributes
    assert [told[f"gen_ai.usage.{each}_tokens"] for each in ("input", "output", "total")] == [20, 1, 21]
    assert told["langchain_stream.usage_source"] == "provider"


@pytest.mark.parametrize(
    "given", [{"input_tokens": 7}, {"output_tokens": 7}, {"input_tokens": 7, "output_tokens": 0}], ids=str
)
async def test_what_the_provider_left_out_is_a_guess(source: Any, given: dict[str, int]) -> None:
    """If `set_usage` gets one of the numbers, or 0 for an answer, the other is estimated: the usage is an estimate."""
    with capture_spans() as captured:
        stream = track_stream(source(), model="m", prompt="Hi there")
        await consume(stream, lambda _: stream.set_usage(**given))
    told = model_span(captured).attributes
    expected = {"input_tokens": 2, **given, "output_tokens": given.get("output_tokens") or len(ITEMS)}
    assert {name: told[f"gen_ai.usage.{name}"] for name in expected} == expected
    assert told["langchain_stream.usage_source"] == "estimate"


@pytest.mark.parametrize("provider", [None, "openai", "anthropic"])
async def test_the_provider_is_recorded_if_it_was_given(source: Any, provider: str | None) -> None:
    """Nobody's name is recorded by default, because several providers offer models of the same names."""
    with capture_spans() as captured:
        await consume(track_stream(source(), model="gpt-4o-mini", provider=provider))
    assert model_span(captured).attributes.get("gen_ai.provider.name") == provider


async def test_a_counter_counts_the_texts_of_the_items() -> None:
    """`text` tells what an item says, and `token_counter` how much that is; the prompt is counted likewise."""
    with capture_spans() as captured:
        stream = track_stream(
            ({"text": item} for item in ITEMS),
            model="m",
            text=lambda item: item["text"],
            token_counter=len,
            prompt="Hi there",
        )
        await consume(stream)
    told = model_span(captured).attributes
    assert told["gen_ai.usage.input_tokens"] == len("Hi there")
    assert told["gen_ai.usage.output_tokens"] == len("".join(ITEMS))


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("options", [{}, {"include_prompts": False}, {"redact": lambda text: text.upper()}])
async def test_prompt_and_answer_are_recorded_only_if_allowed(
    source: Any, allowed: bool, options: dict[str, Any]
) -> None:
    """The client's leave, the veto and `redact` hold as for a handler's runs; without leave no item is read."""
    read = []

    def text(item: str) -> str:
        read.append(item)
        return item

    with capture_spans(**content_allowed(allowed)) as captured:
        await consume(track_stream(source(), model="m", prompt="Hi", text=text, **options))
    told = model_span(captured).attributes
    recorded = allowed and "include_prompts" not in options
    answer = "ONE TWO THREE" if "redact" in options else "one two three"
    assert (answer in told.get("gen_ai.output.messages", "")) == recorded
    assert ("gen_ai.input.messages" in told) == recorded
    assert bool(read) == recorded


async def test_time_is_measured_from_the_first_pull(source: Any) -> None:
    """The span starts when the stream is pulled first, not when it is made; gaps count from item to item."""
    clock = Clock()
    with capture_spans() as captured, pytest.MonkeyPatch.context() as patch:
        for kind in (TrackedStream, AsyncTrackedStream):
            patch.setattr(kind, "clock", staticmethod(clock))
        stream = track_stream(source(lambda number: clock.advance((2.0, 1.0, 4.0)[number]) and None), model="m")
        clock.advance(100.0)
        await consume(stream)
    told = model_span(captured).attributes
    assert told["gen_ai.response.time_to_first_chunk"] == 2.0
    assert (told["langchain_stream.longest_gap"], told["langchain_stream.longest_gap_at"]) == (4.0, 3.0)


async def test_dialect_ai(source: Any) -> None:
    """In dialect `ai` the op is the platform's, and the names are the pipeline's, which is the generator's."""
    with capture_spans() as captured:
        await consume(track_stream(source(), model="m", provider="cohere", dialect="ai"))
    name = source.__name__
    assert captured.tree() == f"ai.pipeline.langchain  {name}\n  ai.chat_completions.create.cohere  {name}"


async def test_a_stream_inside_a_tool_hangs_below_it() -> None:
    """Used inside of a run that a handler follows, the stream is a part of that run."""
    from langchain_core.tools import tool

    from sentry_langchain_stream import SentryStreamHandler

    @tool
    async def ask(question: str) -> str:
        """Ask."""
        return "".join([item async for item in track_stream(atexts(), model="m")])

    with capture_spans() as captured:
        await ask.ainvoke({"question": "Hi"}, config={"callbacks": [SentryStreamHandler("support-bot")]})
    tree = "function  support-bot\n  gen_ai.execute_tool  execute_tool ask\n    gen_ai.chat  chat m"
    assert captured.tree() == tree


async def test_without_a_client_the_items_come_out(source: Any) -> None:
    """Without a Sentry client nothing happens but the stream."""
    assert not sentry_sdk.get_client().is_active()
    assert await consume(track_stream(source(), model="m")) == list(ITEMS)


@pytest.mark.usefixtures("lenient")
async def test_what_fails_of_ours_does_not_touch_the_stream(source: Any) -> None:
    """A `text` or a counter that raises costs its own fact only."""

    def broken(_: object) -> Any:
        raise LookupError("ours")

    with capture_spans(**content_allowed(True)) as captured:
        stream = track_stream(source(), model="m", text=broken, token_counter=broken, prompt="Hi")
        assert await consume(stream) == list(ITEMS)
    assert model_span(captured).attributes["langchain_stream.outcome"] == "completed"


@pytest.mark.parametrize(
    ("arguments", "error", "names"),
    [
        ({"model": ""}, ValueError, "model"),
        ({"model": None}, TypeError, "model"),
        ({"provider": ""}, ValueError, "provider"),
        ({"provider": 1}, TypeError, "provider"),
        ({"text": "x"}, TypeError, "text"),
        ({"prompt": 1}, TypeError, "prompt"),
        ({"dialect": "x"}, ValueError, "dialect"),
        ({"stream": 1}, TypeError, "stream"),
        ({"stream": None}, TypeError, "stream"),
        ({"stream": "abc"}, TypeError, "stream"),
        ({"stream": {"choices": []}}, TypeError, "stream"),
        ({"messages": len}, TypeError, "messages"),
        ({"system": len}, TypeError, "system"),
        ({"tools": len}, TypeError, "tools"),
        ({"parameters": len}, TypeError, "parameters"),
        ({"parameters": ["temperature"]}, TypeError, "parameters"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], error: type[Exception], names: str) -> None:
    """What is wrong is said at once, by the argument's name."""
    arguments = {"stream": [], "model": "m", **arguments}
    with pytest.raises(error, match=f"^{names} must"):
        track_stream(arguments.pop("stream"), **arguments)


@pytest.mark.parametrize(("tokens", "error"), [(-1, ValueError), ("1", TypeError), (True, TypeError)])
def test_bad_usage_is_named(tokens: Any, error: type[Exception]) -> None:
    """So it is for what the provider is said to have counted."""
    with pytest.raises(error, match=r"^output_tokens must"):
        track_stream([], model="m").set_usage(output_tokens=tokens)
