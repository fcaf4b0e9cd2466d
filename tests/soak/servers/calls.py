"""The model calls of the soak's servers, each of them with the handler and without it."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_core.runnables import Runnable, RunnableLambda

import tests.kit.lean  # noqa: F401 -- before `sentry_sdk.init`
from sentry_langchain_stream import SentryStreamHandler
from tests.kit.wire import ScriptedModel

from .books import HELD, Witness

WORDS = tuple(f"word{number} " for number in range(8))

handler = SentryStreamHandler("service")
CONFIGS: dict[str, Any] = {
    "with": {"callbacks": [Witness("with"), handler]},
    "without": {"callbacks": [Witness("without")]},
}


class SourceError(Exception):
    """The provider's failure."""


def _fail(number: int) -> None:
    if number == HELD:
        raise SourceError("the provider hung up")


async def _turn(number: int) -> None:
    await asyncio.sleep(0.001 if number else 0)


def _never(number: int) -> Any:
    return asyncio.Event().wait() if number == HELD else None


MODELS: dict[str, Any] = {
    "whole": ScriptedModel(pieces=WORDS, before=_turn),
    "flowing": ScriptedModel(pieces=WORDS * 1_000, before=lambda number: asyncio.sleep(0.002)),
    "held": ScriptedModel(pieces=WORDS, before=_never),
    "failing": ScriptedModel(pieces=WORDS, before=_fail),
    "quick": ScriptedModel(pieces=WORDS),
}


def chain(kind: str) -> Runnable[Any, Any]:
    """An application whose answers are always the same."""
    application: Runnable[Any, Any] = RunnableLambda(str) | MODELS[kind]
    return application
