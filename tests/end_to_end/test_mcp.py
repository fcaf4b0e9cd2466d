"""Tools of MCP servers: the server on the tool's span, and one trace over client and server."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import sentry_sdk
from langchain_core.tools import ToolException
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools

from sentry_langchain_stream import SentryStreamHandler, trace_mcp
from sentry_langchain_stream.testing import capture_spans
from tests.kit import HANG, REPOSITORY
from tests.kit.inside import around
from tests.kit.processes import received
from tests.kit.wire import DEFAULT_SHAPE, WIRE_SHAPES, content_allowed

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="async tools have no context of their own in 3.10")

CALL = {"a": 40123, "b": 2}


def stdio(shape: str, file: Path) -> Any:
    """The connection to a server behind stdio."""
    args = ["-m", "tests.kit.apps.mcp_server", "stdio", shape, str(file)]
    return {"transport": "stdio", "command": sys.executable, "args": args, "cwd": str(REPOSITORY)}


@contextmanager
def http(shape: str, file: Path) -> Iterator[Any]:
    """The connection to a server behind http. When the block is left, the server has sent what it had."""
    command = [sys.executable, "-m", "tests.kit.apps.mcp_server", "http", shape, str(file)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield {"transport": "streamable_http", "url": f"http://127.0.0.1:{int(process.stdout.readline())}/mcp"}
            process.stdin.close()
            process.wait(HANG)
        finally:
            process.kill()


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_the_trace_reaches_a_server_behind_stdio(shape: str, tmp_path: Path) -> None:
    """The spans of a server that follows the recipe are below the tool's; the issue of a failure is in its trace."""
    client = trace_mcp(MultiServerMCPClient({"mine": stdio(shape, tmp_path / "sent")}, tool_name_prefix=True))
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        async with client.session("mine") as session:
            options: Any = {"server_name": "mine", "tool_interceptors": client.tool_interceptors}
            add, refuse = await load_mcp_tools(session, **options)
            await add.ainvoke(CALL, {"callbacks": [SentryStreamHandler()]})
            with contextlib.suppress(ToolException):
                await refuse.ainvoke({}, {"callbacks": [SentryStreamHandler(capture_errors=False)]})
    tool, refused = captured.find_all(op="gen_ai.execute_tool")
    assert tool.attributes["mcp.transport"] == "stdio"
    assert tool.attributes["network.transport"] == "pipe"
    there = received(tmp_path / "sent")
    by_id = {each.span_id: each for each in there.spans}
    calls = [each for each in there.find_all(op="mcp.server") if each.name.startswith("tools/call")]
    tops = [by_id.get(each.parent_id or "", each) for each in calls]
    assert [each.parent_id for each in tops] == [tool.span_id, refused.span_id]
    assert calls[1].status == ("error" if shape == "stream" else "internal_error")
    (issue,) = there.events
    assert issue["contexts"]["trace"]["trace_id"] == refused.trace_id


@pytest.mark.skipif(
    tuple(int(part) for part in sentry_sdk.VERSION.split(".")[:2]) < (2, 52),
    reason="MCPIntegration before sentry-sdk 2.52 starts a trace of its own behind http",
)
async def test_the_trace_reaches_a_server_behind_http(tmp_path: Path) -> None:
    """Sentry's own headers carry it: the request's span hangs below the tool's, the server's below the request's."""
    shape = DEFAULT_SHAPE
    with http(shape, tmp_path / "sent") as connection:
        client = trace_mcp(MultiServerMCPClient({"mine": connection}), propagate=False)
        with capture_spans(**WIRE_SHAPES[shape]) as captured, around(shape, True):
            add, _ = await client.get_tools()
            await add.ainvoke(CALL, {"callbacks": [SentryStreamHandler()]})
    tool = captured.find(op="gen_ai.execute_tool")
    assert (tool.attributes["mcp.transport"], tool.attributes["network.transport"]) == ("http", "tcp")
    there = received(tmp_path / "sent")
    requests = {each.span_id for each in captured.children(tool) if each.op == "http.client"}
    (top,) = [each for each in there.find_all(op="mcp.server") if each.trace_id == tool.trace_id]
    by_id = {each.span_id: each for each in there.spans}
    while top.parent_id in by_id:
        top = by_id[top.parent_id]
    assert top.parent_id in requests


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize("allowed", [True, False])
async def test_the_span_says_what_was_asked_of_which_server(shape: str, allowed: bool) -> None:
    """The span of the tool has the server's declared name and its name of the tool; content only if it is allowed."""
    from mcp.server.fastmcp import FastMCP
    from mcp.shared.memory import create_connected_server_and_client_session as connected

    server = FastMCP("adder")
    server.add_tool(lambda a, b: f"sum {a + b}", name="add", description="Add.")
    client = trace_mcp(MultiServerMCPClient({}))
    with capture_spans(**WIRE_SHAPES[shape] | content_allowed(allowed)) as captured:
        async with connected(server._mcp_server) as session:
            options: Any = {"server_name": "mine", "tool_interceptors": client.tool_interceptors}
            (add,) = await load_mcp_tools(session, tool_name_prefix=True, **options)
            await add.ainvoke(CALL, {"callbacks": [SentryStreamHandler()]})
    tool = captured.find(op="gen_ai.execute_tool")
    assert {key: value for key, value in tool.attributes.items() if key.startswith(("mcp.", "network."))} == {
        "mcp.method.name": "tools/call",
        "mcp.tool.name": "add",
        "mcp.server.name": "adder",
    }
    assert tool.attributes["gen_ai.tool.name"] == "mine_add"
    assert ("40123" in repr(captured.items), "40125" in repr(captured.items)) == (allowed, allowed)


class Recorded:
    """Keeps what is sent to a session, and answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from mcp import ClientSession

        self.meta: list[dict[str, Any]] = []
        real = ClientSession.send_request

        async def send(session: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            if request.root.method == "tools/call":
                meta = request.root.params.meta
                self.meta.append(meta.model_dump(exclude_none=True) if meta else {})
            return await real(session, request, *args, **kwargs)

        monkeypatch.setattr(ClientSession, "send_request", send)


@pytest.mark.parametrize(("propagate", "travels"), [(True, True), (False, False), (["mine"], True), (["other"], False)])
async def test_the_trace_travels_to_the_chosen_servers_only(
    propagate: Any, travels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a session of the application's own, each call carries the trace of its own tool, for Sentry and as in W3C."""
    from mcp.server.fastmcp import FastMCP
    from mcp.shared.memory import create_connected_server_and_client_session as connected

    server = FastMCP("adder")
    server.add_tool(lambda a, b: a + b, name="add", description="Add.")
    client = trace_mcp(MultiServerMCPClient({}), propagate=propagate)
    sent = Recorded(monkeypatch)
    with capture_spans() as captured:
        async with connected(server._mcp_server) as session:
            tools = await load_mcp_tools(session, server_name="mine", tool_interceptors=client.tool_interceptors)
            for _ in range(2):
                await tools[0].ainvoke(CALL, {"callbacks": [SentryStreamHandler()]})
    spans = captured.find_all(op="gen_ai.execute_tool")
    assert [each.attributes["mcp.server.name"] for each in spans] == ["adder", "adder"]
    expected = [f"{each.trace_id}-{each.span_id}-1" if travels else None for each in spans]
    assert [each.get("sentry-trace") for each in sent.meta] == expected
    w3c = [f"00-{each.trace_id}-{each.span_id}-01" if travels else None for each in spans]
    assert [each.get("traceparent") for each in sent.meta] == w3c


async def test_the_applications_own_meta_travels_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the application itself adds to the `_meta` of a call reaches the server beside the trace, and wins."""
    from mcp.server.fastmcp import FastMCP
    from mcp.shared.memory import create_connected_server_and_client_session as connected

    server = FastMCP("adder")
    server.add_tool(lambda a, b: a + b, name="add", description="Add.")
    client = trace_mcp(MultiServerMCPClient({}))
    sent = Recorded(monkeypatch)
    with capture_spans() as captured:
        async with connected(server._mcp_server) as session:
            own: Any = {"own": 1, "traceparent": "mine"}
            real = session.call_tool

            async def with_meta(*args: Any, **kwargs: Any) -> Any:
                return await real(*args, **kwargs, meta=own)

            monkeypatch.setattr(session, "call_tool", with_meta)
            (add,) = await load_mcp_tools(session, server_name="mine", tool_interceptors=client.tool_interceptors)
            await add.ainvoke(CALL, {"callbacks": [SentryStreamHandler()]})
    tool = captured.find(op="gen_ai.execute_tool")
    (meta,) = sent.meta
    assert (meta["own"], meta["traceparent"]) == (1, "mine")
    assert meta["sentry-trace"] == f"{tool.trace_id}-{tool.span_id}-1"


@pytest.mark.parametrize(
    ("name", "transport"),
    [
        ("stdio", "stdio"),
        ("http", "http"),
        ("streamable_http", "http"),
        ("streamable-http", "http"),
        ("sse", "sse"),
        ("websocket", "websocket"),
        ("pigeon", None),
    ],
)
async def test_the_transport_is_named_as_sentry_does(name: str, transport: str | None) -> None:
    """Each of the adapters' names of a transport is Sentry's name of it, and an unknown one is left out."""
    from mcp.server.fastmcp import FastMCP
    from mcp.shared.memory import create_connected_server_and_client_session as connected

    server = FastMCP("adder")
    server.add_tool(lambda a, b: a + b, name="add", description="Add.")
    connection: Any = {"mine": {"transport": name}}
    client = trace_mcp(MultiServerMCPClient(connection))
    with capture_spans() as captured:
        async with connected(server._mcp_server) as session:
            (add,) = await load_mcp_tools(session, server_name="mine", tool_interceptors=client.tool_interceptors)
            await add.ainvoke(CALL, {"callbacks": [SentryStreamHandler()]})
    assert captured.find(op="gen_ai.execute_tool").attributes.get("mcp.transport") == transport


def test_a_request_that_is_closed_elsewhere_is_closed_quietly() -> None:
    """The coroutine of a task that is destroyed is closed in another context than the one that it ran in."""
    client = SimpleNamespace(tool_interceptors=[], connections={})
    trace_mcp(cast(Any, client))

    class Forever:
        def __await__(self) -> Generator[None, None, None]:
            yield

    async def handler(request: Any) -> None:
        await Forever()

    request = client.tool_interceptors[0](SimpleNamespace(server_name="s", name="t"), handler)
    copy_context().run(request.send, None)
    request.close()


def test_another_object_is_refused() -> None:
    """What has no interceptors cannot be traced, and the message says what can."""
    with pytest.raises(TypeError, match="MultiServerMCPClient"):
        trace_mcp(object())


@pytest.mark.parametrize("propagate", ["weather-eu", None, 1, ["weather", 2]])
def test_to_whom_the_trace_travels_is_checked(propagate: Any) -> None:
    """A text is no collection of names: "weather" is in "weather-eu", and would get the trace of the other server."""
    client = SimpleNamespace(tool_interceptors=[])
    with pytest.raises(TypeError, match="propagate must be True, False or a collection of names of servers"):
        trace_mcp(client, propagate=propagate)
    assert client.tool_interceptors == []


def test_a_server_that_is_not_there_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """Who names a server that the client does not have is told once which there are."""
    client = SimpleNamespace(tool_interceptors=[], connections={"weather": {}, "maps": {}})
    trace_mcp(client, propagate=["maps", "wether"])
    assert [record.getMessage() for record in caplog.records] == [
        "trace_mcp: propagate names no server of the client: wether. Its servers are weather, maps."
    ]
