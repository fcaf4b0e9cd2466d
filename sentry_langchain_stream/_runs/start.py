"""What the start event of a run says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from .._content.policy import Policy
from .._content.prompts import NamedPrompt
from .call import Operation
from .kinds import RunKind, nothing


class Said(NamedTuple):
    """What the application says of a run, as far as it may be recorded. `redact` has seen it."""

    labels: Mapping[str, str | list[str]]
    """Tags and metadata, by attribute key."""
    labels_above: Mapping[str, str | list[str]]
    """What the config says of the run around it."""
    user: str | None
    """The user by its metadata."""
    user_above: str | None
    """The user by what the config says of the run around it."""
    prompt: Mapping[str, str]
    """The prompt that it is, or that its metadata names, by attribute key."""


@dataclass(slots=True, eq=False, repr=False)
class Start:
    """The start event of a run.

    Args:
        id: The run's id.
        parent_id: The id of its parent among LangChain's runs, which may be a run that this handler never saw.
        kind: The kind of the run.
        name: The run's name.
        tags: Its tags, including LangChain's own.
        metadata: Its metadata, including LangChain's own.
        enclosing_id: The id of the run that encloses this code, from LangChain's context.
        batch_size: How many model runs start together in one call.
        shared: An object that those runs share.
        pipeline_name: The pipeline's name from the metadata.
        agent_name: The agent's name from the metadata. It may be inherited from the enclosing agent.
        created_as: If it is an agent of `create_agent`, the name that it was given there, or an empty text.
        conversation_id: The id of the conversation, hashed unless it is opaque already.
        attempt: The number of the attempt, if this is a retry (2 or more).
        is_node: Whether it is a node of a graph.
        is_first: Whether it is a node of a graph that has just begun.
        is_middleware: Whether it is a node of the middleware of an agent, or called by it around the model.
        is_called_alone: Whether LangChain gives it no parent, though it is called in a model's or retriever's method.
        is_step: Whether it is a chain that is a step of another one: a prompt, a function or a parser in it.
        namespace: The id of the graph's task that runs it or what is around it, if it is in a graph; else anything.
        task: The same, if it is a node or a `@task` itself.
        has_fallbacks: Whether it is a call with fallbacks.
        configured: Values of the config that may be recorded or name the conversation. They are in the metadata too.
        configured_by: The run whose children get that config.
        operation: The operation, if it is a model.
        model: The model asked for, if it is a model and that is known from its metadata.
        given_id: LangChain's id of the run, if `id` is another one: see `same_ids`.
        is_prompt: Whether it is the run of a prompt.
        prompt: The prompt that it is, or that its metadata names.
        question: Reads its input, if it is a graph that is not known to be an agent yet, or may go on with an old one.
        said: What the application says of it that may be recorded, see `labelling.read`.
    """

    id: UUID
    parent_id: UUID | None
    kind: RunKind
    name: str | None = None
    tags: tuple[Any, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=nothing)
    enclosing_id: UUID | None = None
    # What follows is set where it is known: most starts say little of it.
    batch_size: int = field(init=False, default=1)
    shared: object = field(init=False, default=None)
    pipeline_name: str | None = field(init=False, default=None)
    agent_name: str | None = field(init=False, default=None)
    created_as: str | None = field(init=False, default=None)
    conversation_id: str | None = field(init=False, default=None)
    attempt: int | None = field(init=False, default=None)
    is_node: bool = field(init=False, default=False)
    is_first: bool = field(init=False, default=False)
    is_middleware: bool = field(init=False, default=False)
    is_called_alone: bool = field(init=False, default=False)
    is_step: bool = field(init=False, default=False)
    namespace: object = field(init=False, default=None)
    task: str | None = field(init=False, default=None)
    has_fallbacks: bool = field(init=False, default=False)
    configured: Mapping[str, Any] = field(init=False, default_factory=nothing)
    configured_by: UUID | None = field(init=False, default=None)
    operation: Operation | None = field(init=False, default=None)
    model: str | None = field(init=False, default=None)
    given_id: UUID | None = field(init=False, default=None)
    is_prompt: bool = field(init=False, default=False)
    prompt: NamedPrompt | None = field(init=False, default=None)
    question: Callable[[Policy, bool], str | None] | None = field(init=False, default=None)
    said: Said | None = field(init=False, default=None)
