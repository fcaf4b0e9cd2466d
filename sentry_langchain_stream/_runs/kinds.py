"""What kinds of runs there are, and how one ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import repeat
from types import MappingProxyType
from typing import Any, Literal

NOTHING: Mapping[Any, Any] = MappingProxyType({})
"""Nothing by any key. A record starts with it, because most runs never have anything there, and many are live."""


nothing = repeat(NOTHING).__next__
"""Returns `NOTHING`, without a Python function being called. A dataclass takes no mapping for a default."""

RunKind = Literal[
    "model",
    "embeddings",
    "rerank",
    "pipeline",
    "agent",
    "chain",
    "tool",
    "retriever",
    "handoff",
    "memory",
    "checkpoint",
]
"""The kind of a run. LangChain calls pipelines (the root run) and agents (LangGraph graphs) chains too.

It has no runs of embedding models, rerankers, handoffs, memory operations and checkpoints: those are ours.
"""

LEAVES: frozenset[RunKind] = frozenset({"model", "retriever"})
"""What LangChain's context does not name."""

WATCHED: frozenset[RunKind] = LEAVES | {"tool"}
"""What may end without a signal: also because LangChain itself fails, on a chunk or on the result of a tool."""

CHAINS: frozenset[RunKind] = frozenset({"pipeline", "agent", "chain"})
"""The kinds that LangChain calls a chain."""

Outcome = Literal["completed", "cancelled", "abandoned", "failed"]
"""How a run ended. `"cancelled"`: its task was cancelled. `"abandoned"`: its consumer left, or no end was signalled."""

Control = Literal["interrupt", "handoff", "drained"]
"""How a run in a graph gave up control: it waits for a human (interrupt), another agent continues (handoff), or it was
asked to stop between two steps (drained)."""

Later = list[Callable[[], object]]
"""What is to be done when a tree's lock is free again, in this order."""
