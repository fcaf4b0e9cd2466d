"""What the tools of MCP servers send, and to which server. The package `mcp` is not imported here.

An interceptor of langchain-mcp-adapters (0.2 to 0.3) knows the tool and the name of the server, but cannot add to the
request's `_meta`, and has no session. So two methods of the class `mcp.ClientSession` are wrapped, on the first call of
`install`. It can go when the adapters' requests have a `meta`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from functools import wraps
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from .._content.reading import as_text, field
from .._runs.details import McpCall, ToolCall
from .._runtime.containment import contained
from .._to_sentry import other_integrations, outgoing
from . import inside

_TRANSPORTS: dict[str, Any] = {
    "stdio": "stdio",
    "http": "http",
    "streamable_http": "http",
    "streamable-http": "http",
    "sse": "sse",
    "websocket": "websocket",
}
"""The adapters' names of transports, and those of Sentry's MCPIntegration."""


class Sending(NamedTuple):
    """The request that an intercepted tool is about to send."""

    call: McpCall
    meta: dict[str, str]


_sending: ContextVar[Sending | None] = ContextVar("sentry_langchain_stream_mcp", default=None)
_declared: WeakKeyDictionary[object, str] = WeakKeyDictionary()
"""The names that the servers of sessions declare."""
_wrapped: dict[str, tuple[Any, Any, Any]] = {}
"""The methods of `mcp.ClientSession` before they were wrapped."""


def describe(request: object, connections: object, *, propagate: bool) -> Sending:
    """Record on the enclosing tool's run what it asks of which server, and return what is sent along.

    Args:
        request: The adapters' `MCPToolCallRequest`.
        connections: The client's connections by name.
        propagate: Whether the trace travels to the server.
    """
    server = as_text(field(request, "server_name"))
    connection = connections.get(server) if isinstance(connections, Mapping) else None
    transport = connection.get("transport") if isinstance(connection, Mapping) else None
    call = McpCall(as_text(field(request, "name")) or "tool", server, _TRANSPORTS.get(str(transport)))
    run = inside.innermost()
    if run is not None and isinstance(run.detail, ToolCall):
        run.detail.mcp = call
    return Sending(call, outgoing.trace_headers() if propagate else {})


def send(sending: Sending | None) -> Any:
    """From now on this context sends this request. Returns the token for `sent`."""
    return _sending.set(sending)


def sent(token: Any) -> None:
    """The request has been answered."""
    with suppress(ValueError):  # closed from another context, which never sent it
        _sending.reset(token)


def install() -> None:
    """Wrap the methods of `mcp.ClientSession`, once. Without `meta` (before mcp 1.19) no trace travels in `_meta`."""
    session = getattr(sys.modules.get("mcp"), "ClientSession", None)
    initialize, call_tool = getattr(session, "initialize", None), getattr(session, "call_tool", None)
    if _wrapped or initialize is None or call_tool is None:
        return
    has_meta = "meta" in inspect.signature(call_tool).parameters

    @wraps(initialize)
    async def initialize_and_remember(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = await initialize(self, *args, **kwargs)
        with contained("name of an MCP server"):
            info = field(result, "serverInfo") or field(result, "server_info")
            name = as_text(field(info, "name"))
            if name is not None:
                _declared[self] = name
        return result

    @wraps(call_tool)
    async def call_tool_in_trace(self: Any, *args: Any, **kwargs: Any) -> Any:
        sending = _sending.get()
        if sending is not None:
            with contained("request to an MCP server"):
                sending.call.server = _declared.get(self) or sending.call.server
                if has_meta and sending.meta:
                    kwargs = {**kwargs, "meta": {**sending.meta, **(kwargs.get("meta") or {})}}
        return await call_tool(self, *args, **kwargs)

    for name, original, ours in (
        ("initialize", initialize, initialize_and_remember),
        ("call_tool", call_tool, call_tool_in_trace),
    ):
        _wrapped[name] = session, original, ours
        setattr(session, name, ours)
    other_integrations.undo_with(uninstall)


def uninstall() -> None:
    """Put the methods back, unless somebody has wrapped ours."""
    while _wrapped:
        name, (session, original, ours) = _wrapped.popitem()
        if getattr(session, name) is ours:
            setattr(session, name, original)
