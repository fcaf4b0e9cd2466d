"""Which function belongs to which step of a call, for `profiling.py`.

A step is named after what the handler does in it. Only the functions at which a step begins are listed: whatever they
call belongs to it, too, up to the next function of the list.
"""

from __future__ import annotations

from collections.abc import Iterator

STEPS: dict[str, tuple[str, ...]] = {
    "event": (
        "_from_langchain/engine.py:read_start",
        "_from_langchain/marks.py:read_start",
    ),
    "provider": ("_from_langchain/requests.py:provider",),
    "request": (
        "_from_langchain/model_calls.py:call",
        "_from_langchain/requests.py:request",
        "_from_langchain/steps.py:tool_call",
        "_from_langchain/steps.py:agent",
    ),
    "content": (
        "_content/messages.py",
        "_content/message_formats.py",
        "_content/plain_messages.py",
        "_content/parts.py",
        "_content/budget.py",
        "_content/gathered.py",
        "_content/labels.py",
    ),
    "run": (
        "_runs/starts.py:start",
        "_runs/live_runs.py:end",
        "_runs/roots.py:parent",
        "_runs/tree_ends.py",
        "_runs/silent_ends.py",
        "_runs/task_watch.py",
        "_from_langchain/inner_chains.py:start",
        "_from_langchain/inner_chains.py:end",
        "_from_langchain/inside.py:started",
    ),
    "span": (
        "_runs/run_spans.py:open",
        "_to_sentry/transaction_spans.py:start",
        "_to_sentry/streamed_spans.py:start",
        "_to_sentry/active_span.py:enter",
        "_to_sentry/active_span.py:leave",
    ),
    "chunk": ("_from_langchain/model_calls.py:gather",),
    "response": (
        "_from_langchain/model_calls.py:_answer",
        "_from_langchain/answers.py:response",
        "_from_langchain/steps.py:add_result",
        "_from_langchain/steps.py:add_answer",
    ),
    "usage": (
        "_from_langchain/answers.py:usage",
        "_runs/totals.py",
    ),
    "attributes": ("_runs/attributes.py:describe", "_runs/attributes.py:at_start"),
    "finish": (
        "_runs/run_spans.py:close",
        "_runs/run_spans.py:_finish_span",
        "_to_sentry/transaction_spans.py:finish",
        "_to_sentry/streamed_spans.py:finish",
    ),
    "copy of the span": ("_to_sentry/plain_spans.py:to_json", "_to_sentry/plain_spans.py:__sentry_repr__"),
}
"""The functions of this package at which each step begins: a module, or a module and a function of it."""

SDK = "Sentry SDK"
AROUND = "LangChain and the model"

PHASES = {"start": "start", "token": "chunk", "event": "chunk", "end": "end", "error": "end"}
"""The phase of a call that a hook belongs to, by the end of its name."""

REQUEST = "request"
"""The phase of the work outside of hooks: the SDK starts and ends the request's transaction, and prepares its spans."""


def entries() -> dict[tuple[str, str | None], str]:
    """The step that begins at a function, by module and name; by module and `None` for all functions of a module."""
    found: dict[tuple[str, str | None], str] = {}
    for step, places in STEPS.items():
        for place in places:
            module, _, function = place.partition(":")
            found[module, function or None] = step
    return found


def ordered() -> Iterator[tuple[str, str]]:
    """Phase and step, in the order of a call."""
    for phase in ("start", "chunk", "end", REQUEST):
        for step in ("hook", *STEPS, SDK):
            yield phase, step
    yield "", AROUND
