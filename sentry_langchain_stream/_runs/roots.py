"""What stands above a run without a live parent: whom it is told to, what of it may be recorded, where it hangs."""

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
from .run import Run, Start
from .settings import Settings


class Roots:
    """Makes what stands above a run without a live parent.

    Args:
        settings: The user's settings.
        now: The monotonic clock, in seconds.
    """

    def __init__(self, settings: Settings, now: Callable[[], float]) -> None:
        self._settings = settings
        self._now = now
        # The calls of several prompts of which not all have started, each with what its runs share: kept, so that
        # nothing else can come to have its identity.
        self._batches: dict[tuple[int, int] | None, tuple[object, Run]] = {}
        self._met: Callable[[], object | None] = _nobody
        """The Sentry client that was met last, by a weak reference."""

    def above(self, start: Start, runs: silent_ends.Followed) -> Run | None:
        """The pipeline that stands above a run, below the active span if there is one.

        Args:
            start: The start of the run.
            runs: What it belongs to, and is to end with when the process exits.

        Returns:
            A run that is none of LangChain's, or `None` if there is no Sentry client that sends.
        """
        together = (get_ident(), id(start.shared))
        if start.batch > 1 and together in self._batches:
            _, begun = self._batches[together]
            if len(begun.children) == start.batch - 1:
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
        pipeline = names.pipeline(settings.pipeline_name, start.metadata, sentry_pipeline_name(), start.name)
        # It has the id of what stands below it, as it is no run and not in the map.
        top = Run(start.id, "pipeline", pipeline, backend, policy, anchor=active, inside=active, implicit=True)
        top.tree.scopes = current_scopes()
        top.tree.touched = self._now()  # before anybody can see it: another thread may be looking for idle trees
        top.recording = active is None or backend.recording(active)
        if start.batch > 1:
            top.tree.batch = together
            self._batches[together] = start.shared, top
        return top

    def _meet(self, client: object, runs: silent_ends.Followed) -> None:
        """Get ready for a client that was not met last."""
        silent_ends.process(runs)
        with contained("start of the senders"):
            start_senders(client, metrics=self._settings.metrics)
            self._met = ref(client)

    def complete(self, top: Run) -> None:
        """Of a call of several prompts no further ones are going to start below what stands above them."""
        self._batches.pop(top.tree.batch, None)

    def forget(self) -> None:
        """Forget whom we have met: in a forked process the client's threads are the parent's."""
        self._batches.clear()
        self._met = _nobody


def _nobody() -> None:
    """A reference to no client."""
