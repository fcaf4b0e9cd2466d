"""`trace_mcp`: the tools of MCP servers, with the server on their spans and the trace in their requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

from ._from_langchain import mcp_calls
from ._runtime.containment import contained, warn_once

C = TypeVar("C")


def trace_mcp(client: C, *, propagate: bool | Collection[str] = True) -> C:
    """Trace the MCP servers of a client of langchain-mcp-adapters 0.2 or later.

    ```python
    servers = {"weather": {"transport": "stdio", "command": "weather-server", "args": []}}
    client = trace_mcp(MultiServerMCPClient(servers))
    tools = await client.get_tools()
    ```

    The spans of its tools get the server's name, the transport and the tool's name there. The trace travels to the
    server in the request's `_meta`, as `sentry-trace`, `traceparent` and `baggage`. Call this before `get_tools`.
    With a session of your own, call
    `load_mcp_tools(session, server_name=..., tool_interceptors=client.tool_interceptors)`.

    Args:
        client: A `MultiServerMCPClient`.
        propagate: Whether the trace travels: `True` to all servers, `False` to none, or the names of those to which it
            does. Baggage names the release, the environment and the transaction. Headers of HTTP requests are Sentry's
            integrations' own: `trace_propagation_targets` chooses those.

    Returns:
        The same client.

    Raises:
        TypeError: `client` has no `tool_interceptors`: it is something else, or the adapters are too old. Or
            `propagate` has the wrong type.
    """
    if not isinstance(propagate, bool):
        is_collection = isinstance(propagate, Collection) and not isinstance(propagate, str)
        if not is_collection or not all(isinstance(each, str) for each in propagate):
            raise TypeError(f"propagate must be True, False or a collection of names of servers, not {propagate!r}")
        propagate = frozenset(propagate)
    interceptors = getattr(client, "tool_interceptors", None)
    if not isinstance(interceptors, list):
        raise TypeError(
            "trace_mcp needs a MultiServerMCPClient of langchain-mcp-adapters 0.2 or later, "
            f"and was given an object of class {type(client).__name__}"
        )
    known = getattr(client, "connections", None)
    if not isinstance(propagate, bool) and known and not propagate <= set(known):
        warn_once(
            "trace_mcp",
            "trace_mcp: propagate names no server of the client: %s. Its servers are %s.",
            ", ".join(sorted(propagate - set(known))),
            ", ".join(map(str, known)),
        )
    if not any(isinstance(each, _Traced) for each in interceptors):
        with contained("tracing MCP"):
            mcp_calls.install()
        # The innermost one: it sees what is sent, once for each attempt.
        interceptors.append(_Traced(client, propagate))
    return client


class _Traced:
    """The interceptor."""

    def __init__(self, client: object, propagate: bool | Collection[str]) -> None:
        self._client = client
        self._propagate = propagate

    async def __call__(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        sending = None
        with contained("request to an MCP server"):
            to = self._propagate
            does = to if isinstance(to, bool) else request.server_name in to
            sending = mcp_calls.describe(request, getattr(self._client, "connections", None), propagate=does)
        token = mcp_calls.send(sending)
        try:
            return await handler(request)
        finally:
            mcp_calls.sent(token)
