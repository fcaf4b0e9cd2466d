"""How much of ours runs on the path of a call, counted in function calls: they do not depend on the machine."""

from __future__ import annotations

from typing import Any

import pytest
import sentry_sdk
from langchain_core.runnables import Runnable, RunnableLambda

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._from_langchain import same_ids
from sentry_langchain_stream.testing import capture_spans
from tests.kit.counting import calls
from tests.kit.wire import ScriptedModel

BOUNDS = {"token": 4, "invoke": 230, "chain": 64}
"""Function calls of ours: per token of a stream; per `invoke` of a model in a request, sending apart; per chain below a
chain. Whoever needs more raises the bound in the commit that says what it buys."""


def steps(number: int) -> Runnable[Any, Any]:
    """A chain of so many functions."""
    chain: Runnable[Any, Any] = RunnableLambda(str)
    for _ in range(number - 1):
        chain = chain | RunnableLambda(str)
    return chain


def per_token(config: Any) -> float:
    """What a token of a stream costs: the difference of a long and a short answer."""
    short, long = (ScriptedModel(pieces=("word ",) * number) for number in (100, 200))
    return (calls(lambda: list(long.stream("Hi", config))) - calls(lambda: list(short.stream("Hi", config)))) / 100


def per_invoke(config: Any) -> float:
    """What a call of a model costs inside a request."""
    model = ScriptedModel()
    return calls(lambda: model.invoke("Hi", config))


def per_chain(config: Any) -> float:
    """What a further function in a chain costs."""
    return (calls(lambda: steps(7).invoke("x", config)) - calls(lambda: steps(3).invoke("x", config))) / 4


MEASURES = {"token": per_token, "invoke": per_invoke, "chain": per_chain}


@pytest.mark.parametrize("what", MEASURES)
def test_the_hot_path_calls_no_more_functions_than_that(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs for each token, call and chain stays within its bound, so that nobody slows it down unnoticed."""
    monkeypatch.setattr(same_ids, "again", {})  # other tests have had runs that share an id
    config: Any = {"callbacks": [SentryStreamHandler()]}
    with capture_spans(), sentry_sdk.start_transaction(op="http.server", name="GET /answer"):
        MEASURES[what](config)  # imports and caches
        measured = MEASURES[what](config)
    assert 0 < measured <= BOUNDS[what] + 0.1
