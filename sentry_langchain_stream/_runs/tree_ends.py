"""Ends a run and what ends with it: its descendants, and the pipeline or the call with fallbacks around it."""

from __future__ import annotations

import sys

from .._runtime import interpreter
from . import attempts, enclosing, silent_ends
from .ending import Ending
from .kinds import CHAINS, NOTHING, Outcome
from .run import Run

# The outcome of a parent -> the outcome of its children that are still open.
_INHERITED: dict[Outcome, Outcome] = {
    "completed": "abandoned",
    "cancelled": "cancelled",
    "abandoned": "abandoned",
    "failed": "cancelled",
}

_SEVERITY: tuple[Outcome, ...] = ("completed", "abandoned", "cancelled", "failed")


def end(run: Run, outcome: Outcome, error: BaseException | None, evicted: str | None) -> None:
    """End a run, and first every descendant that is still open, unless another caller has ended it."""
    with run.tree.lock:
        if run.below and evicted is None and is_read_on(run, outcome):
            return
        if not run.keeper.take(run):
            return
        chain = _read_on_around(run) if run.tree.read_on else None
        if chain is not None and outcome == "completed" and (run.call is None or run.call.streamed):
            outcome = "abandoned"
            if run.call is not None:
                run.call.finished = True
        try:
            if outcome == "completed" and run.kind in CHAINS and was_left(run):
                outcome = "abandoned"
            if outcome == "completed" and run.below:
                _release(run)
            if outcome in _GIVEN_UP:
                _give_up(run, evicted)
            if run.below:
                _close(run.descendants(), _INHERITED[outcome], evicted)
        finally:
            try:
                run.keeper.close(run, outcome, error, evicted)
            finally:
                _leave(run, outcome, error, evicted)
                if chain is not None and not any(map(_is_asked, chain.descendants())):
                    chain.keeper.end(chain.id, "abandoned", evicted=evicted)


def _close(runs: list[Run], outcome: Outcome, evicted: str | None) -> None:
    """Close the spans of these runs, each of them also if a signal interrupts another one."""
    for number, run in enumerate(runs, start=1):
        try:
            if run.keeper.take(run):
                _give_up(run, evicted)
                run.keeper.close(run, outcome, None, evicted)
        except BaseException:
            _close(runs[number:], outcome, evicted)
            raise


_GIVEN_UP = ("cancelled", "abandoned")


def _give_up(run: Run, evicted: str | None) -> None:
    """Remember a chain whose steps may start late. The code of one that was only evicted goes on as before."""
    if run.kind in CHAINS and evicted is None:
        enclosing.give_up(run.number, enclosing.Gone(run.pipeline, run.conversation, run.is_node))


def _release(run: Run) -> None:
    """Leave the children of a completed run that are still running to its parent, or to themselves.

    A node may start a model call in a task or a thread and not wait for it.
    """
    for child in run.children:
        if not any(silent_ends.goes_on(each, run) for each in (child, *child.descendants())):
            continue
        run.remove_child(child)
        child.parent = None if run.parent is None or run.parent.implicit else run.parent
        if child.parent is not None:
            child.parent.add_child(child)
        else:
            child.keeper.add_root(child)


def _leave(run: Run, outcome: Outcome, error: BaseException | None, evicted: str | None) -> None:
    """Remove an ended run from its tree, and end the runs that end with it."""
    parent, run.parent = run.parent, None
    run.below, run.fallbacks = None, NOTHING
    run.tree.touched = run.keeper.now()
    if parent is None:
        return
    parent.remove_child(run)
    if run.ending.failed:
        parent.ending.remember(run.ending.failed)
    if outcome == "abandoned":
        parent.ending.left = True
    if parent.fallbacks and run.id in parent.fallbacks:
        parent.fallbacks = {id: each for id, each in parent.fallbacks.items() if each is not run}
    # What says with an `Exception` that it was cancelled is tried again like a failure.
    has_failed = outcome == "failed" or (outcome == "cancelled" and issubclass(type(error), Exception))
    if has_failed or (outcome == "cancelled" and run.kind in CHAINS):
        attempts.note(run, parent)  # LangGraph cancels a node and a task whose time is over, and may try it again
    elif outcome == "completed" and parent.failed_attempts:
        attempts.forget(run, parent)
    if has_failed:
        call = attempts.call_around(parent, run.enclosing_id)
        if call is not None:
            call.ending.failures += 1
    if parent.implicit:
        _leave_pipeline(parent, run.ending, evicted)
    elif outcome == "abandoned" and parent.has_fallbacks:
        # Workaround: if the consumer leaves at the first chunk, a call with fallbacks gets no end event
        # (langchain-core 1.7 to 1.8). Can go when it gets one.
        parent.keeper.end(parent.id, "abandoned", evicted=evicted)


def _leave_pipeline(pipeline: Run, ending: Ending, evicted: str | None) -> None:
    """Give the pipeline around calls without a parent the worst of their outcomes, and end it with the last one."""
    if _SEVERITY.index(ending.outcome) >= _SEVERITY.index(pipeline.ending.outcome):
        pipeline.ending.outcome, pipeline.ending.error_type = ending.outcome, ending.error_type
        pipeline.ending.counted = ending.outcome == "failed"  # the span of the call stands for the failure
    if not pipeline.below:
        pipeline.keeper.complete(pipeline)
        pipeline.keeper.close(pipeline, pipeline.ending.outcome, None, evicted)


def end_batch(run: Run) -> None:
    """End the runs that started together with a run that has just failed, if LangChain will not end them.

    The sync `generate` with several prompts stops at the first one that fails and never ends the others.
    """
    if run.parent is not None and run.parent.implicit and silent_ends.is_current(run):
        for sibling in run.parent.children:
            if sibling is not run:
                sibling.keeper.end(sibling.id, "cancelled")


def is_read_on(run: Run, outcome: Outcome) -> bool:
    """Have a run end later, if the consumer of a sync chain has left, and there are models whose streams it holds.

    LangChain reports the chain as completed, and a call with fallbacks as closed, before it closes what is in it: the
    parser behind a model then reads what the model has to say, to record what it has read (langchain-core 1.0 to 1.8).
    So the model's usage is known. A call that has used a fallback keeps the failure, which keeps the streams until
    garbage is collected: nobody waits for that.

    Returns:
        Whether the run ends with the last of these streams.
    """
    if run.ending.read_on or run.kind not in CHAINS:
        return False
    within = run.descendants()
    if not any(map(_is_asked, within)) or any(each.has_fallbacks and each.ending.failures for each in (run, *within)):
        return False
    if run.keeper.is_left() is False if outcome == "completed" else not _is_left_fallback(run, outcome):
        return False
    run.tree.read_on = run.ending.read_on = True
    return any(map(_is_asked, run.descendants()))  # a thread may have ended the last one just now


def _is_left_fallback(run: Run, outcome: Outcome) -> bool:
    """Whether the consumer has left a sync call with fallbacks."""
    return outcome == "abandoned" and run.has_fallbacks and (run.tree.read_on or _is_sync(run))


def _read_on_around(run: Run) -> Run | None:
    """The nearest chain around a run that ends with what is read on in it."""
    around = run.parent
    while around is not None and not around.ending.read_on:
        around = around.parent
    return around


def _is_asked(run: Run) -> bool:
    """Whether a run is that of a model, whose stream or call somebody still holds.

    Garbage collection forgets the call first, and then closes its stream or, after all, ends its run.
    """
    watch = run.call_watch
    return run.call is not None and watch is not None and (watch() is not None or interpreter.is_in_collection())


def was_left(run: Run) -> bool:
    """Whether the consumer left a chain that LangChain reports as completed.

    Workaround: if the consumer of a chain leaves, LangChain reports the chain as completed (langchain-core 1.0 to 1.8).
    It does so while the chain is being closed. Can go when LangChain reports such a chain as closed early.
    """
    if run.ending.left and isinstance(sys.exc_info()[1], GeneratorExit):
        return True
    if run.parent is not None and not run.below:
        return False  # as most chains in others, which are left with these
    is_left = run.keeper.is_left()
    return is_left or (is_left is None and any(each.call is not None for each in run.descendants()))


def _is_sync(run: Run) -> bool:
    """Whether a run is a root that was called by a sync method, as far as that is known.

    A sync chain may be closed elsewhere than it was begun: Starlette reads in threads, and closes in a task.
    """
    return run.parent is None and (run.task is None or (run.call_watch is not None and run.call_watch.is_sync))
