"""Many streams at a time in one event loop, and what is left of them. Each of these wants a fresh process."""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from time import perf_counter, process_time
from typing import Any

from .adapters import Adapter
from .model import FakeChatOpenAI
from .workloads import call_ainvoke, config_of, prompt_of

Result = dict[str, float | None]

WARM_UP = 10
"""So many streams run before a crowd."""


async def throughput(adapter: Adapter, streams: int, tokens: int) -> Result:
    """So many streams that take turns after every chunk: chunks per second, and the peak of memory in bytes."""
    await _streams(adapter, WARM_UP, tokens)
    gc.collect()
    begun = perf_counter()
    await _streams(adapter, streams, tokens)
    seconds = perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"chunks_per_second": streams * tokens / seconds, "peak": peak}


async def _streams(adapter: Adapter, streams: int, tokens: int) -> None:
    model, config = FakeChatOpenAI(pieces=tokens, pause=_turn), config_of(adapter)

    async def consume() -> None:
        async for _ in model.astream(prompt_of(), config=config):
            pass

    await asyncio.gather(*(consume() for _ in range(streams)))


async def _turn() -> None:
    await asyncio.sleep(0)


async def memory(adapter: Adapter, streams: int, tokens: int) -> Result:
    """Bytes per stream while so many are held open after so many chunks, and after they finished or were left.

    Python's own allocations, as `tracemalloc` counts them; with no handler there are LangChain's, to be subtracted.
    """
    for leave in (False, True):
        await _held(adapter, 50, tokens, leave=leave)
    tracemalloc.start()
    before = await _settled(adapter)
    live = await _held(adapter, streams, tokens, leave=False) - before
    finished = await _settled(adapter) - before
    live_after_finished = adapter.live()
    await _held(adapter, streams, tokens, leave=True)
    left = await _settled(adapter) - before - finished
    tracemalloc.stop()
    return {
        "live": live / streams,
        "finished": finished / streams,
        "left": left / streams,
        "runs_after_finished": live_after_finished,
        "runs_after_left": adapter.live(),
    }


async def _held(adapter: Adapter, streams: int, tokens: int, *, leave: bool) -> int:
    """Hold streams open, say how much memory is in use, then finish them or leave them."""
    model, config = FakeChatOpenAI(pieces=tokens + 2, pause=_turn), config_of(adapter)
    gate, all_here, arrived = asyncio.Event(), asyncio.Event(), 0

    async def consume() -> None:
        nonlocal arrived
        seen = 0
        async for _ in model.astream(prompt_of(), config=config):
            seen += 1
            if seen == tokens:
                arrived += 1
                if arrived == streams:
                    all_here.set()
                await gate.wait()
                if leave:
                    break

    tasks = [asyncio.create_task(consume()) for _ in range(streams)]
    await asyncio.wait({*tasks, asyncio.create_task(all_here.wait())}, return_when=asyncio.FIRST_COMPLETED)
    gc.collect()
    used = tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else 0
    gate.set()
    await asyncio.gather(*tasks)
    return used


async def _settled(adapter: Adapter) -> int:
    """How much memory is in use when all that has ended is gone."""
    for _ in range(3):
        await asyncio.sleep(0.1)
        adapter.flush()
        gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def history(adapter: Adapter, calls: int, _: int) -> Result:
    """Whether cost grows with finished runs: seconds per call at first and at last, and bytes kept per call."""
    await call_ainvoke(adapter, 8, 50)
    times = []  # of the processor, as there is nothing to take turns with
    for _round in range(10):
        gc.collect()
        begun = process_time()
        await call_ainvoke(adapter, 8, calls // 10)
        adapter.flush()
        times.append((process_time() - begun) / (calls // 10))
    tracemalloc.start()
    in_use = []
    for _round in range(5):
        await call_ainvoke(adapter, 8, calls // 5)
        in_use.append(await _settled(adapter))
    tracemalloc.stop()
    # What the first rounds leave is there once: caches that fill up.
    kept = (in_use[4] - in_use[2]) / (2 * (calls // 5))
    return {"first": min(times[:3]), "last": min(times[-3:]), "kept": kept, "runs": adapter.live()}


CROWDS: dict[str, Callable[[Adapter, int, int], Awaitable[Any]]] = {
    "throughput": throughput,
    "memory": memory,
    "history": history,
}
