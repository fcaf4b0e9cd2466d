"""LangChain's and LangGraph's own marks on a run: what it belongs to, and how it ended.

The marks are in tags, metadata and the classes of exceptions. How LangGraph marks a node or an agent changes from
version to version, so they are read here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dis import opmap
from inspect import CO_ASYNC_GENERATOR
from typing import Any, TypeGuard
from uuid import UUID

from .._content.labels import CONVERSATION, conversation_id
from .._content.reading import field
from .._runs.kinds import Control, Outcome, RunKind
from .._runs.start import Start
from .._vocabulary.names import DEFAULT_AGENT

_NODE = "graph:step:"
_FIRST_NODE = f"{_NODE}1"
_HOOKS = (".before_agent", ".before_model", ".after_model", ".after_agent")
"""How the names end of the nodes that the middleware of `create_agent` has (langchain 1.0 to 1.5)."""
_REACT_HOOKS = ("pre_model_hook", "post_model_hook")
"""The names of such nodes of LangGraph's `create_react_agent` (langgraph 1.0 to 1.2)."""
MODEL_NODE, TOOLS_NODE = "model", "tools"
"""The nodes in which an agent of `create_agent` calls its model and its tools, as its middleware may any other model
(langchain 1.0 to 1.5). A node of any graph may have these names."""
WRAPPED_NODES = (MODEL_NODE, TOOLS_NODE)
_AGENTS = ("langchain_create_agent", "deepagents")
"""How `ls_integration` begins for an agent of `create_agent` (langchain 1.2.13 and newer)."""
_ATTEMPT = "retry:attempt:"
_DIGITS = 10
_WITH_FALLBACKS = "RunnableWithFallbacks"
_GRAPHS = ("langgraph", *_AGENTS)
"""How `ls_integration` begins for a graph."""
OF_GRAPHS = ("ls_integration", "lc_agent_name")
"""The keys of metadata that graphs are known by."""
_STEP = ("seq:step:", "map:key:")
"""How the tag of a chain begins that is a step of a sequence, or a branch of a parallel."""


def read_start(
    kind: RunKind,
    id: UUID,
    parent_id: UUID | None,
    metadata: Mapping[str, Any] | None,
    kwargs: Mapping[str, Any],
    *,
    enclosing_id: UUID | None = None,
    configured: Mapping[str, Any] | None = None,
    configured_by: UUID | None = None,
    has_fallbacks: bool = False,
) -> Start:
    """Read all that the start of a run says about it.

    Args:
        kind: What runs. A chain that is marked as a graph becomes an agent.
        id: The run's id.
        parent_id: The id of its parent, as LangChain gives it.
        metadata: The run's metadata.
        kwargs: What else LangChain hands to the start: name, tags, batch size, invocation parameters.
        enclosing_id: The run that LangChain's context names. It stands in where a run arrives without its parent.
        configured: Values of the config that count as metadata.
        configured_by: The run whose children get that config.
        has_fallbacks: Whether `RunnableWithFallbacks` starts this run.
    """
    metadata = {**configured, **(metadata or {})} if configured else metadata or {}
    name, given = _text(kwargs.get("name")), kwargs.get("tags")
    tags = tuple([_plain(tag) for tag in given if _is_text(tag)]) if given else ()
    node = bool(tags) and is_node(tags)
    if kind == "chain" and not node and is_graph(name, metadata):
        kind = "agent"
    start = Start(id, parent_id or enclosing_id, kind, name, tags, metadata, enclosing_id)
    start.batch_size, start.shared = kwargs.get("batch_size") or 1, kwargs.get("invocation_params")
    start.has_fallbacks = has_fallbacks or (name is not None and name.startswith(_WITH_FALLBACKS))
    if tags:
        start.attempt, start.is_node = attempt(tags), node
        if node:
            start.is_first = _FIRST_NODE in tags
            start.is_middleware = name is not None and (name.endswith(_HOOKS) or name in _REACT_HOOKS)
        start.is_step = kind == "chain" and any(tag.startswith(_STEP) for tag in tags)
    if metadata:
        _read_metadata(start, metadata)
    if configured:
        start.configured, start.configured_by = configured, configured_by
    return start


def _read_metadata(start: Start, metadata: Mapping[str, Any]) -> None:
    if not _TELLING.isdisjoint(metadata):
        start.pipeline_name = _text(metadata.get("pipeline_name"))
        start.agent_name = _text(metadata.get("lc_agent_name"))
        start.conversation_id = conversation_id(metadata)
    start.namespace = metadata.get("langgraph_checkpoint_ns")
    if start.is_node or (start.kind == "chain" and is_task(start.name, metadata)):
        start.task = _text(start.namespace)
    if start.kind == "model":
        start.model = _text(metadata.get("ls_model_name"))


_TELLING = frozenset(("pipeline_name", "lc_agent_name", *CONVERSATION))
"""The keys of metadata that say whose a run is."""


def is_step(name: object, tags: object) -> bool:
    """Whether the name and the tags of a chain, as LangChain gives them, say no more than that it is a step."""
    if type(name) is not str or name in ("", DEFAULT_AGENT) or name.startswith(_WITH_FALLBACKS):
        return False
    if not tags:
        return True
    return type(tags) is list and len(tags) == 1 and type(tags[0]) is str and tags[0].startswith(_STEP)


def is_node(tags: Sequence[Any]) -> bool:
    """Whether a run is a node of a graph."""
    return any(isinstance(tag, str) and tag.startswith(_NODE) for tag in tags)


def is_task(name: object, metadata: Mapping[str, Any]) -> bool:
    """Whether a run is a `@task` of LangGraph's functional API. What runs inside it has its metadata, but another name.

    It has no tag of a node (langgraph 1.0 to 1.2).
    """
    triggers, node = metadata.get("langgraph_triggers"), metadata.get("langgraph_node")
    return type(triggers) is tuple and triggers == _PUSHED and type(node) is str and node == name


_PUSHED = ("__pregel_push",)


def is_graph(name: str | None, metadata: Mapping[str, Any]) -> bool:
    """Whether a chain that is no node is known, by its start alone, to be a graph of LangGraph.

    A graph with a name of its own inside another graph shows itself only when its first node starts, unless it is an
    agent: see `created_agent`.
    """
    if name == DEFAULT_AGENT:
        return True
    if not metadata:
        return False
    integration = metadata.get("ls_integration")
    return _is_text(integration) and integration.startswith(_GRAPHS) and "langgraph_node" not in metadata


def is_resumed(config: Mapping[str, Any]) -> bool:
    """Whether a graph inside another one may go on where it had stopped, by its config: with its input of before then.

    LangGraph says so of what starts in the first step of a graph that is resumed, and in a node that is tried again,
    whether or not there is anything to go on with (langgraph 1.0 to 1.2). Without a thread there is not. If its first
    step comes next, it has just begun.
    """
    values = config.get("configurable")
    return isinstance(values, Mapping) and bool(values.get(_RESUMING)) and values.get("thread_id") is not None


_RESUMING = "__pregel_resuming"
"""LangGraph's `CONFIG_KEY_RESUMING`."""


def created_agent(graph: object) -> str | None:
    """The name of an agent of `create_agent`, empty if it has none; `None` if a graph is no such agent.

    The config that the graph was built with says so. What runs inside of the agent inherits the same metadata, and a
    graph that is bound to the config of a node or a tool has those in its own config, instead of its own.
    """
    metadata = field(field(graph, "config"), "metadata")
    if not isinstance(metadata, Mapping):
        return None
    integration, name = _text(metadata.get("ls_integration")), _text(metadata.get("lc_agent_name"))
    if integration is None or not integration.startswith(_AGENTS):
        return None
    if "langgraph_node" not in metadata:
        return name or ""
    node = field(field(field(field(graph, "nodes"), MODEL_NODE), "bound"), "func")
    if field(node, "__module__") != _CREATED_IN:
        return None
    name = _text(field(graph, "name"))
    return "" if name is None or name == DEFAULT_AGENT else name


_CREATED_IN = "langchain.agents.factory"
"""The module whose function is the node of an agent that asks its model (langchain 1.0 to 1.5)."""


def attempt(tags: Sequence[Any]) -> int | None:
    """Which attempt of `with_retry` a run is, from the second one on."""
    for tag in tags:
        if isinstance(tag, str) and tag.startswith(_ATTEMPT):
            number = tag[len(_ATTEMPT) :]
            if len(number) <= _DIGITS and number.isdecimal():
                return int(number)
    return None


def outcome(error: BaseException) -> Outcome:
    """How a run that got an error event ended: not every exception is an error.

    `GeneratorExit` means that the consumer left. LangGraph's `GraphBubbleUp` family (interrupts, handoffs) passes
    control to the parent graph. What is no `Exception` stops the code: the run was cancelled. That is asyncio's
    and trio's cancellation, an interrupted process, a killed greenlet, a timeout of gevent or eventlet, a time limit or
    shutdown of dramatiq. The panic of a Rust library is no `Exception` either, but it is a failure.
    """
    if isinstance(error, GeneratorExit):
        return "abandoned"
    if is_stop(error):
        return "abandoned" if _is_thrown(error) else "cancelled"
    return "completed" if _is("GraphBubbleUp", error) else "failed"


def _is_thrown(error: BaseException) -> bool:
    """Whether an exception was thrown into an async stream where it yields, so that nobody was waiting for a chunk.

    An event loop closes a stream that was left in a task, and may cancel the task before it has begun, as `asyncio.run`
    does with all tasks that are left when its function has returned. Then that is thrown instead of `GeneratorExit`.
    """
    entry = error.__traceback__
    if entry is None or entry.tb_next is not None or not entry.tb_frame.f_code.co_flags & CO_ASYNC_GENERATOR:
        return False
    # Before Python 3.11 the cancellation of a task that it awaits has no frames of that task either.
    return _AWAIT is None or entry.tb_frame.f_code.co_code[entry.tb_lasti] != _AWAIT


_AWAIT = opmap.get("YIELD_FROM")
"""What awaits, before Python 3.11."""


def is_stop(error: BaseException) -> bool:
    """Whether an exception means that the code has to stop. A group means it if all its exceptions do."""
    if _is("BaseExceptionGroup", error):
        grouped = getattr(error, "exceptions", ())
        return bool(grouped) and all(map(is_stop, grouped))
    if isinstance(error, Exception):
        return any(
            kind.__name__ == "CancelledError" and kind.__module__.startswith(_CANCELLING)
            for kind in type(error).__mro__
        )
    return not _is("PanicException", error)


_CANCELLING = ("concurrent.futures.", "temporalio.")
"""The modules that say with an `Exception` that somebody has cancelled the work: a future, an activity of Temporal."""


def control(error: BaseException) -> Control | None:
    """Whether a part of a graph ended because it waits for a human, hands over, or was asked to stop."""
    if _is("GraphInterrupt", error):
        return "interrupt"
    if _is("GraphDrained", error):
        return "drained"
    return "handoff" if _is("ParentCommand", error) else None


def hands_over(output: object) -> bool:
    """Whether a tool or a node returned the command to go on in the parent graph: it hands over to another agent."""
    if isinstance(output, list):
        return any(map(hands_over, output))
    return type(output).__name__ == "Command" and getattr(output, "graph", None) == _PARENT


_PARENT = "__parent__"
"""LangGraph's `Command.PARENT`."""


def _is(name: str, error: BaseException) -> bool:
    # By name: LangGraph may not be installed.
    return any(kind.__name__ == name for kind in type(error).__mro__)


def _text(value: object) -> str | None:
    if type(value) is str:  # most often
        return value or None
    return _plain(value) or None if value is not None and _is_text(value) else None


def _plain(text: str) -> str:
    # What a subclass of `str` overrides may raise, and a record must not keep the application's object.
    return text if type(text) is str else str.__str__(text)


def _is_text(value: object) -> TypeGuard[str]:
    # `isinstance` would ask the value for its class, and a run without its start has no span.
    return issubclass(type(value), str)
