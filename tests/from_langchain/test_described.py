"""What a model says of itself is read once for calls that agree, and never taken for that of another call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import sentry_sdk

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._runs import parameters
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import ScriptedModel, content_allowed


def told(*calls: Callable[[Any], object]) -> list[Mapping[str, Any]]:
    """The attributes of the spans of some calls of models, with one handler, in one request."""
    config: Any = {"callbacks": [SentryStreamHandler()]}
    with capture_spans() as captured:
        with sentry_sdk.start_transaction(op="http.server", name="GET /answer"):
            for call in calls:
                call(config)
        return [span.attributes for span in captured.find_all(op="gen_ai.chat")]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the parameters of a call have been read from, for each time that they have been."""
    read: list[object] = []
    original = parameters.request_parameters

    def noted(sources: Any) -> dict[str, Any]:
        read.append(sources)
        return original(sources)

    monkeypatch.setattr(parameters, "request_parameters", noted)
    return read


def test_a_call_that_says_the_same_is_not_read_again(read: list[object]) -> None:
    """The parameters of one model's calls are read at the first of them, and are on the spans of all."""
    model = ScriptedModel()
    spans = told(*[lambda config: model.invoke("Hi", config, temperature=0.3)] * 3)
    assert [span["gen_ai.request.temperature"] for span in spans] == [0.3] * 3
    assert len(read) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"temperature": 0.3}, {"temperature": 0.4}),
        ({"temperature": 1}, {"temperature": True}),
        ({"temperature": True}, {"temperature": 1.0}),
        ({"temperature": 0.3}, {}),
        ({"temperature": 0.3}, {"top_p": 0.3}),
        ({"max_tokens": 1, "top_k": 2}, {"max_tokens": 2, "top_k": 1}),
        ({"model": "a"}, {"model": "b"}),
        ({"reasoning": {"effort": "low"}}, {"reasoning": {"effort": "high"}}),
        ({"model_kwargs": {"top_p": 0.1}}, {"model_kwargs": {"top_p": 0.2}}),
    ],
    ids=repr,
)
def test_a_call_that_says_something_else_is_read(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Each call's span has its own parameters, in whatever order the calls come."""
    model = ScriptedModel()

    def stated(*several: dict[str, Any]) -> list[dict[str, Any]]:
        calls = [lambda config, options=options: model.invoke("Hi", config, **options) for options in several]
        spans = told(*calls)
        return [{key: value for key, value in span.items() if key.startswith("gen_ai.request.")} for span in spans]

    alone = [stated(options)[0] for options in (first, second)]
    assert stated(first, second, first) == [*alone, alone[0]]
    assert alone[0] != alone[1]


def test_two_models_that_are_made_one_after_the_other_are_told_apart() -> None:
    """A model that is made where another one has been before does not get its description."""
    names = [f"model-{number}" for number in range(100)]
    spans = told(*[lambda config, name=name: ScriptedModel(model_name=name).invoke("Hi", config) for name in names])
    assert [span["gen_ai.request.model"] for span in spans] == names


def test_what_could_not_be_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure while a description is read costs that call its parameters, and no other."""
    original, failures = parameters.request_parameters, [RuntimeError("fails")]

    def fails_once(sources: Any) -> dict[str, Any]:
        if failures:
            raise failures.pop()
        return original(sources)

    monkeypatch.setattr(parameters, "request_parameters", fails_once)
    monkeypatch.setattr("sentry_langchain_stream._runtime.containment._strict", False)
    model = ScriptedModel()
    spans = told(*[lambda config: model.invoke("Hi", config, temperature=0.3)] * 2)
    assert [span.get("gen_ai.request.temperature") for span in spans] == [None, 0.3]


def test_models_of_one_kind_share_their_description(read: list[object]) -> None:
    """A model that is made anew for each request, with the same arguments, is read once."""
    spans = told(*[lambda config: ScriptedModel().invoke("Hi", config, temperature=0.3)] * 3)
    assert [span["gen_ai.request.temperature"] for span in spans] == [0.3] * 3
    assert len(read) == 1


def test_a_long_text_is_not_kept(read: list[object]) -> None:
    """What the application says at length is read at each call, so that no more than a little of it stays in memory."""
    model = ScriptedModel()
    spans = told(*[lambda config: model.invoke("Hi", config, model="x" * 3_000, temperature=0.3)] * 2)
    assert [span["gen_ai.request.temperature"] for span in spans] == [0.3] * 2
    assert len(read) == 2


class Warm(ScriptedModel):
    """A model with a temperature and stop sequences of its own."""

    temperature: float = 0.5

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        return {**super()._get_invocation_params(stop, **kwargs), "stop": stop or ["END"]}


def test_an_option_without_a_value_hides_nothing() -> None:
    """A call that is bound to `temperature=None`, as wrappers bind what was not given, has the model's temperature."""
    bound = Warm().bind(temperature=None)
    (span,) = told(lambda config: bound.invoke("Hi", config))
    assert span["gen_ai.request.temperature"] == 0.5


def test_a_call_without_stop_sequences_has_the_models() -> None:
    """LangChain's options of such a call have no value for `stop`, which does not hide what the model sends."""
    with capture_spans(**content_allowed(True)) as captured:
        Warm().invoke("Hi", {"callbacks": [SentryStreamHandler()]})
    assert captured.find(op="gen_ai.chat").attributes["gen_ai.request.stop_sequences"] == ["END"]
