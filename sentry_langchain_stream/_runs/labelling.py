"""Sets what the application says of a run that is recorded: tags and metadata, the user, the prompt."""

from __future__ import annotations

from collections.abc import Mapping

from .._content.labels import CONVERSATION, conversation_id, user_labels
from .._content.policy import Policy
from .._content.prompts import prompt_attributes
from .._runtime.containment import contained
from .._vocabulary.keys import METADATA, PROMPT_NAME, PROMPT_VERSION, TAGS, USER
from . import prompts, users
from .run import Keeper, Run
from .settings import Settings
from .start import Said, Start
from .vetoes import redact_of


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


def read(start: Start, keeper: Keeper, policy: Policy, parent: Run | None, taken_over: Run | None = None) -> Said:
    """Read what the application says of a run that is about to start.

    Call it without the lock: it calls the user's `redact`, and reads the application's objects.

    Args:
        start: The start of the run.
        keeper: The live runs of the handler that records it.
        policy: What may be recorded of it.
        parent: Its parent, if it has one.
        taken_over: The run, if another handler has recorded its start.
    """
    labels: Mapping[str, str | list[str]] = {}
    labels_above: Mapping[str, str | list[str]] = {}
    user = user_above = None
    prompt: Mapping[str, str] = {}
    keys, user_key = keeper.settings.metadata_keys, keeper.settings.user_key
    above = parent if parent is not None and parent.id == start.configured_by else None
    with contained("labels"):
        labels = user_labels(start.tags, start.metadata, keys, policy)
        if above is not None:
            missing = [key for key in keys if METADATA + key not in above.labels]
            labels_above = user_labels((), start.configured, missing, above.policy)
    if user_key is not None or taken_over is not None:
        with contained("user"):
            if user_key is not None:
                before = (*taken_over.seen_by, taken_over.keeper) if taken_over is not None else ()
                user, user_above = users.read(start, user_key, redact_of((*before, keeper)), above)
            elif taken_over is not None:
                user = users.read_again(taken_over, redact_of((keeper,)))
    if start.prompt is not None:
        with contained("prompt"):
            prompt = prompt_attributes(
                start.prompt, parent.policy if start.is_prompt and parent is not None else policy
            )
    return Said(labels, labels_above, user, user_above, prompt)


def label(run: Run, start: Start) -> None:
    """Label a run that starts with what was read.

    Args:
        run: The run.
        start: Its start.
    """
    parent = run.parent
    if start.said is not None:
        run.labels = {**run.labels, **start.said.labels} if run.labels else start.said.labels
        if start.said.user is not None:
            users.name(run, start.said)
    if start.is_prompt or start.prompt is not None or (parent is not None and parent.prompt is not None):
        with contained("prompt"):
            prompts.carry(run, start, parent)


def hand_over(run: Run, settings: Settings) -> None:
    """Drop what another handler has to read again, under its own settings, of a run that it takes over.

    Args:
        run: The run.
        settings: The settings of that handler.
    """
    remaining = {PROMPT_NAME, PROMPT_VERSION} | ({USER} if settings.redact is None else set())
    before, place = run.labels, run.place
    run.labels = {key: value for key, value in before.items() if key in remaining}
    if place.span is not None and len(run.labels) < len(before):
        with contained("labels"):
            place.backend.forget(place.span, before.keys() - remaining)


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


def complete(parent: Run, start: Start) -> None:
    """Add to a run what the config says that its first child is started with: its own start came before.

    Args:
        parent: The run.
        start: The start of the child.
    """
    own, tree = conversation_id(start.configured), parent.tree
    if own is not None and tree.conversation is None and own not in (parent.conversation, tree.overruled):
        if parent.conversation is None or (_is_copied(parent.conversation, parent) and own == _by_thread(start)):
            parent.conversation = own
        else:
            tree.overruled = own
    if parent.place.recording and start.said is not None:
        parent.labels = {**start.said.labels_above, **parent.labels}
