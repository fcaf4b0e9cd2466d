"""The records of what is no model call: tools, retrievers, agents, handoffs, memory and checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .._content.policy import Policy
from .call import Call
from .numbers import Number
from .usage import Usage


@dataclass(slots=True, eq=False)
class ToolCall:
    """A tool call. Content is present only if it may be recorded."""

    name: str
    description: str | None = None
    """The description of the tool."""
    id: str | None = None
    """The id of the tool call, from the model."""
    arguments: str | None = None
    result: str | None = None
    size: int | None = None
    """The size of the whole result in bytes, known also if the result may not be recorded."""
    run_name: str | None = None
    """The run's name, if the call was given one."""
    mcp: McpCall | None = None
    """The request to an MCP server, if the tool is one of `trace_mcp`."""


@dataclass(slots=True, eq=False)
class McpCall:
    """The request to an MCP server that a tool makes."""

    tool: str
    """The server's name of the tool. LangChain's may have the server's name in front."""
    server: str | None = None
    """The name that the server declares, else the one that the application gave it."""
    transport: Literal["stdio", "http", "sse", "websocket"] | None = None


@dataclass(slots=True, eq=False)
class Retrieval:
    """A retriever call. Content is present only if it may be recorded."""

    name: str
    query: str | None = None
    documents: int | None = None
    """The number of documents found."""
    found: str | None = None
    """The documents as JSON."""


@dataclass(slots=True, eq=False)
class Agent:
    """A run of an agent. Content is present only if it may be recorded."""

    name: str
    system: str | None = None
    """The system instructions of its own latest model call that has any."""
    tools: str | None = None
    """The tools offered in its own latest model call that has any, as JSON."""
    messages: str | None = None
    """The input messages, as JSON."""
    answer: str | None = None
    """The output messages, as JSON."""
    usage: Usage | None = None
    """The summed usage of its model calls that have ended."""
    is_created: bool = False
    """Whether it is one of `create_agent`."""
    asked_by: Number | None = None
    """The model call that the system instructions and the tools are of."""

    def add(self, usage: Usage) -> None:
        """Add the usage of a model call that has ended."""
        self.usage = usage if self.usage is None else Usage.together((self.usage, usage))


@dataclass(slots=True, eq=False)
class Handoff:
    """A handoff from one agent to another."""

    source: str
    target: str

    @property
    def name(self) -> str:
        """What happens, as the end of the span's name."""
        return f"from {self.source} to {self.target}"


@dataclass(slots=True, eq=False)
class Memory:
    """A read or write of a LangGraph store. Content is present only if it may be recorded."""

    name: str
    """The operation, as OpenTelemetry's conventions call it: `"search_memory"`, `"upsert_memory"`, `"delete_memory"`.

    Of a batch that does several things: all of them, separated by commas.
    """
    namespace: str | None = None
    record: str | None = None
    """The key of the item, if it is one."""
    query: str | None = None
    records: str | None = None
    """The items read or written, as JSON."""
    count: int | None = None
    """The number of items found, to write and to delete."""


@dataclass(slots=True, eq=False)
class Checkpoint:
    """A save or a load by a checkpointer of LangGraph. It has no content."""

    checkpointer: str
    """The class of the checkpointer."""
    operation: str
    """Its method: `"put"`, `"put_writes"`, `"get_tuple"`."""
    channels: int | None = None
    """The number of channels of the checkpoint."""
    writes: int | None = None
    """The number of channels that have changed (`put`), or of pending writes."""

    @property
    def name(self) -> str:
        """The name of the span."""
        return f"{self.checkpointer}.{self.operation}"


Detail = ToolCall | Retrieval | Agent | Handoff | Memory | Checkpoint

MakeRecord = Callable[[Policy], Call | Detail]
"""Makes the record of a run's input, under the run's policy."""
