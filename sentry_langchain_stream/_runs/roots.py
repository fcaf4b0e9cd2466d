"""Makes the parent of a run without a live parent: its client, its policy and its position in the current trace."""

from __future__ import annotations

from collections.abc import Callable, Collection
from threading import get_ident
from typing import Any
from weakref import ref

from .._content.labels import own_tags
from .._content.policy import NOTHING, Policy
from .._runtime.containment import contained
from .._to_sentry import held_issues, issues, moved_spans, transaction_size
from .._to_sentry.client import (
    allowed_content,
    choose_backend,
    current_client,
    current_scopes,
    has_sampler,
    longest_text,
    sentry_pipeline_name,
    start_senders,
)
from .._to_sentry.conversations import scope_conversation_id
from .._vocabulary import names
from . import silent_ends, watches
from .numbers import Number
from .places import Place, Tree, no_client
from .run import Keeper, Others, Run
from .settings import Settings
from .start import Start


class Roots:
    """Makes the pipeline that is the parent of a run without a live parent.

    Args:
        settings: The user's settings.
        now: The monotonic clock, in seconds.
        others: Returns further settings whose vetoes hold with a client, if there are any.
    """

    def __init__(self, settings: Settings, now: Callable[[], float], others: Others | None = None) -> None:
        self._settings = settings
        self._now = now
        self._others = others
        # Calls with several prompts that have not all started yet. The object that their runs share is kept alive, so
        # that no other object gets its `id()`.
        self._batches: dict[tuple[int, int] | None, tuple[object, Run]] = {}
        self._last_client: Callable[[], object | None] = no_client
        """A weak reference to the last Sentry client."""

    def policy(self, client: Any) -> Policy:
        """Decide what this client and the user's settings allow to be recorded."""
        allowed = allowed_content(client)
        if not any(allowed):
            return NOTHING
        own = decided(client, allowed, self._settings)
        others = self._others(client) if self._others is not None else None
        return own if others is None else decided(client, allowed, others).and_(own)

    def parent(self, start: Start, own: Number, runs: Keeper) -> Run | None:
        """Make the pipeline that becomes the parent of a run. It is a child of the active span if there is one.

        Args:
            start: The start of the run.
            own: The number of the run.
            runs: The live runs that the run belongs to. They are ended when the process exits.

        Returns:
            A run that LangChain does not know, or `None` if no Sentry client would send its span.
        """
        together = (get_ident(), id(start.shared)) if start.batch_size > 1 else None
        if together is not None and together in self._batches:
            _, begun = self._batches[together]
            if len(begun.children) == start.batch_size - 1:
                del self._batches[together]
            return begun
        client = current_client()
        if not client.is_active():
            return None
        if self._last_client() is not client:
            self.prepare(client, runs)
        backend = choose_backend(client)  # each time: tracing may be switched on while the process runs
        scopes = current_scopes()
        active = backend.current(scopes[0])
        pipeline = names.pipeline(
            configured=self._settings.pipeline_name,
            metadata=start.pipeline_name,
            sentry=sentry_pipeline_name() if self._settings.pipeline_name is None else None,
            run=start.name or start.agent_name,
        )
        tree = Tree()
        root = Run(
            id=start.id,  # this placeholder is never registered, so it may borrow its child's id
            number=own,
            kind="pipeline",
            pipeline=pipeline,
            policy=self.policy(client),
            place=Place(
                backend=backend,
                anchor=active,
                recording=active is None or backend.recording(active),
                nests=self._settings.nesting,
            ),
            keeper=runs,
            tree=tree,
        )
        root.implicit = True
        tree.scopes, tree.client = scopes, self._last_client
        if active is None:
            tree.outside = backend.outside()
        tree.watches = watches.current()
        tree.conversation = scope_conversation_id(scopes[0])
        root.conversation = tree.conversation or start.conversation_id
        if active is None and has_sampler(client):
            tree.sampling = {"langchain_run": sampled_by(start, pipeline, self._settings.metadata_keys)}
        tree.touched = self._now()  # before another thread sees the run and checks whether it is idle
        if together is not None:
            tree.batch = together
            self._batches[together] = start.shared, root
        return root

    def prepare(self, client: object, runs: Keeper) -> None:
        """Prepare for a client if it differs from the last one, and look at what it sends."""
        if self._last_client() is client:
            return
        issues.watch(held_issues.reported)
        silent_ends.process(runs)
        transaction_size.watch()
        moved_spans.install()
        with contained("start of the senders"):
            start_senders(client, metrics=self._settings.metrics)
            self._last_client = ref(client)

    def complete(self, root: Run) -> None:
        """Record that no further prompt of this call will start."""
        self._batches.pop(root.tree.batch, None)

    def forget(self) -> None:
        """Forget the client. Its threads do not exist in a forked process."""
        self._batches.clear()
        self._last_client = no_client


def decided(client: Any, allowed: tuple[bool, bool], settings: Settings) -> Policy:
    """Return what a client and the settings of one handler allow to be recorded.

    Args:
        client: The client.
        allowed: Whether it allows inputs, and outputs: `client.allowed_content`.
        settings: The settings.
    """
    return Policy.decide(
        client_inputs=allowed[0],
        client_outputs=allowed[1],
        include_prompts=settings.include_prompts,
        redact=settings.redact,
        limits=settings.limits,
        longest=longest_text(client),
    )


def sampled_by(start: Start, pipeline: str, keys: Collection[str]) -> dict[str, Any]:
    """Return what a `traces_sampler` gets of a root run, as `sampling_context["langchain_run"]`. None of it is sent.

    Args:
        start: The start of the run.
        pipeline: The pipeline's name.
        keys: The keys of the metadata that the user chose.
    """
    return {
        "operation": "invoke_agent" if start.kind == "agent" else start.operation,
        "model": start.model,
        "pipeline": pipeline,
        "tags": own_tags(start.tags),
        "metadata": {key: start.metadata[key] for key in keys if key in start.metadata},
    }
