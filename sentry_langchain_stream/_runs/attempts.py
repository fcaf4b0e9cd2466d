"""Repeated work in a graph: what a retry policy or a middleware tries again after a failure, or gives to another model.

`with_retry` and `with_fallbacks` mark their attempts. The retry policies of LangGraph and the middleware of LangChain
(`ModelRetryMiddleware`, `ToolRetryMiddleware`, `ModelFallbackMiddleware`) do not: an attempt is known by what it does.
A node or a `@task` that runs again is the same task of the graph. A tool that runs again answers the same tool call. A
model that is called again, in the same node, gets the same prompt. What is done again after a success is no attempt.

A prompt is compared by a digest of its content. The digest is worked out only after a failure, for the calls that may
repeat the one that failed.
"""

from __future__ import annotations

from uuid import UUID

from .._runtime import interpreter
from .call import Call
from .details import Detail, ToolCall
from .estimates import Prompt
from .run import Model, Run
from .start import Start

_MOST = 64


def work_of(start: Start, parent: Run, detail: Call | Detail | None) -> object:
    """Return what a run does, equal for each attempt at it, or `None` if it cannot be a further attempt."""
    if start.is_node:
        return start.task
    if start.task is not None:
        # A chain in a task may have the task's name.
        return None if any(each.work == start.task for each in (parent, *parent.ancestors())) else start.task
    if isinstance(detail, ToolCall):
        return (detail.name, detail.id) if detail.id is not None else None
    if isinstance(detail, Call) and parent.is_node:
        return detail.request.prompt
    return None


def count(run: Run, parent: Run) -> tuple[int | None, int | None]:
    """Return the number of the attempt that a run is, and how many attempts by other models failed before it.

    Each is `None` if there was no such attempt. A run that is no attempt itself belongs to its parent's.
    """
    known = parent.failed_attempts
    failed = known.get(_known_by(run)) if known else None
    if failed is None:
        return None, None
    same = failed.count(_model(run))
    return (same + 1 if same else None), (len(failed) - same or None)


def note(run: Run, parent: Run) -> None:
    """Remember that an attempt has failed."""
    work = _known_by(run)
    if work is None:
        return
    known = parent.failed_attempts
    before = known.get(work, ())
    others = {} if len(known) >= _MOST and not before else known
    parent.failed_attempts = {**others, work: (*before, _model(run))[:_MOST]}


def forget(run: Run, parent: Run) -> None:
    """Forget the attempts that failed before one that has succeeded."""
    work, known = _known_by(run), parent.failed_attempts
    if work in known:
        parent.failed_attempts = {each: failed for each, failed in known.items() if each != work}


def begun(parent: Run, enclosing_id: UUID | None) -> int | None:
    """Count a run that starts below this one, if it is an attempt of `with_fallbacks`.

    Returns:
        How many attempts failed before the run, if it is one or inside one.
    """
    call = call_around(parent, enclosing_id)
    if call is None:
        return parent.fallback
    call.ending.attempts += 1
    return ((call.fallback or 0) + call.ending.failures) or None


def call_around(parent: Run, enclosing_id: UUID | None) -> Run | None:
    """Return the call with fallbacks that a run below this one is an attempt of, or `None`.

    In a chain LangChain makes these attempts siblings of the run of `with_fallbacks`, not its children. Its context
    names that run, except in batches and in async code before Python 3.11. If it names the parent, the run is another
    step of that.
    """
    if parent.has_fallbacks:
        return parent
    is_step = enclosing_id == parent.id and (interpreter.HAS_ASYNC_CONTEXT or interpreter.running_loop() is None)
    if is_step or not parent.fallbacks:
        return None
    found = parent.fallbacks.get(enclosing_id) if enclosing_id is not None else None
    return found or (next(iter(parent.fallbacks.values())) if len(parent.fallbacks) == 1 else None)


def _known_by(run: Run) -> object:
    """Return what is remembered of a run's work: of a prompt only its digest."""
    return run.work.digest() if isinstance(run.work, Prompt) else run.work


def _model(run: Run) -> Model:
    """The model of a call, and who serves it: Azure has OpenAI's models under the same names."""
    request = run.call.request if run.call is not None else None
    return (request.provider, request.model) if request is not None else (None, None)
