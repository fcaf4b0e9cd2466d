"""The soak's command: plays streams in phases, and after each says what the process is left with."""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import sentry_sdk
from langchain_core.callbacks import BaseCallbackHandler

from sentry_langchain_stream import SentryStreamHandler
from tests.kit import HANG
from tests.kit.wire import WIRE_SHAPES, active_span, content_allowed

from . import outage, scenes, streams
from .ledger import Ledger, Listener, Stream, Witness, transport
from .numbers import Numbers, measure
from .scenes import Play, Scene

SESSION = 200
"""Streams that one event loop plays, or one sync worker under one Sentry client, before the next."""

AT_A_TIME = 20
"""Streams that one event loop plays at the same time."""

_later = 0.0


class SoakHandler(SentryStreamHandler):
    """A handler that can be told that hours have gone by."""

    clock = staticmethod(lambda: time.perf_counter() + _later)


class Soak:
    """One process, one handler, and Sentry clients for each wire shape, with and without content."""

    def __init__(self, seed: int, threads: int, with_handler: bool) -> None:
        self._seed = seed
        self._threads = threads
        self._with_handler = with_handler
        self.ledger = Ledger()
        self.handler = SoakHandler()
        sink = transport(self.ledger)
        self._clients = [
            (
                shape,
                sentry_sdk.Client(dsn="http://soak@127.0.0.1:9/1", transport=sink, traces_sample_rate=1.0, **options),
            )
            for shape, wire in WIRE_SHAPES.items()
            for options in ({**wire, **content_allowed(False)}, {**wire, **content_allowed(True)})
        ]
        witness = Witness(self.ledger)
        self._callbacks: list[BaseCallbackHandler] = [self.handler, witness] if with_handler else [witness]
        self._scenes = {"async": scenes.scenes(scenes.ASYNC), "sync": scenes.scenes(scenes.SYNC)}
        for name in streams.APPLICATIONS:
            streams.application(name)
        for _, client in self._clients:
            self._sweep(client)  # so that all of the SDK's threads are at work before there is anything to compare

    def phase(self, number: int, count: int) -> None:
        """Play so many streams, in threads of which every other has event loops."""
        workers = []
        for worker in range(self._threads):
            share = count // self._threads + (worker < count % self._threads)
            rng = random.Random(f"{self._seed}/{number}/{worker}")
            work = self._loops if worker % 2 == 0 else self._calls
            workers.append(threading.Thread(target=work, args=(share, rng), name=f"soak {worker}"))
        for thread in workers:
            thread.start()
        for thread in workers:
            thread.join()

    def rest(self) -> Numbers:
        """Let everything come to an end that can, then measure."""
        global _later
        deadline = time.monotonic() + HANG
        while True:
            gc.collect()
            _later += 7_200  # what LangChain never ends is idle by now, and ended when others start
            for _ in range(self.handler.live_runs):
                self._sweep(self._clients[0][1])
            for _, client in self._clients:
                client.flush(timeout=5)
            missing = self._with_handler and (self.handler.live_runs or self.ledger.missing())
            if not missing or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        gc.collect()
        return measure(self.handler.live_runs)

    def _sweep(self, client: Any) -> None:
        """A call that is there for what its start, and its end, make others do."""
        with sentry_sdk.isolation_scope() as scope:
            scope.set_client(client)
            name = self.ledger.begin(Stream("sweep", frozenset({"completed"}), 1))
            config: Any = {"callbacks": self._callbacks, "metadata": {"pipeline_name": name}}
            streams.application("model").invoke("go", config)

    def _calls(self, count: int, rng: random.Random) -> None:
        for first in range(0, count, SESSION):
            with self._session(rng) as shape:
                kept: list[Any] = []
                for _ in range(min(SESSION, count - first)):
                    scene = self._draw("sync", rng)
                    with self._request(scene, shape, rng, kept) as play:
                        scene.play(play)

    def _loops(self, count: int, rng: random.Random) -> None:
        for first in range(0, count, SESSION):
            with self._session(rng) as shape:
                kept: list[Any] = []
                session = self._asession(min(SESSION, count - first), shape, rng, kept)
                if rng.random() < 0.9:
                    asyncio.run(session)
                else:
                    _run_and_forget(session)

    async def _asession(self, count: int, shape: str, rng: random.Random, kept: list[Any]) -> None:
        async def one(scene: Scene) -> None:
            with self._request(scene, shape, rng, kept) as play:
                done = scene.play(play)
                assert done is not None
                await done

        for first in range(0, count, AT_A_TIME):
            drawn = [self._draw("async", rng) for _ in range(min(AT_A_TIME, count - first))]
            await asyncio.gather(*(asyncio.create_task(one(scene)) for scene in drawn))

    def _draw(self, kind: str, rng: random.Random) -> Scene:
        among = self._scenes[kind]
        return rng.choices(among, [scene.weight for scene in among])[0]

    @contextmanager
    def _session(self, rng: random.Random) -> Iterator[str]:
        shape, client = rng.choice(self._clients)
        with sentry_sdk.isolation_scope() as scope:
            scope.set_client(client)
            scope.set_new_propagation_context()
            yield shape

    @contextmanager
    def _request(self, scene: Scene, shape: str, rng: random.Random, kept: list[Any]) -> Iterator[Play]:
        """Where a stream is played: in a request, in one that has an active span, or in none."""
        where = rng.choice(("nowhere", "request", "span"))
        with ExitStack() as around:
            if where != "nowhere":
                around.enter_context(sentry_sdk.isolation_scope()).set_new_propagation_context()
            if where == "span":
                around.enter_context(active_span(shape))
            pipelines = scene.pipelines_inside if where == "span" else scene.pipelines
            name = self.ledger.begin(Stream(f"{scene.app}: {scene.ending}", scene.allowed, pipelines))
            config = {"callbacks": self._callbacks, "metadata": {"pipeline_name": name}}
            tracked = partial(self.ledger.note, "model", name) if self._with_handler else None
            yield Play(scene.app, config, name, tracked, rng.randrange(12), kept)


def _run_and_forget(session: Any) -> None:
    """Run in a loop that is closed without a word to the generators that are still open."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(session)
    finally:
        loop.close()


def main() -> int:
    """Run the soak. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--streams", type=int, default=300_000)
    parser.add_argument("--phase", type=int, help="streams in a phase; 20,000, or a third of all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--without", action="store_true", help="without our handler: what the others do by themselves")
    parser.add_argument("--endings", action="store_true", help="show at the end what arrived of each ending")
    parser.add_argument("--servers", nargs="*", metavar="NAME", help="play clients of these servers instead, or of all")
    parser.add_argument("--sinks", nargs="*", default=[], metavar="WAY", help="only Sentrys that do this: ok, hang ...")
    parser.add_argument("--seconds", type=float, default=12.0, help="how long the clients of a server come in each row")
    parser.add_argument("--outage", action="store_true", help="instead: a provider fails, with our handler and without")
    parser.add_argument("--hours", type=float, default=12.0, help="of the outage, on a moved clock")
    parser.add_argument("--calls", type=int, default=11, help="in each of the five parts of half an hour of the outage")
    asked = parser.parse_args()
    if asked.servers is not None:
        from .servers import command

        return command.main(asked.servers, asked.sinks, asked.seconds)
    if asked.outage:
        return outage.main(round(asked.hours * 2), asked.calls, sys.stdout)

    warnings.simplefilter("ignore")
    size = asked.phase or min(20_000, max(1, asked.streams // 3))
    soak = Soak(asked.seed, asked.threads, not asked.without)
    Listener(soak.ledger)
    print(Numbers.HEADER)
    began = time.monotonic()
    rows: list[Numbers] = []
    faults = 0
    endings: dict[str, Any] = {}
    for number, first in enumerate(range(0, asked.streams, size)):
        soak.phase(number, min(size, asked.streams - first))
        numbers = soak.rest()
        settled = soak.ledger.settle()
        for ending, outcomes in settled.endings.items():
            endings.setdefault(ending, type(outcomes)()).update(outcomes)
        rows.append(numbers)
        print(numbers.row(first + size, settled, time.monotonic() - began), flush=True)
        if not asked.without:
            faults += settled.faults
            for complaint, times in settled.complaints.most_common():
                print(f"  {times} x {complaint}")
    if asked.endings:
        for ending, outcomes in sorted(endings.items()):
            print(f"{ending:40} {dict(outcomes)}")
    # In the first third, tables that have a bound fill up: of the latest runs and transactions.
    grown = [] if len(rows) < 2 else rows[-1].grown_since(rows[len(rows) // 3])
    for each in grown:
        print(each)
    print("no span lost or doubled" if not faults else f"{faults} faults")
    return 1 if grown or faults else 0


if __name__ == "__main__":
    sys.exit(main())
