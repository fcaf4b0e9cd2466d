"""The live runs of all handlers, to be found by their id: from the code inside them, and by other handlers."""

from __future__ import annotations

from uuid import UUID

from .run import Run

_runs: dict[UUID, Run] = {}

started_elsewhere: set[UUID] = set()
"""Live models whose start LangChain signals in a context that is not theirs: completion models on the async ways."""

claims: dict[UUID, int] = {}
"""Ids of runs that are about to start, and the threads where they do."""

get = _runs.get
"""The live run of an id, or `None`."""


def any_live() -> bool:
    """Whether a handler of ours follows any run now."""
    return bool(_runs)


def add(run: Run) -> None:
    """A run has started."""
    _runs[run.id] = run


def discard(run: Run) -> None:
    """A run has ended."""
    started_elsewhere.discard(run.id)
    if _runs.get(run.id) is run:
        _runs.pop(run.id, None)


def forget(runs: dict[UUID, Run]) -> None:
    """Forget these runs: in a forked process they are the parent process's."""
    for run in list(runs.values()):
        discard(run)
