"""What is done with each contestant, inside its own process. A workload returns seconds (or seconds per unit)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda

from .adapters import Adapter
from .model import PROMPT, FakeChatOpenAI

Sample = dict[str, float]
"""`per_unit`: seconds per token or per call. `whole`: seconds for all of it."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One thing to measure.

    Args:
        run: Does it, `size` large and `times` times, in an event loop if it is async.
        models: How many model spans one time should make.
    """

    run: Callable[[Adapter, int, int], Any]
    models: int = 1


def config_of(adapter: Adapter) -> Any:
    """The config that a call is given."""
    return {"callbacks": list(adapter.callbacks)}


def prompt_of(words: int = 8) -> list[Any]:
    """A prompt of about so many words."""
    return [HumanMessage(f"{PROMPT}{' and the harbour' * (words // 3)}")]


def _per_token(stamps: tuple[float, float, float, float], tokens: int) -> Sample:
    """From when the stream was asked for, its first chunk came, its last one came, and it was over."""
    asked, first, last, over = stamps
    return {"per_unit": (last - first) / (tokens - 1), "whole": over - asked}


async def token_astream(adapter: Adapter, tokens: int, times: int) -> Sample:
    """`async for chunk in model.astream(...)`."""
    model, config, first, last = FakeChatOpenAI(pieces=tokens), config_of(adapter), 0.0, 0.0
    with adapter.request():
        asked, seen = perf_counter(), 0
        async for _ in model.astream(prompt_of(), config=config):
            seen += 1
            if seen == 1:
                first = perf_counter()
            elif seen == tokens:
                last = perf_counter()
        over = perf_counter()
    return _per_token((asked, first, last, over), tokens)


def token_stream(adapter: Adapter, tokens: int, times: int) -> Sample:
    """`for chunk in model.stream(...)`."""
    model, config, first, last = FakeChatOpenAI(pieces=tokens), config_of(adapter), 0.0, 0.0
    with adapter.request():
        asked = perf_counter()
        for seen, _ in enumerate(model.stream(prompt_of(), config=config), 1):
            if seen == 1:
                first = perf_counter()
            elif seen == tokens:
                last = perf_counter()
        over = perf_counter()
    return _per_token((asked, first, last, over), tokens)


async def token_stream_in_loop(adapter: Adapter, tokens: int, times: int) -> Sample:
    """The same where an event loop runs, as in a notebook."""
    return token_stream(adapter, tokens, times)


async def token_v3(adapter: Adapter, tokens: int, times: int) -> Sample:
    """`astream_events(version="v3")`."""
    model, config = FakeChatOpenAI(pieces=tokens), config_of(adapter)
    begun = perf_counter()
    with adapter.request():
        stream: Any = await model.astream_events(prompt_of(), config=config, version="v3")
        async for _ in stream.text:
            pass
        for _ in range(20):  # the run ends some turns of the loop after its stream
            await asyncio.sleep(0)
    return _per_call(perf_counter() - begun, tokens)


async def call_ainvoke(adapter: Adapter, words: int, times: int) -> Sample:
    """`await model.ainvoke(...)`, in one request."""
    model, config, prompt = FakeChatOpenAI(), config_of(adapter), prompt_of(words)
    begun = perf_counter()
    with adapter.request():
        for _ in range(times):
            await model.ainvoke(prompt, config=config)
    return _per_call(perf_counter() - begun, times)


def call_invoke(adapter: Adapter, words: int, times: int) -> Sample:
    """`model.invoke(...)`, in one request."""
    model, config, prompt = FakeChatOpenAI(), config_of(adapter), prompt_of(words)
    begun = perf_counter()
    with adapter.request():
        for _ in range(times):
            model.invoke(prompt, config=config)
    return _per_call(perf_counter() - begun, times)


async def call_alone(adapter: Adapter, words: int, times: int) -> Sample:
    """`await model.ainvoke(...)` with no request around it, as in a script: each call is a trace's root."""
    model, config, prompt = FakeChatOpenAI(), config_of(adapter), prompt_of(words)
    begun = perf_counter()
    for _ in range(times):
        await model.ainvoke(prompt, config=config)
    return _per_call(perf_counter() - begun, times)


async def chain(adapter: Adapter, depth: int, times: int) -> Sample:
    """`ainvoke` of chains inside of chains, with a model at the bottom."""
    model, config, prompt = FakeChatOpenAI(), config_of(adapter), prompt_of()
    built: Any = model
    for level in range(depth):
        built = _around(built, f"level{level}")
    begun = perf_counter()
    with adapter.request():
        for _ in range(times):
            await built.ainvoke(prompt, config=config)
    return _per_call(perf_counter() - begun, times)


def _around(inner: Any, name: str) -> Any:
    async def step(value: Any, config: Any) -> Any:
        return await inner.ainvoke(value, config=config)

    return RunnableLambda(step, name=name)


async def agent(adapter: Adapter, size: int, times: int) -> Sample:
    """`ainvoke` of an agent: the model calls a tool, the tool answers, the model answers."""
    built, config = _agent(), config_of(adapter)
    begun = perf_counter()
    with adapter.request():
        for _ in range(times):
            await built.ainvoke({"messages": prompt_of()}, config=config)
    return _per_call(perf_counter() - begun, times)


_agents: list[Any] = []


def _agent() -> Any:
    if not _agents:
        from langchain.agents import create_agent
        from langchain_core.tools import tool

        @tool
        async def weather(place: str) -> str:
            """The weather at a place."""
            return f"Fair at the {place}."

        _agents.append(create_agent(FakeChatOpenAI(), [weather], name="captain"))
    return _agents[0]


def _per_call(seconds: float, times: int) -> Sample:
    return {"per_unit": seconds / times, "whole": seconds}


WORKLOADS: dict[str, Workload] = {
    "token_astream": Workload(token_astream),
    "token_stream": Workload(token_stream),
    "token_stream_in_loop": Workload(token_stream_in_loop),
    "token_v3": Workload(token_v3),
    "call_ainvoke": Workload(call_ainvoke),
    "call_invoke": Workload(call_invoke),
    "call_alone": Workload(call_alone),
    "chain": Workload(chain),
    "agent": Workload(agent, models=2),
}
