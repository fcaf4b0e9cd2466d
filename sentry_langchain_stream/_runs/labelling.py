"""Sets what the application says of a run that is recorded: tags and metadata, the user, the prompt."""

from __future__ import annotations

from .._content.labels import user_labels
from .._runtime.containment import contained
from . import prompts, users
from .run import Run
from .settings import Settings
from .start import Start


def label(run: Run, start: Start, settings: Settings) -> None:
    """Label a run that starts.

    Args:
        run: The run.
        start: Its start.
        settings: The settings of its handler.
    """
    parent = run.parent
    if run.policy.inputs:
        with contained("labels"):
            run.labels = user_labels(start.tags, start.metadata, settings.metadata_keys, run.policy)
    if settings.user_key is not None:
        with contained("user"):
            users.name(run, start, settings)
    if start.is_prompt or start.prompt is not None or (parent is not None and parent.prompt is not None):
        with contained("prompt"):
            prompts.carry(run, start, parent)


def complete(parent: Run, start: Start, settings: Settings) -> None:
    """Add to a run what the config says that its first child is started with: its own start came before.

    Args:
        parent: The run.
        start: The start of the child.
        settings: The settings of the child's handler.
    """
    parent.conversation = parent.conversation or start.conversation_id
    if parent.place.recording and parent.policy.inputs:
        with contained("labels"):
            own = user_labels((), start.configured, settings.metadata_keys, parent.policy)
            parent.labels = {**own, **parent.labels}
