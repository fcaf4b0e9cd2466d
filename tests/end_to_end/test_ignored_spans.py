"""What the application ignores with `ignore_spans`: nothing names a span that is not sent."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import sentry_sdk
from langchain_core.runnables import RunnableLambda
from sentry_sdk.consts import DEFAULT_OPTIONS

from sentry_langchain_stream import SentryStreamHandler, record_evaluation, watch_runs
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, active_span

pytestmark = pytest.mark.skipif(
    "stream" not in WIRE_SHAPES or "ignore_spans" not in DEFAULT_OPTIONS,
    reason="needs streamed spans that can be ignored",
)

MODELS: Any = {"trace_lifecycle": "stream", "ignore_spans": [{"attributes": {"sentry.op": "gen_ai.chat"}}]}


def _refuse(_: int) -> None:
    raise ConnectionError("Connection refused")


def linked(captured: Captured) -> str:
    """The span that the only issue is linked to."""
    (event,) = captured.events
    return str(event["contexts"]["trace"]["span_id"])


@pytest.mark.parametrize("is_reported", [True, False])
def test_an_issue_is_linked_to_a_span_that_is_sent(is_reported: bool) -> None:
    """The failure of a model whose span is ignored is linked to what the span would be below."""
    chain: Any = RunnableLambda(str) | ScriptedModel(before=_refuse)
    with capture_spans(**MODELS) as captured:
        try:
            chain.invoke("Hi", {"callbacks": [SentryStreamHandler(pipeline_name="bot")]})
        except ConnectionError:
            if is_reported:
                sentry_sdk.capture_exception()
    assert linked(captured) == captured.find(name="bot").span_id


def test_the_issue_of_an_ignored_call_is_linked_to_the_request() -> None:
    """A model on its own has no span then, so its issue is linked to the active span."""
    with capture_spans(**MODELS) as captured, active_span("stream") as request, suppress(ConnectionError):
        ScriptedModel(before=_refuse).invoke("Hi", {"callbacks": [SentryStreamHandler()]})
    assert linked(captured) == request


def test_an_ignored_run_is_known_without_a_span() -> None:
    """`RunInfo` and what is recorded of the run name no span, as of a run that is not sampled."""
    with capture_spans(**MODELS) as captured:
        with active_span("stream"), watch_runs() as runs:
            ScriptedModel().invoke("Hi", {"callbacks": [SentryStreamHandler()]})
        record_evaluation(runs[0], name="tone", score=1.0)
    assert (runs[0].trace_id, runs[0].span_id, runs[0].model_calls) == (None, None, 1)
    sent = {span.span_id for span in captured.spans}
    assert {span.parent_id for span in captured.spans} <= {None, *sent}
