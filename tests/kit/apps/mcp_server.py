"""An MCP server with two tools: `python -m tests.kit.apps.mcp_server TRANSPORT WIRE_SHAPE FILE`.

It traces as docs/mcp.md says. With stdio it serves until its input is closed; with http it prints its port first.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import sentry_sdk
from mcp.server.fastmcp import FastMCP
from mcp.types import CallToolRequest
from sentry_sdk.integrations.mcp import MCPIntegration
from sentry_sdk.integrations.starlette import StarletteIntegration

import tests.kit.lean  # noqa: F401 -- before `sentry_sdk.init`
from sentry_langchain_stream.testing.internals import complete_flushes
from tests.kit import HANG
from tests.kit.processes import sending_to, serve_until_closed
from tests.kit.wire import WIRE_SHAPES


def continue_traces(server: Any) -> None:
    """The recipe for a server behind stdio, for both of Sentry's span models."""
    handle = server.request_handlers[CallToolRequest]

    async def continued(request: CallToolRequest) -> Any:
        meta = request.params.meta.model_dump() if request.params.meta else {}
        name = f"tools/call {request.params.name}"
        with sentry_sdk.isolation_scope():
            if sys.argv[2] == "stream":
                sentry_sdk.continue_trace(meta)
                return await handle(request)
            with sentry_sdk.start_transaction(sentry_sdk.continue_trace(meta, op="function", name=name)):
                return await handle(request)

    server.request_handlers[CallToolRequest] = continued


def main(transport: str, shape: str, file: Path) -> None:
    """Serve."""
    sentry_sdk.init(
        dsn="http://captured@127.0.0.1:9/1",
        traces_sample_rate=1.0,
        transport=sending_to(file),
        integrations=[MCPIntegration(), StarletteIntegration()],
        **WIRE_SHAPES[shape],
    )
    complete_flushes(sentry_sdk.get_client())
    server = FastMCP("adder", log_level="WARNING")

    @server.tool()
    async def add(a: int, b: int) -> str:
        """Add."""
        return f"sum {a + b}"

    @server.tool()
    async def refuse() -> str:
        """Fail."""
        raise ValueError("no")

    if transport == "stdio":
        continue_traces(server._mcp_server)
        server.run("stdio")
    else:
        serve_until_closed(server.streamable_http_app())
    sentry_sdk.flush(timeout=HANG)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
