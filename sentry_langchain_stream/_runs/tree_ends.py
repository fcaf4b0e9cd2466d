"""Ends a run and what ends with it: its descendants, and the pipeline or the call with fallbacks around it."""

from __future__ import annotations

from functools import partial

from .._runtime.containment import contain
from . import attempts, enclosing, silent_ends
from .ending import Ending
from .kinds import CHAINS, NOTHING, Later, Outcome
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
    """End a run, and first every descendant that is still open, unless another caller has ended it.

    What may call a hook of the application's is done when the lock is free again: the hook may wait for a lock of the
    application's, and whoever has that may be calling a model in the same tree.
    """
    later: Later = []
    try:
        with run.tree.lock:
            if not run.keeper.take(run):
                return
            try:
                if outcome == "completed" and run.below:
                    _release(run)
                if outcome in _GIVEN_UP:
                    _give_up(run)
                if run.below:
                    _close(run.descendants(), _INHERITED[outcome], evicted, later)
            finally:
                try:
                    run.keeper.close(run, outcome, error, evicted, later)
                finally:
                    _leave(run, outcome, error, evicted, later)
                    if later:
                        silent_ends.handing_on.add(id(later))
    finally:
        if later:
            try:
                _do(later)
            finally:
                silent_ends.handing_on.discard(id(later))


def ask_and_end(run: Run, outcome: Outcome, error: BaseException | None, evicted: str | None) -> None:
    """The same, for runs of which the user's functions are to be asked something first, see `Keeper.ask`."""
    try:
        with run.tree.lock:
            ending = [run]
            for child in run.children:
                if outcome != "completed" or not _goes_on(child, run):
                    ending += (child, *child.descendants())
        for each in ending:
            if each.call is not None:
                each.keeper.ask(each.call, each.policy)
    finally:  # a signal may interrupt them
        end(run, outcome, error, evicted)


def _close(runs: list[Run], outcome: Outcome, evicted: str | None, later: Later) -> None:
    """Close the spans of these runs, each of them also if a signal interrupts another one."""
    for number, run in enumerate(runs, start=1):
        try:
            if run.keeper.take(run):
                _give_up(run)
                run.keeper.close(run, outcome, None, evicted, later)
        except BaseException:
            _close(runs[number:], outcome, evicted, later)
            raise


def _do(later: Later) -> None:
    """Do what has waited for the lock to be free, in that order, each also if a signal interrupts another one."""
    try:
        while later:
            try:
                later.pop(0)()
            except Exception as error:
                contain("backend.finish", error)
    finally:
        if later:
            _do(later)


_GIVEN_UP = ("cancelled", "abandoned")


def _give_up(run: Run) -> None:
    """Remember a chain whose steps may start late. The code of one that was only evicted certainly goes on."""
    if run.kind in CHAINS:
        enclosing.give_up(run.number, enclosing.Gone(run.pipeline, run.conversation, run.is_node))


def _release(run: Run) -> None:
    """Leave the children of a completed run that are still running to its parent, or to themselves.

    A node may start a model call in a task or a thread and not wait for it.
    """
    for child in run.children:
        if not _goes_on(child, run):
            continue
        run.remove_child(child)
        child.parent = None if run.parent is None or run.parent.implicit else run.parent
        if child.parent is not None:
            child.parent.add_child(child)
        else:
            child.keeper.add_root(child)


def _goes_on(child: Run, run: Run) -> bool:
    """Whether a child of a run that has completed goes on without it."""
    return any(silent_ends.goes_on(each, run) for each in (child, *child.descendants()))


def _leave(run: Run, outcome: Outcome, error: BaseException | None, evicted: str | None, later: Later) -> None:
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
        _leave_pipeline(parent, run.ending, evicted, later)
    elif parent.has_fallbacks and (outcome == "abandoned" or (parent.ending.is_over and not parent.below)):
        # Workaround: if the consumer leaves at the first chunk, a call with fallbacks gets no end event
        # (langchain-core 1.7 to 1.8). Can go when it gets one.
        later.append(partial(parent.keeper.end, parent.id, "abandoned", evicted=evicted))


def _leave_pipeline(pipeline: Run, ending: Ending, evicted: str | None, later: Later) -> None:
    """Give the pipeline around calls without a parent the worst of their outcomes, and end it with the last one."""
    if _SEVERITY.index(ending.outcome) >= _SEVERITY.index(pipeline.ending.outcome):
        pipeline.ending.outcome, pipeline.ending.error_type = ending.outcome, ending.error_type
        pipeline.ending.counted = ending.outcome == "failed"  # the span of the call stands for the failure
    if not pipeline.below:
        pipeline.keeper.complete(pipeline)
        pipeline.keeper.close(pipeline, pipeline.ending.outcome, None, evicted, later)


def end_batch(run: Run) -> None:
    """End the runs that started together with a run that has just failed, if LangChain will not end them.

    The sync `generate` with several prompts stops at the first one that fails and never ends the others.
    """
    if run.parent is not None and run.parent.implicit and silent_ends.is_current(run):
        for sibling in run.parent.children:
            if sibling is not run:
                sibling.keeper.end(sibling.id, "cancelled")
