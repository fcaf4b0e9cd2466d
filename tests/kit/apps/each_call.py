"""Calls real client libraries against a local server, and prints what Sentry receives of each call.

In a process of its own, because Sentry's integrations are set up once per process: each of `WHO` needs another set-up.
"""

from __future__ import annotations

import asyncio
import json
import os
import warnings
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from typing import Any

import sentry_sdk
from langchain_core.tools import tool
from sentry_sdk import integrations as sentry_integrations

from sentry_langchain_stream import SentryStreamHandler, SentryStreamIntegration
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.embedding import embedding_server, retrieving
from tests.kit.wire import DEFAULT_SHAPE, WAYS, WIRE_SHAPES, Way, content_allowed

QUESTION = "How is the weather in Vienna?"
CANARIES = (QUESTION, "Vienna", "sunny")
"""Content of the calls. No part of it may leave where everything is redacted."""


def redact(text: str) -> str:
    """Redact everything."""
    return "[redacted]"


def handlers(who: str) -> list[Any]:
    """The handlers that the application passes."""
    if who in OURS:
        return []
    first = SentryStreamHandler(pipeline_name="shop", redact=redact)
    return [first, SentryStreamHandler(redact=redact)] if who == "two handlers" else [first]


def integrations(who: str) -> dict[str, Any]:
    """The options of `sentry_sdk.init` that say who is active."""
    if who == "nothing":
        return {"default_integrations": False}
    if who == "provider integrations by hand":
        from sentry_sdk.integrations.anthropic import AnthropicIntegration
        from sentry_sdk.integrations.boto3 import Boto3Integration
        from sentry_sdk.integrations.google_genai import GoogleGenAIIntegration
        from sentry_sdk.integrations.openai import OpenAIIntegration

        chosen = [OpenAIIntegration(), AnthropicIntegration(), GoogleGenAIIntegration(), Boto3Integration()]
        return {"integrations": chosen}
    if who in OURS:
        return {"integrations": [SentryStreamIntegration(pipeline_name="shop", redact=redact)]}
    if who == "OTLP":
        from sentry_sdk.integrations.otlp import OTLPIntegration

        # No exporter: what OpenTelemetry's spans would send is not looked at here.
        return {"integrations": [OTLPIntegration(setup_otlp_traces_exporter=False)]}
    return {}


WHO = (
    "nothing",
    "LangchainIntegration",
    "provider integrations by hand",
    "ours as an integration",
    "ours where content cannot be vetoed",
    "two handlers",
    "OTLP",
)
OURS = frozenset(who for who in WHO if who.startswith("ours"))

Call = Callable[[Way, list[Any]], Awaitable[None]]


def models(url: str) -> Iterator[tuple[str, Any]]:
    """The chat models of LangChain's provider packages."""
    from langchain_anthropic import ChatAnthropic
    from langchain_aws import ChatBedrockConverse
    from langchain_google_genai import ChatGoogleGenerativeAI
    from langchain_openai import ChatOpenAI

    made: Any = ChatOpenAI
    yield "ChatOpenAI", made(model="gpt-example", base_url=f"{url}/v1", api_key="none", stream_usage=True)
    made = ChatAnthropic
    yield "ChatAnthropic", made(model="claude-example", base_url=url, api_key="none")
    made = ChatGoogleGenerativeAI
    yield "ChatGoogleGenerativeAI", made(model="gemini-example", base_url=url, api_version="v1beta", api_key="none")
    made = ChatBedrockConverse
    yield (
        "ChatBedrockConverse",
        made(
            model="anthropic.claude-3-example-v1:0",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="none",
            aws_secret_access_key="none",
        ),
    )


def calls(url: str, embedding_url: str) -> Iterator[tuple[str, Call]]:
    """What an application calls, by name."""
    from langchain.agents import create_agent
    from langchain_openai import OpenAIEmbeddings
    from openai import AsyncOpenAI, OpenAI

    client: Any = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    aclient: Any = AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    asked: Any = {"model": "gpt-example", "messages": [{"role": "user", "content": QUESTION}]}
    streamed: Any = {**asked, "stream": True, "stream_options": {"include_usage": True}}

    def ask(streams: bool) -> str:
        if streams:
            for _ in client.chat.completions.create(**streamed):
                pass
        else:
            client.chat.completions.create(**asked)
        return "sunny"

    async def aask(streams: bool) -> str:
        if streams:
            async for _ in await aclient.chat.completions.create(**streamed):
                pass
        else:
            await aclient.chat.completions.create(**asked)
        return "sunny"

    for name, model in models(url):

        async def call(way: Way, callbacks: list[Any], model: Any = model) -> None:
            await way.run(model, QUESTION, {"callbacks": callbacks})

        yield name, call

    embeddings: Any = OpenAIEmbeddings
    retriever = retrieving(
        embeddings(model="embed-1", base_url=f"{embedding_url}/v1", api_key="none", check_embedding_ctx_length=False)
    )

    async def retrieve(way: Way, callbacks: list[Any]) -> None:
        await way.run(retriever, QUESTION, {"callbacks": callbacks})

    yield "embeddings in a retriever", retrieve

    async def outside(way: Way, callbacks: list[Any]) -> None:
        await (aask(way.streams) if way.name.startswith("a") else asyncio.to_thread(ask, way.streams))

    yield "raw client outside", outside
    model = next(models(url))[1]

    async def agent(way: Way, callbacks: list[Any]) -> None:
        @tool(return_direct=True)
        def get_weather(city: str) -> str:
            """The weather of a city."""
            return ask(way.streams)

        async def aget_weather(city: str) -> str:
            return await aask(way.streams)

        get_weather.coroutine = aget_weather
        asking = {"messages": [("user", QUESTION)]}
        await way.run(create_agent(model, [get_weather], name="clerk"), asking, {"callbacks": callbacks})

    yield "agent with a raw client in its tool", agent


def received(captured: Captured) -> dict[str, Any]:
    """What was received of a call: its AI spans, the tokens that model calls state, and the content in it."""
    spans = captured.spans
    ids = {span.span_id: span for span in spans}
    calls = [span for span in spans if span.op in ("gen_ai.chat", "gen_ai.responses", "gen_ai.embeddings")]
    raw = [span for span in calls if span.origin != "auto.ai.langchain_stream"]
    parent = ids.get(raw[0].parent_id or "") if raw else None
    return {
        "ours": len(calls) - len(raw),
        "raw": len(raw),
        "agents": len([span for span in spans if span.op == "gen_ai.invoke_agent"]),
        "tools": len([span for span in spans if span.op == "gen_ai.execute_tool"]),
        "tokens": sum(span.attributes.get("gen_ai.usage.output_tokens") or 0 for span in calls),
        "embedded": sum(
            span.attributes.get("gen_ai.usage.input_tokens") or 0 for span in calls if span.op == "gen_ai.embeddings"
        ),
        "raw below": parent.op if parent is not None else None,
        "raw pipeline": raw[0].attributes.get("gen_ai.pipeline.name") if raw else None,
        "raw agent": raw[0].attributes.get("gen_ai.agent.name") if raw else None,
        "content": [canary for canary in CANARIES if any(canary in repr(item) for item in captured.items)],
        "warnings": [],
    }


def main(who: str, url: str) -> None:
    """Make each call in each way and wire shape, and print a line of JSON for each."""
    os.environ |= {"AWS_EC2_METADATA_DISABLED": "true", "SENTRY_RELEASE": "tests"}
    # Sentry looks for the libraries of its integrations for each client made. Once is enough.
    find = sentry_integrations.iter_default_integrations
    once: Any = cache(lambda auto: list(find(auto)))
    sentry_integrations.iter_default_integrations = once
    warnings.simplefilter("ignore")
    with embedding_server() as (embedding_url, _):
        _main(who, list(calls(url, embedding_url)))


def _main(who: str, made: list[tuple[str, Call]]) -> None:
    chosen = integrations(who)
    # Of Sentry's integrations, `include_prompts=False` is a veto over `send_default_pii` only.
    allowed = {"send_default_pii": True} if who == "ours as an integration" else content_allowed(True)

    async def run() -> None:
        for shape, options in WIRE_SHAPES.items():
            if who == "ours where content cannot be vetoed" and shape != DEFAULT_SHAPE:
                continue  # it differs from "ours as an integration" in what the client allows, not in the shape
            for name, call in made:
                for way in [each for each in WAYS if each.name != "stream"]:
                    with capture_spans(**options, **allowed, **chosen) as captured:
                        # What the application itself opens, so that a raw client outside of runs has a place.
                        if shape == "stream":
                            with sentry_sdk.traces.start_span(name="request"):
                                await call(way, handlers(who))
                        else:
                            with sentry_sdk.start_transaction(name="request"):
                                await call(way, handlers(who))
                    print(json.dumps([shape, name, way.name, received(captured)]), flush=True)

    asyncio.run(run())
