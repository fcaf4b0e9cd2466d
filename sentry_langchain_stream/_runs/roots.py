"""The parent of a run without a live parent: which client it is sent with, what may be recorded, its active span."""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from weakref import ref

from .._content.policy import Policy
from .._runtime.containment import contained
from .._to_sentry.client import (
    allowed_content,
    choose_backend,
    current_client,
    current_scopes,
    sentry_pipeline_name,
    start_senders,
)
from .._vocabulary import names
from . import silent_ends
from .run import Place, Run, Start
from .settings import Settings


class Roots:
    """Makes the pipeline that is the parent of a run without a live parent.

    Args:
        settings: The user's settings.
        now: The monotonic clock, in seconds.
    """

    def __init__(self, settings: Settings, now: Callable[[], float]) -> None:
        self._settings = settings
        self._now = now
        # The calls of several prompts of which not all have started, each with what its runs share: kept, so that
        # nothing else can get its identity.
        self._batches: dict[tuple[int, int] | None, tuple[object, Run]] = {}
        self._met: Callable[[], object | None] = _nobody
        """The Sentry client that was met last, by a weak reference."""

    def parent(self, start: Start, runs: silent_ends.Followed) -> Run | None:
        """The pipeline that becomes the parent of a run, and a child of the active span if there is one.

        Args:
            start: The start of the run.
            runs: What it belongs to, and is to end with when the process exits.

        Returns:
            A run that is none of LangChain's, or `None` if there is no Sentry client that sends.
        """
        together = (get_ident(), id(start.shared))
        if start.batch_size > 1 and together in self._batches:
            _, begun = self._batches[together]
            if len(begun.children) == start.batch_size - 1:
                del self._batches[together]
            return begun
        client = current_client()
        backend = choose_backend(client)
        if backend is None:
            return None
        if self._met() is not client:
            self._meet(client, runs)
        settings = self._settings
        inputs, outputs = allowed_content(client)
        policy = Policy.decide(
            client_inputs=inputs,
            client_outputs=outputs,
            include_prompts=settings.include_prompts,
            redact=settings.redact,
            limits=settings.limits,
        )
        active = backend.current()
        root = Run(
            id=start.id,  # this placeholder is never registered, so it may borrow its child's id
            kind="pipeline",
            pipeline=names.pipeline(
                configured=settings.pipeline_name,
                metadata=start.pipeline_name,
                sentry=sentry_pipeline_name(),
                run=start.name,
            ),
            policy=policy,
            place=Place(
                backend=backend,
                anchor=active,
                inside=active,
                recording=active is None or backend.recording(active),
            ),
            implicit=True,
        )
        root.tree.scopes = current_scopes()
        root.tree.touched = self._now()  # before another thread can see it and look for idle trees
        if start.batch_size > 1:
            root.tree.batch = together
            self._batches[together] = start.shared, root
        return root

    def _meet(self, client: object, runs: silent_ends.Followed) -> None:
        """Get ready for a client that is not the last one."""
        silent_ends.process(runs)
        with contained("start of the senders"):
            start_senders(client, metrics=self._settings.metrics)
            self._met = ref(client)

    def complete(self, root: Run) -> None:
        """No further prompts of this call are going to start."""
        self._batches.pop(root.tree.batch, None)

    def forget(self) -> None:
        """Forget the client: in a forked process its threads are the parent process's."""
        self._batches.clear()
        self._met = _nobody


def _nobody() -> None:
    """A reference to no client."""
