"""Ends runs whose end LangChain never signals: when too many are live, or when one is idle for too long."""

from __future__ import annotations

from collections import deque

from .numbers import Number
from .run import Keeper, Run

_LEFT = 30.0
"""Seconds in which a tree may be idle whose consumer has left. It ends with what it reads from, if nobody keeps that:
what the scopes of its request have may, and these it keeps itself."""


class Eviction:
    """Enforces `max_live_runs` and `max_idle_seconds`.

    Args:
        live: The live runs of one handler, whose settings have these limits.
        runs: The same runs by number, oldest first.
    """

    def __init__(self, live: Keeper, runs: dict[Number, Run]) -> None:
        self._settings = live.settings
        self._now = live.now
        self._end = live.end
        self._runs = runs
        # The numbers of runs without a live parent, those checked longest ago first. `sweep` removes ended ones.
        self._roots: deque[Number] = deque()

    def add(self, run: Run) -> None:
        """Add a run that has no live parent."""
        self._roots.append(run.number)

    def make_room(self) -> None:
        """End the oldest trees if `max_live_runs` is reached."""
        while len(self._runs) >= self._settings.max_live_runs:
            try:
                oldest = next(iter(self._runs.values()))
            except (StopIteration, RuntimeError):  # another thread changed it first
                return
            root = oldest.root()
            for run_id in [each.id for each in root.children] if root.implicit else [root.id]:
                self._end(run_id, "abandoned", evicted="limit")
            self._end(oldest.id, "abandoned", evicted="limit")

    def sweep(self) -> None:
        """End trees that have been idle for too long. Each call checks two trees at most, in rotation."""
        for _ in range(min(2, len(self._roots))):
            try:
                number = self._roots.popleft()
            except IndexError:  # another thread changed it first
                return
            run = self._runs.get(number)
            if run is None:
                continue
            longest = self._settings.max_idle_seconds
            if run.ending.leaving or run.ending.is_over:
                longest = min(longest, _LEFT)
            if self._now() - run.tree.touched > longest and self._now() - run.root().active_at() > longest:
                self._end(run.id, "abandoned", evicted="idle")
            else:
                self._roots.append(number)

    def forget(self) -> None:
        """Forget all runs."""
        self._roots.clear()
