"""One answer of a real `ChatOpenAI` over real HTTP becomes one correct span, whatever the way and the wire shape."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.demo.endpoint import Answer, create_endpoint
from sentry_langchain_stream.demo.serve import serving
from sentry_langchain_stream.testing import Captured, CapturedSpan, capture_spans
from tests.kit.fresh import Fresh
from tests.kit.wire import (
    SLACK,
    WAYS,
    WIRE_SHAPES,
    Way,
    active_span,
    child_span,
    content_allowed,
    current_span_id,
    fake_model,
)

ANSWER = Answer(text="Sentry shows what your model did.", prompt_tokens=11, completion_tokens=7, cached_tokens=4)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A server that speaks OpenAI's wire format."""
    with serving(create_endpoint(ANSWER)) as url:
        yield url


def chat(url: str, **options: Any) -> ChatOpenAI:
    """The real model class, pointed at a server."""
    return ChatOpenAI(
        model="gpt-4o-mini",
        base_url=f"{url}/v1",
        api_key=SecretStr("none"),
        max_retries=0,
        **{"stream_usage": True, **options},
    )


def model_span(captured: Captured) -> CapturedSpan:
    """The only model span."""
    return captured.find(op="gen_ai.chat")


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_call_becomes_one_span_with_the_providers_numbers(endpoint: str, way: Way, shape: str) -> None:
    """However the model is called, the one span has the model, the pipeline and the tokens that the server sent."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(
            chat(endpoint), "What does Sentry show?", {"callbacks": [SentryStreamHandler(pipeline_name="support-bot")]}
        )
    span = model_span(captured)
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "ai.model_id": "gpt-4o-mini",
        "pipeline_name": "support-bot",
        "gen_ai.pipeline.name": "support-bot",
        "ai.pipeline.name": "support-bot",
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.total_tokens": 18,
        "ai.total_tokens": 18,
        "ai.total_tokens.used": 18,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.response.streaming": way.streams,
        "gen_ai.response.finish_reasons": "stop",
        "langchain_stream.usage_source": "provider",
        "langchain_stream.outcome": "completed",
    }
    assert {key: span.attributes.get(key) for key in expected} == expected
    assert (span.name, span.status, span.origin) == ("chat gpt-4o-mini", "ok", "auto.ai.langchain_stream")
    assert span.shape == ("transaction" if shape == "transaction" else "span")


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_the_ai_dialect_names_op_and_span_as_in_2024(endpoint: str, way: Way, shape: str) -> None:
    """In dialect `ai` op and name are those of the old LLM Monitoring, whose join is by the pipeline's name."""
    handler = SentryStreamHandler(pipeline_name="support-bot", dialect="ai")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(chat(endpoint), "What does Sentry show?", {"callbacks": [handler]})
    pipeline = captured.find(op="ai.pipeline.langchain")
    span = captured.find(op="ai.chat_completions.create.openai")
    assert pipeline.name == span.name == span.attributes["pipeline_name"] == "support-bot"
    assert span.parent_id == pipeline.span_id
    assert pipeline.attributes["gen_ai.operation.name"] == "invoke_agent"
    assert span.attributes["gen_ai.operation.name"] == "chat"
    numbers = ("ai.prompt_tokens.used", "ai.completion_tokens.used", "ai.total_tokens.used", "ai.total_tokens")
    assert [span.attributes[key] for key in numbers] == [11, 7, 18, 18]
    assert span.attributes["ai.streaming"] is way.streams


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_bare_call_opens_its_own_root_in_a_trace_of_its_own(endpoint: str, way: Way, shape: str) -> None:
    """With no active span, the pipeline is the root of a new trace, and the model is below it."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        trace_id = str(sentry_sdk.get_traceparent()).split("-")[0]
        await way.run(chat(endpoint), "Hi", {"callbacks": [SentryStreamHandler(pipeline_name="support-bot")]})
    root, span = captured.find(op="function"), model_span(captured)
    assert (root.name, root.is_root, root.parent_id) == ("support-bot", True, None)
    assert (span.parent_id, span.trace_id, span.is_root) == (root.span_id, root.trace_id, False)
    assert root.trace_id != trace_id
    assert root.start <= span.start + SLACK
    assert span.start <= span.end <= root.end + SLACK


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_an_incoming_trace_is_continued(endpoint: str, shape: str) -> None:
    """A root run in a worker belongs to the trace of the process that sent the work, at any sample rate."""
    incoming = {"sentry-trace": "771a43a4192642f0b136d5159a501700-1234567890abcdef-1", "baggage": ""}
    with capture_spans(**WIRE_SHAPES[shape], traces_sample_rate=0.5) as captured:
        if shape == "stream":
            sentry_sdk.traces.continue_trace(incoming)
        else:
            sentry_sdk.continue_trace(incoming)
        await chat(endpoint).ainvoke("Hi", config={"callbacks": [SentryStreamHandler()]})
    root = captured.find(op="function")
    assert (root.trace_id, root.parent_id) == ("771a43a4192642f0b136d5159a501700", "1234567890abcdef")


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_partly_sampled_loop_is_sampled_run_by_run(shape: str) -> None:
    """In a script that samples a part, every run rolls its own dice instead of all sharing the process's trace."""
    model = fake_model()
    with capture_spans(**WIRE_SHAPES[shape], traces_sample_rate=0.5) as captured:
        handler = SentryStreamHandler()
        for _ in range(100):
            model.invoke("Hi", config={"callbacks": [handler]})
    roots = [span for span in captured.spans if span.is_root]
    assert 10 < len(roots) < 90
    assert len({root.trace_id for root in roots}) == len(roots)


def test_a_loop_of_many_roots_loses_no_span() -> None:
    """More spans than the SDK queues for one trace all arrive, because each root has its own trace."""
    model = fake_model()
    with capture_spans(trace_lifecycle="stream") as captured:
        handler = SentryStreamHandler()
        for _ in range(2_500):
            model.invoke("Hi", config={"callbacks": [handler]})
    assert len(captured.find_all(op="gen_ai.chat")) == len(captured.find_all(op="function")) == 2_500


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_run_hangs_below_the_active_span(endpoint: str, shape: str) -> None:
    """With a span active, a bare model call is one span, directly below it."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape) as active_id:
        await chat(endpoint).ainvoke("Hi", config={"callbacks": [SentryStreamHandler()]})
    assert model_span(captured).parent_id == active_id
    assert captured.find_all(op="function") == []


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_chain_is_a_pipeline_span_named_after_the_run(endpoint: str, shape: str) -> None:
    """The root chain is the pipeline span; prompts, parsers and inner sequences make no spans."""
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate

    chain = ChatPromptTemplate.from_template("{q}") | (chat(endpoint) | StrOutputParser())
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        config: Any = {"callbacks": [SentryStreamHandler()], "run_name": "answer"}
        assert "".join([part async for part in chain.astream({"q": "Hi"}, config=config)]) == ANSWER.text
    ours = [span for span in captured.spans if span.origin == "auto.ai.langchain_stream"]
    assert [(span.op, span.name) for span in ours] == [("function", "answer"), ("gen_ai.chat", "chat gpt-4o-mini")]
    assert {span.attributes["pipeline_name"] for span in ours} == {"answer"}


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_without_usage_the_chunks_are_the_estimate(endpoint: str, shape: str) -> None:
    """A provider that reports no usage leaves an estimate, labelled as one: at least a token for each content chunk."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        config: Any = {"callbacks": [SentryStreamHandler()]}
        chunks = [c async for c in chat(endpoint, stream_usage=False).astream("What does Sentry show?", config=config)]
    told = model_span(captured).attributes
    content = sum(1 for chunk in chunks if chunk.content)
    assert told["gen_ai.usage.output_tokens"] >= told["langchain_stream.chunks"] == content > 1
    assert told["langchain_stream.usage_source"] == "estimate"
    assert told["ai.total_tokens"] == told["gen_ai.usage.input_tokens"] + told["gen_ai.usage.output_tokens"]


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("include_prompts", [True, False])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_content_needs_the_clients_leave_and_no_veto(
    endpoint: str, shape: str, include_prompts: bool, allowed: bool
) -> None:
    """Prompt and answer leave the process only if the client allows it and `include_prompts` is not off."""
    handler = SentryStreamHandler(include_prompts=include_prompts, redact=lambda text: text.replace("secret", "***"))
    messages = [SystemMessage("You keep secrets."), HumanMessage("My secret is 42")]
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(allowed)) as captured:
        async for _ in chat(endpoint).astream(messages, config={"callbacks": [handler]}):
            pass
    told = model_span(captured).attributes
    if allowed and include_prompts:
        assert told["gen_ai.input.messages"] == (
            '[{"role": "user", "parts": [{"type": "text", "content": "My *** is 42"}]}]'
        )
        assert told["gen_ai.system_instructions"] == "You keep ***s."
        assert told["gen_ai.output.messages"] == (
            '[{"role": "assistant", "parts": [{"type": "text", "content": "Sentry shows what your model did."}],'
            ' "finish_reason": "stop"}]'
        )
    else:
        everything = b"".join(captured.envelopes)
        assert b"is 42" not in everything
        assert b"what your model did" not in everything


CONFIGURATIONS = {
    "default": "",
    "a second init": "sentry_sdk.init()",
    "LangchainIntegration disabled": "options['disabled_integrations'] = [LangchainIntegration()]",
    "OpenAIIntegration passed by the user": "options['integrations'] = [OpenAIIntegration()]",
    "ours as an integration": "options['integrations'] = [SentryStreamIntegration()]",
}


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_one_model_span_per_call(endpoint: str, configuration: str, fresh: Fresh) -> None:
    """Each call is one model span, whichever of Sentry's own integrations are on.

    Sentry sets integrations up once per process, so each configuration needs a process of its own.
    """
    setup = CONFIGURATIONS[configuration]
    script = f"""
        import asyncio
        import sentry_sdk
        from langchain_openai import ChatOpenAI
        from sentry_sdk.integrations.langchain import LangchainIntegration
        from sentry_sdk.integrations.openai import OpenAIIntegration
        from sentry_langchain_stream import SentryStreamHandler, SentryStreamIntegration
        from sentry_langchain_stream.testing import capture_spans
        from tests.kit.wire import WAYS

        options = {{}}
        {setup}
        model = ChatOpenAI(model="gpt-4o-mini", base_url={endpoint!r} + "/v1", api_key="none")

        async def main():
            for way in WAYS:
                with capture_spans(**options) as captured:
                    await way.run(model, "Hi", {{"callbacks": [SentryStreamHandler()]}})
                print(way, len([span for span in captured.spans if span.op.startswith(("gen_ai.", "ai."))]))

        asyncio.run(main())
    """
    done = fresh.run(script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{way} 1" for way in WAYS]
    assert "twice" not in done.stderr


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_fifty_interleaved_streams_keep_their_own_numbers_and_parents(shape: str) -> None:
    """Fifty streams pulled in turn in one loop have each their own tokens, chunks and parent."""

    def answer(body: dict[str, Any]) -> Answer:
        number = int(body["messages"][-1]["content"])
        return Answer(pieces=("a",) * (number + 1), prompt_tokens=100 + number, completion_tokens=number + 1)

    handler = SentryStreamHandler()
    with serving(create_endpoint(answer)) as url, capture_spans(**WIRE_SHAPES[shape]) as captured:
        parents: dict[int, str | None] = {}
        streams = {}
        with active_span(shape) as request:
            for number in range(50):
                with child_span(shape, str(number)):
                    streams[number] = chat(url).astream(str(number), config={"callbacks": [handler]})
                    parents[number] = current_span_id()
                    await anext(streams[number])
            while streams:
                for number, stream in list(streams.items()):
                    if await anext(stream, None) is None:
                        del streams[number]
                assert current_span_id() == request
    told = {
        span.attributes["gen_ai.usage.input_tokens"] - 100: (
            span.parent_id,
            span.attributes["gen_ai.usage.output_tokens"],
            span.attributes["langchain_stream.chunks"],
        )
        for span in captured.find_all(op="gen_ai.chat")
    }
    assert told == {number: (parents[number], number + 1, number + 1) for number in range(50)}
    assert handler.live_runs == 0


async def test_calling_the_hooks_by_hand_works() -> None:
    """The documented arguments alone are enough, and every hook can be awaited."""
    from uuid import uuid4

    from langchain_core.outputs import Generation, LLMResult

    handler, run_id = SentryStreamHandler(), uuid4()
    with capture_spans() as captured:
        await handler.on_llm_start({}, ["hi"], run_id=run_id)
        for token in ("Hello", " ", "you"):
            await handler.on_llm_new_token(token, run_id=run_id)
        await handler.on_llm_end(LLMResult(generations=[[Generation(text="Hello you")]]), run_id=run_id)
    span = captured.find(op="gen_ai.text_completion")
    assert span.attributes["gen_ai.usage.output_tokens"] == 3
    assert span.attributes["pipeline_name"] == "langchain"


@pytest.mark.parametrize("hook", [name for name in dir(BaseCallbackHandler) if name.startswith("on_")])
def test_every_hook_is_overridden_by_a_plain_function(hook: str) -> None:
    """No hook is left to LangChain or to Sentry's handler class: an inherited `async def` would cost a loop a call."""
    handler = SentryStreamHandler()
    owner = next(each for each in type(handler).__mro__ if hook in vars(each))
    assert owner.__module__.startswith("sentry_langchain_stream.")
    assert not asyncio.iscoroutinefunction(getattr(handler, hook))


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_cleared_scope_has_a_trace_all_the_same(shape: str) -> None:
    """After `clear()`, with which older SDKs forget the trace as well, runs have their spans, and their own traces."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        sentry_sdk.get_isolation_scope().clear()
        for _ in range(2):
            fake_model().invoke("Hi", config={"callbacks": [SentryStreamHandler()]})
    assert len(captured.find_all(op="gen_ai.chat")) == 2
    assert len({span.trace_id for span in captured.spans}) == 2
