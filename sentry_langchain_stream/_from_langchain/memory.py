"""Reads and writes of LangGraph stores as runs of ours. LangGraph has no callbacks for them.

So the methods of `BaseStore` and of all its subclasses are wrapped, as those of embedding models are, from the first
handler with `memory=True` on. The methods are wrapped where the caller calls them: a store with a background task, as
`AsyncPostgresStore`, carries an operation out in another trace. What the store calls to do it is no second operation.

OpenTelemetry's conventions for generative AI ("Memory" in `gen-ai-spans.md` of semantic-conventions-genai) have the
operations `search_memory`, `upsert_memory` and `delete_memory`, and `gen_ai.memory.{store.id,record.id,record.count,
query.text,records}`. Sentry's have the same (sentry-conventions 0.27), and its pages know such a span by
`gen_ai.operation.name`. There is no op for them: one that begins with "gen_ai." would be a model call to older servers.
So the op is "function".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from .._content.messages import tool_arguments, tool_result
from .._content.policy import Policy
from .._content.reading import field
from .._runs import enclosing
from .._runs.details import Memory
from .._runs.run import Run
from .._runtime import interpreter
from .._runtime.containment import contained
from .._to_sentry import other_integrations
from .._to_sentry.asking import is_asking
from . import inside
from .families import Family
from .recorded_calls import Arguments, Recording, langgraph_family

_family: Family | None = None
_NAMES = ("get", "search", "put", "delete", "batch")

_is_background: ContextVar[bool] = ContextVar("sentry_langchain_stream_store_task", default=False)
"""Whether this is the context of a store's own task."""


def install() -> None:
    """Wrap the methods of all stores, those to come too.

    Raises:
        ImportError: LangGraph is not installed.
    """
    global _family
    if _family is None:
        _family = langgraph_family("memory", "langgraph.store.base", "BaseStore", _NAMES, _begin)
    _family.install()
    other_integrations.undo_with(uninstall)


def uninstall() -> None:
    """Undo `install`."""
    if _family is not None:
        _family.uninstall()


def _begin(
    name: str, store: Any, args: Arguments, kwargs: dict[str, Any]
) -> tuple[Arguments, _RecordedOperations | None]:
    """Start recording a call, unless nobody follows it."""
    if _family is None or not _family.is_on or not enclosing.any_live() or is_asking():
        return args, None
    parent = _parent(store)
    if parent is None:
        return args, None
    if name == "batch" and args and not isinstance(args[0], Sequence):
        args = (list(args[0]), *args[1:])  # what an iterator raises is the application's
    with contained("memory"):
        operations = _operations(name, args, kwargs)
        if operations:
            recording = _RecordedOperations(operations, parent)
            return args, recording if recording.run is not None else None
    return args, None


def _parent(store: Any) -> Run | None:
    """The run that a call of a store belongs to, if it is to be recorded."""
    with contained("memory"):
        parent = inside.innermost(handed_over=True)
        if parent is not None and parent.keeper.settings.memory and parent.kind != "memory":
            return None if _in_background(store) else parent
    return None


def _in_background(store: Any) -> bool:
    """Whether a store's own task carries out what has been recorded where it was called.

    The task has the context of whatever called the store first (`AsyncBatchedBaseStore` of langgraph-checkpoint).
    """
    if _is_background.get():
        return True
    own = getattr(store, "_task", None)
    if own is None or own is not interpreter.current_task():
        return False
    _is_background.set(True)  # the task does nothing else; a store that it calls carries out the same operation
    return True


class _Operation:
    """One operation: what it does, and with which arguments."""

    __slots__ = ("key", "kind", "namespace", "query", "value")

    def __init__(self, kind: str, namespace: Any, key: Any = None, query: Any = None, value: Any = None) -> None:
        self.kind = kind
        self.namespace = namespace
        self.key = key
        self.query = query
        self.value = value


def _operations(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[_Operation]:
    if name == "batch":
        ops: Iterable[Any] = args[0] if args else kwargs.get("ops", ())
        return [made for op in ops if (made := _of_op(op)) is not None] if isinstance(ops, Sequence) else []

    def given(at: int, *names: str) -> Any:
        return args[at] if len(args) > at else next((kwargs[each] for each in names if each in kwargs), None)

    namespace = given(0, "namespace", "namespace_prefix")
    if name == "search":
        return [_Operation("search_memory", namespace, query=kwargs.get("query"))]
    key = given(1, "key")
    if name == "put":
        return [_Operation("upsert_memory", namespace, key, value=given(2, "value"))]
    return [_Operation("search_memory" if name == "get" else "delete_memory", namespace, key)]


def _of_op(op: Any) -> _Operation | None:
    """Read an operation of a batch, by the name of its class: LangGraph is not imported here."""
    kind = type(op).__name__
    if kind == "GetOp":
        return _Operation("search_memory", op.namespace, op.key)
    if kind == "SearchOp":
        return _Operation("search_memory", op.namespace_prefix, query=op.query)
    if kind == "PutOp":
        return _Operation(
            "delete_memory" if op.value is None else "upsert_memory", op.namespace, op.key, value=op.value
        )
    return None  # lists of namespaces are no memories


class _RecordedOperations(Recording):
    """A call of a store that is being recorded."""

    def __init__(self, operations: list[_Operation], parent: Run) -> None:
        self._operations = operations
        kinds = list(dict.fromkeys(each.kind for each in operations))
        self._name = ",".join(kinds)
        self._reads = "search_memory" in kinds
        super().__init__("memory", self._name, parent, parent.keeper, self._record)

    def _record(self, policy: Policy) -> Memory:
        memory = Memory(self._name)
        with contained("memory"):
            first = self._operations[0]
            policy = policy.beside(ahead=3)
            if all(each.namespace == first.namespace for each in self._operations):
                memory.namespace = tool_arguments("/".join(map(str, first.namespace or ())), policy) or None
            if len(self._operations) == 1:
                memory.record = None if first.key is None else tool_arguments(str(first.key), policy)
                memory.query = None if first.query is None else tool_arguments(str(first.query), policy)
            memory.count = sum(each.kind != "search_memory" for each in self._operations) or None
            written = [{"id": each.key, "content": each.value} for each in self._operations if each.value is not None]
            memory.records = tool_arguments(written, policy) if written else None
        return memory

    def _returned(self, run: Run, result: Any) -> None:
        memory = run.detail
        if not isinstance(memory, Memory) or not self._reads:
            return
        items: list[Any] = []
        for each in result if isinstance(result, list) else [result]:
            items.extend(each if isinstance(each, list) else [each])
        found = [item for item in items if field(item, "key") is not None]
        memory.count = (memory.count or 0) + len(found)
        if found:
            policy = run.policy.beside(memory.namespace, memory.record, memory.query)
            memory.records = tool_result([_record(item) for item in found], policy)


def _record(item: object) -> dict[str, Any]:
    """Return an item as the conventions have it. One that a search has found by its meaning has a score."""
    score = field(item, "score")
    return {"id": field(item, "key"), "content": field(item, "value"), **({} if score is None else {"score": score})}
