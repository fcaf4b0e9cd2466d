"""Streams a probe through the application's own chain, graph or model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any
from uuid import uuid4

from langchain_core.language_models import BaseLanguageModel

from .._to_sentry.other_integrations import own_handler
from ..handler import SentryStreamHandler
from ..testing.envelopes import CapturedSpan, model_spans
from .made import Made, Named
from .one_loop import OneLoop
from .probe import QUESTION, Probe, observe
from .providers import Calls, providers

_NO_ANSWERS = frozenset({"embeddings", "rerank"})
"""Operations of spans that Sentry counts as model calls, but that are none of a chat or completion model."""


@dataclass(frozen=True, slots=True)
class OwnRun:
    """The result of a probe through the application's own chain."""

    chain: Named
    calls: Calls
    probe: Probe
    passed: Named | None = None
    """The handler that the doctor passed in the config, because the chain has none."""
    live: bool = False

    @property
    def answers(self) -> list[CapturedSpan]:
        """The spans of calls of chat and completion models."""
        spans = model_spans(self.probe.spans)
        return [span for span in spans if span.attributes.get("gen_ai.operation.name") not in _NO_ANSWERS]

    def handlers(self) -> list[SentryStreamHandler]:
        """Return the handlers of ours that see one call: of the call that most see."""
        seen: list[list[SentryStreamHandler]] = [[]]
        for handlers in self.calls.handlers:
            ours = {id(each): each for each in handlers if isinstance(each, SentryStreamHandler)}
            seen.append(list(ours.values()))
        return max(seen, key=len)


def run(client: Any, chain: Named, made: Made, loop: OneLoop, given: Any = None, *, live: bool = False) -> OwnRun:
    """Stream a probe through a chain.

    A handler that the application passes with each call is not part of the chain. So if none sees the run, and the
    application has made one, the probe is repeated with it.

    Args:
        client: The application's client, which must be active and have tracing on.
        chain: The chain, graph or model.
        made: What the application has made.
        loop: The loop in which the application was set up.
        given: The input. `None` makes one that fits the chain's input schema.
        live: Call the provider really.
    """
    value = suitable_input(chain.value) if given is None else given
    candidates = [each for each in made.handlers if each.value is not own_handler(client)]
    result = _run(client, chain, value, None, loop, live=live)
    if candidates and result.calls.handlers and not result.handlers():
        return _run(client, chain, value, candidates[0], loop, live=live)
    return result


def _run(client: Any, chain: Named, value: Any, handler: Named | None, loop: OneLoop, *, live: bool) -> OwnRun:
    config: Any = {**thread_of(chain.value), **({"callbacks": [handler.value]} if handler is not None else {})}

    async def stream() -> None:
        async for _ in chain.value.astream(value, config):
            pass

    with providers(live=live) as calls:
        probe = observe(client, lambda: loop.run_whole(stream()))
    return OwnRun(chain, calls, probe, handler, live)


def thread_of(chain: Any) -> dict[str, Any]:
    """Return a config with a thread of the probe's own, if a graph needs one: it has a checkpointer, and no thread."""
    configurable = (getattr(chain, "config", None) or {}).get("configurable") or {}
    if isinstance(getattr(chain, "checkpointer", None), (bool, NoneType)) or "thread_id" in configurable:
        return {}
    return {"configurable": {"thread_id": f"doctor-{uuid4()}"}}


def suitable_input(chain: Any) -> Any:
    """Return an input for a chain: a question, in the shape of the chain's input schema."""
    if isinstance(chain, BaseLanguageModel):
        return QUESTION
    try:
        schema = chain.get_input_jsonschema()
    except Exception:  # a schema of an application's own types may not have a JSON schema
        schema = {"properties": {name: {} for name in _fields(chain)}}
    while "$ref" in schema:
        schema = {**schema.get("$defs", {}).get(schema["$ref"].rpartition("/")[2], {}), "$defs": schema.get("$defs")}
    properties = schema.get("properties") or {}
    if "messages" in properties:
        return {"messages": [("human", QUESTION)]}
    wanted: Sequence[str] = schema.get("required") or list(properties)
    return {name: _value(properties.get(name, {})) for name in wanted} if properties else QUESTION


def _fields(chain: Any) -> Sequence[str]:
    """Return the fields of a graph's input, where it has no schema: pydantic wants another `TypedDict` before 3.12."""
    graph = getattr(getattr(chain, "bound", chain), "builder", None)
    return list(getattr(getattr(graph, "input_schema", None), "__annotations__", ()))


def _value(schema: dict[str, Any]) -> Any:
    values: dict[str, Any] = {"array": [], "object": {}, "integer": 1, "number": 1.0, "boolean": False}
    return values.get(schema.get("type", "string"), QUESTION)
