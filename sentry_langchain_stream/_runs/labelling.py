"""Sets what the application says of a run that is recorded: tags and metadata, the user, the prompt."""

from __future__ import annotations

from .._content.labels import CONVERSATION, conversation_id, user_labels
from .._runtime.containment import contained
from .._vocabulary.keys import METADATA, TAGS, USER
from . import prompts, users
from .run import Run
from .settings import Settings
from .start import Start


def conversation(found: str, start: Start, run: Run) -> str:
    """Return the id of the conversation that a run belongs to which its config says something of.

    Args:
        found: The id by its metadata and its parent.
        start: Its start.
        run: The run.
    """
    thread = _by_thread(start)
    if run.parent is None or run.parent.implicit:
        run.tree.overruled = thread if thread != found else None  # by the metadata of the same call
    elif thread is not None and thread != run.tree.overruled and _is_copied(found, run.parent):
        return thread
    return found


def _is_copied(conversation: str, run: Run) -> bool:
    """Whether the id is that of a run around this one.

    LangGraph copies the `thread_id` of a graph into the metadata of all that is called inside, and there it stays, also
    where a graph or a chain is called inside with a `thread_id` of its own (langgraph 1.0 to 1.2).
    """
    while run.parent is not None:
        run = run.parent
        if run.conversation == conversation:
            return True
    return False


def _by_thread(start: Start) -> str | None:
    """The id of the conversation by the `thread_id` of the config, unless metadata say more."""
    thread = {key: start.configured[key] for key in _COPIED if key in start.configured}
    return conversation_id({**start.metadata, **thread}) if thread else None


_COPIED = CONVERSATION[-1:]
"""The key that LangGraph copies."""


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


def inherit(run: Run, around: Run) -> None:
    """Label a run that LangChain knows nothing of as the one around it: no config brings it tags and metadata.

    Args:
        run: The run, which has just started.
        around: The run that encloses it.
    """
    may_be_told = run.policy.inputs
    found = {
        key: value
        for key, value in around.labels.items()
        if key == USER or (may_be_told and (key == TAGS or key.startswith(METADATA)))
    }
    if found:
        run.labels = {**found, **run.labels}


def complete(parent: Run, start: Start, settings: Settings) -> None:
    """Add to a run what the config says that its first child is started with: its own start came before.

    Args:
        parent: The run.
        start: The start of the child.
        settings: The settings of the child's handler.
    """
    own, tree = conversation_id(start.configured), parent.tree
    if own is not None and tree.conversation is None and own not in (parent.conversation, tree.overruled):
        if parent.conversation is None or (_is_copied(parent.conversation, parent) and own == _by_thread(start)):
            parent.conversation = own
        else:
            tree.overruled = own
    if parent.place.recording and parent.policy.inputs:
        with contained("labels"):
            chosen = user_labels((), start.configured, settings.metadata_keys, parent.policy)
            parent.labels = {**chosen, **parent.labels}
