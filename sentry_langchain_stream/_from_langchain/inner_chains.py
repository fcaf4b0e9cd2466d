"""The short way for a chain below a chain, of which nothing is sent: most chains are the steps of another one.

Such a chain has a record like every run, so that what happens inside it is found and ends with it. But its start says
nothing that is not known of its parent, there is no span to open, and no end to report. `StepRuns` treats a chain that
is in any way another one, and the two give the same record: tests/properties/test_inner_chains.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from sys import modules
from threading import get_ident
from typing import Any
from uuid import UUID

from .._content.labels import CONVERSATION
from .._runs import enclosing
from .._runs.live_runs import LiveRuns
from .._runs.numbers import number
from .._runs.run import Run
from .._runtime import interpreter
from .._to_sentry import asking, sentrys_hooks
from . import call_stack, executors, inside, internals, left_streams, marks, same_ids, starters


class InnerChains:
    """Starts and ends chains that have a parent and no span.

    Args:
        runs: The live runs.
    """

    def __init__(self, runs: LiveRuns) -> None:
        settings = runs.settings
        self._runs = runs
        self._live = runs.get
        self._pop = runs.pop
        self._count, self._most = runs.count, settings.max_live_runs
        self._telling = frozenset((*settings.metadata_keys, *CONVERSATION, *marks.OF_GRAPHS))
        # With these settings a chain has a span, or its metadata say whose it is.
        self._are_any = not settings.chains and settings.user_key is None

    def start(
        self, id: UUID, parent_id: UUID | None, metadata: Mapping[str, Any] | None, kwargs: Mapping[str, Any]
    ) -> bool:
        """Start a run, if it is such a chain. Call it from the hook itself: it looks at what has called the hook.

        Returns:
            Whether it is one. Else nothing has been done.
        """
        if parent_id is None or not self._are_any or (metadata and not self._says_nothing(metadata)):
            return False
        if (again := same_ids.again) and (id in again or parent_id in again):
            return False
        parent, config, name = self._live(number(parent_id)), internals.enclosing_config(), kwargs.get("name")
        if parent is None or parent.has_fallbacks or parent.fallbacks or self._count() >= self._most:
            return False
        if not config or getattr(config.get("callbacks"), "parent_run_id", None) is not parent_id:
            return False  # somebody else's run is around this one, or LangChain does not say
        if (
            (hints := inside.hints())
            and inside.is_any_live(hints)
            and inside.leaf_below(parent_id, parent_id) is not None
        ):
            return False
        if (configurable := config.get("configurable")) and not self._says_nothing(configurable):
            return False
        if parent.is_node and parent.name in marks.WRAPPED_NODES:  # it may be middleware
            return False
        if not marks.is_step(name, kwargs.get("tags")) or kwargs.get("run_type") in _NO_STEPS:
            return False
        if (
            metadata
            and "langgraph_triggers" in metadata
            # A task may be tried again, and a graph has a question. Metadata name graphs since langgraph 1.1.4 only.
            and (
                marks.is_task(name, metadata)
                or starters.graph() is not None
                or enclosing.node_of(metadata.get("langgraph_checkpoint_ns"), parent) is not None
            )
        ):
            return False
        if call_stack.FALLBACKS in modules and call_stack.starts_fallbacks():
            return False
        if (executors.MODULE in modules and executors.starting() is not None) or (asking.ever and asking.is_asking()):
            return False
        if sentrys_hooks.under_way and sentrys_hooks.is_inside():
            return False
        return self._add(id, name, parent)

    def _says_nothing(self, metadata: object) -> bool:
        return type(metadata) is dict and self._telling.isdisjoint(metadata)

    def _add(self, id: UUID, name: str | None, parent: Run) -> bool:
        here, claims, own = get_ident(), enclosing.claims, number(id)  # see `same_ids.starting`
        if claims.setdefault(own, here) != here:
            return False
        try:
            if enclosing.get(own) is not None:
                return False
            tree = parent.tree
            if not tree.lock.acquire(blocking=False):
                return False
            try:
                if enclosing.get(parent.number) is not parent:
                    return False  # another thread has just ended it
                place = parent.place
                run = Run(
                    id=id,
                    number=own,
                    kind="chain",
                    pipeline=parent.pipeline,
                    policy=parent.policy,
                    # Several chains without a span share a place.
                    place=place if place.span is None and parent.kind == "chain" else place.below(nests=place.nests),
                    keeper=self._runs,
                    tree=tree,
                )
                run.name, run.parent = name, parent
                run.agent, run.attempt, run.fallback = parent.agent, parent.attempt, parent.fallback
                run.conversation = tree.conversation or parent.conversation
                run.prompt = parent.prompt
                run.enclosing_id = parent.id
                if leavings := tree.leavings:
                    before = parent.ending.leavings_before if left_streams.is_read_on() else leavings
                    run.ending.leavings_before = before
                self._runs.add(run)
                if parent.below is None:  # as mostly; a function call for it would be a part of what a chain costs
                    parent.below = run
                else:
                    parent.add_child(run)
                tree.touched = self._runs.now()
            finally:
                tree.lock.release()
        finally:
            claims.pop(own, None)
        return True

    def end(self, run: Run) -> bool:
        """End a run that has completed, if it is such a chain and nothing inside it is open.

        Returns:
            Whether it is one. Else nothing has been done.
        """
        parent = run.parent
        if (
            parent is None
            or parent.implicit
            or run.kind != "chain"
            or run.place.span is not None
            or run.is_node
            or run.has_fallbacks
            or run.scope is not None
            or run.ending.left
            or parent.has_fallbacks
            or (interpreter.collecting and interpreter.is_collecting())
        ):
            return False
        lock = run.tree.lock
        if not lock.acquire(blocking=False):
            # Whoever has it may wait for what this thread was doing when garbage was collected, see `LiveRuns.end_run`.
            return False
        try:
            if run.below is not None or run.parent is not parent or run.keeper is not self._runs:
                return False
            enclosing.discard(run)  # all that `LiveRuns.take` does of a run without a scope and a call
            if self._pop(run.number, None) is not None:
                run.parent = None
                if parent.below is run:
                    parent.below = None
                else:
                    parent.remove_child(run)
                if run.ending.failed:
                    parent.ending.remember(run.ending.failed)
                run.tree.touched = self._runs.now()
        finally:
            lock.release()
        return True


_NO_STEPS = ("prompt", "llm")
"""What LangChain says of a chain that is a prompt, or a decision model."""
