"""Every ending is recorded as it was, and no span is lost: (way of ending) x (application) x (wire shape)."""

from __future__ import annotations

import gc
import sys
from typing import Any

import pytest

from sentry_langchain_stream._runs.kinds import Outcome
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.async_context import needs_async_context
from tests.kit.endings import ENDINGS, Ending, Stage, sync_break, sync_interrupt
from tests.kit.pairwise import pairwise, parameters, table
from tests.kit.subjects import SUBJECTS, Subject
from tests.kit.wire import WIRE_SHAPES, active_span, content_allowed, current_span_id

STATUS: dict[str, dict[Outcome, str]] = {
    "transaction": {
        "completed": "ok",
        "cancelled": "cancelled",
        "abandoned": "cancelled",
        "failed": "internal_error",
    },
    "span": {"completed": "ok", "cancelled": "ok", "abandoned": "ok", "failed": "error"},
}
"""The status that a span has on the wire, by the shape that it comes in. A span item knows only two."""


def can_end_so(ending: Ending, subject: Subject, shape: str) -> bool:
    """Whether a run of this application can end in this way."""
    if ending.play is sync_interrupt and subject.name == "retriever":
        return False  # LangChain signals no end (all versions of langchain-core): see the test of idle runs
    return (subject.streams or not ending.streams) and not (ending.newest and sys.version_info < (3, 11))


CELLS = parameters(pairwise(table(ENDINGS, SUBJECTS, WIRE_SHAPES, possible=can_end_so)))


def issues(captured: Captured) -> list[dict[str, Any]]:
    """The events that would become issues, but for asyncio's own complaints of tasks that LangChain left behind."""
    return [event for event in captured.events if event.get("logger") != "asyncio"]


@pytest.mark.parametrize(("ending", "subject", "shape"), CELLS)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@needs_async_context(lambda ending, subject: subject.name in ("agent", "tool") and not str(ending).startswith("sync_"))
async def test_an_ending_is_told(ending: Ending, subject: Subject, shape: str) -> None:
    """The model's span records how the run ended and what had arrived; no run stays live and no span stays active."""
    stage = Stage(subject)
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        with active_span(shape) as active:
            await ending.play(stage)
            await stage.ended()
            assert current_span_id() == active
        assert current_span_id() is None
    assert stage.handler.live_runs == 0
    if ending.outcome == "failed" and subject.calls > 1:
        gc.collect()  # the given-up branch fails when its generator is closed: in this test, not in a later one
    # Of a sync parallel that is left, a branch may start after its root has ended, and may have said nothing yet when
    # the other's first piece arrives: see docs/endings.md.
    late = ending.play is sync_break and subject.calls > 1
    for root in captured.find_all(op="function"):
        assert late or root.attributes["langchain_stream.outcome"] == ending.outcome
    models = captured.find_all(op="gen_ai.chat")
    assert len(models) == subject.calls, captured.tree()
    if ending.outcome == "failed":
        # Of parallel calls one fails first, and the other is given up.
        given_up = [span for span in models if span.attributes["langchain_stream.outcome"] == "cancelled"]
        models = [span for span in models if span not in given_up]
        assert models
        assert not given_up or subject.calls > 1
    if late:
        # Nobody waits for that branch: on a busy machine its thread may bring the model to its end.
        told = [span.attributes["langchain_stream.outcome"] for span in models]
        assert {ending.outcome} <= set(told) <= {ending.outcome, "completed"}
        models = [
            span
            for span, outcome in zip(models, told, strict=True)
            if outcome == ending.outcome and "langchain_stream.chunks" in span.attributes
        ]
        assert models
    for span in models:
        # The parser of a sync chain that is left reads what the model has to say: see test_read_on.py. Before Python
        # 3.11 what threads have read is kept until garbage is collected.
        read_on = ("chain", "parallel") if sys.version_info >= (3, 11) else ("chain",)
        chunks = 3 if ending.play is sync_break and subject.name in read_on else ending.chunks
        assert span.attributes["langchain_stream.outcome"] == ending.outcome
        assert span.status == STATUS[span.shape][ending.outcome]
        if chunks is not None:
            assert span.attributes["langchain_stream.chunks"] == chunks
            assert span.attributes["gen_ai.usage.output_tokens"] == chunks
            assert span.attributes["langchain_stream.usage_source"] == "estimate"
            said = "".join(("one ", "two ", "three")[:chunks])
            assert said in span.attributes["gen_ai.output.messages"]
        elif ending.outcome != "completed":
            assert "ai.total_tokens" not in span.attributes
    assert len(issues(captured)) == (1 if ending.outcome == "failed" else 0)
