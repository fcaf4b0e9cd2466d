"""Clients of a streaming service leave in the middle of their answers: real processes, real sockets."""

from __future__ import annotations

import asyncio
import os
import signal
from itertools import cycle, islice, product
from typing import Any

import httpx
import pytest

from tests.kit import HANG
from tests.kit.apps.disconnect_server import APPLICATIONS, MODELS, RESPONSES
from tests.kit.fresh import Fresh
from tests.kit.wire import DEFAULT_SHAPE, WIRE_SHAPES

AT_A_TIME = 20
PATHS = [f"/answer/{'/'.join(parts)}" for parts in product(APPLICATIONS, MODELS, RESPONSES)]
GROWTH = 900_000
"""Bytes by which a warm service may grow: 60 clients make it 0.6 MB, however often, and 1.4 MB if runs are kept."""


async def leave(port: int, path: str) -> None:
    """Ask, read what a model that falls silent says, or a little of what another one does, and hang up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: service\r\n\r\n".encode())
        for _ in range(2):
            await reader.readuntil(b"data: ")
    finally:
        writer.close()
        await writer.wait_closed()


async def leave_often(port: int, times: int, below: int | None = None) -> dict[str, Any]:
    """So many clients that leave, some at a time; what the service then reports, and its memory, once `below` that."""
    paths = list(islice(cycle(PATHS), times))
    for first in range(0, times, AT_A_TIME):
        await asyncio.gather(*(leave(port, path) for path in paths[first : first + AT_A_TIME]))
    limit = {} if below is None else {"below": below}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=HANG) as client:
        report: dict[str, Any] = (await client.get("/report")).raise_for_status().json()
        return {**report, "memory": (await client.get("/memory", params=limit)).raise_for_status().json()}


def check(report: dict[str, Any], clients: int) -> None:
    """Every client's answer is one model span with what had arrived, and nobody was alarmed."""
    assert report["live"] == 0
    assert report["issues"] == []
    models = report["models"]
    assert len(models) == clients
    assert {model["outcome"] for model in models} <= {"cancelled", "abandoned"}
    for model in models:
        assert model["chunks"] >= 1
        assert (model["tokens"], model["source"]) == (model["chunks"], "estimate")
        assert "one two" in model["said"] or "more more" in model["said"]
    # Each model call hangs below the request that made it, and no other.
    assert len({model["request"] for model in models} - {None}) == clients


@pytest.mark.parametrize(
    ("shape", "first", "rest"),
    [(shape, 20, 60) if shape == DEFAULT_SHAPE else (shape, 10, 20) for shape in WIRE_SHAPES],
)
async def test_of_every_client_that_leaves_the_partial_answer_is_kept(
    shape: str, first: int, rest: int, fresh: Fresh
) -> None:
    """Each answer is one span with partial numbers below its own request; no issue, no live run, no growth."""
    script = f"from tests.kit.apps.disconnect_server import main; main({shape!r})"
    with fresh.process(script) as server:
        port = int(server.stdout.readline())
        before = await asyncio.wait_for(leave_often(port, first), HANG)
        after = await asyncio.wait_for(leave_often(port, rest, before["memory"] + GROWTH), HANG)
        os.kill(server.pid, signal.SIGTERM)
    check(before, first)
    check(after, rest)
    assert after["memory"] - before["memory"] < GROWTH
    assert server.stderr == ""
