"""What holds of every tree, whatever ran."""

from __future__ import annotations

from sentry_langchain_stream.testing import Captured, CapturedSpan

_TYPES = {
    "invoke_agent": "agent",
    "create_agent": "agent",
    "execute_tool": "tool",
    "handoff": "handoff",
}

_MODEL_OPS = ("gen_ai.chat", "gen_ai.text_completion", "ai.chat_completions.create.")


def sentry_type(span: CapturedSpan) -> str | None:
    """What today's Sentry takes a span for: its rule, from the operation's name, else the op."""
    told = span.attributes.get("gen_ai.operation.name")
    if not told and not span.attributes.get("gen_ai.operation.type") and not span.op.startswith(("gen_ai.", "ai.")):
        return None
    return _TYPES.get(str(told or span.op.removeprefix("gen_ai.")), "ai_client")


def check(captured: Captured) -> None:
    """Assert what holds of every tree.

    Every parent is there, and of the same trace. None but the models' spans is typed a model's. All spans but the
    application's own name the pipeline, and the same one. The tokens under the keys of the old recipe, which Sentry
    adds up, are those of the models.
    """
    spans = captured.spans
    known = {span.span_id: span for span in spans}
    assert len(known) == len(spans)
    pipelines = set()
    for span in spans:
        assert span.is_root == (span.parent_id is None)
        assert span.parent_id is None or span.parent_id in known, captured.tree()
        assert span.parent_id is None or known[span.parent_id].trace_id == span.trace_id
        assert (sentry_type(span) == "ai_client") is span.op.startswith(_MODEL_OPS), span.op
        if span.attributes.get("pipeline_name") is None:
            assert span.op in ("test", ""), captured.tree()  # the application's own
            continue
        names = {span.attributes[key] for key in ("pipeline_name", "gen_ai.pipeline.name", "ai.pipeline.name")}
        pipelines |= names
        assert ("ai.total_tokens" in span.attributes) <= (sentry_type(span) == "ai_client")
        assert span.attributes["langchain_stream.outcome"] in ("completed", "cancelled", "abandoned", "failed")
    assert len(pipelines) == 1
