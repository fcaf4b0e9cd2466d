"""A contestant's process: reads one JSON request per line, answers with one JSON line each.

    python -m benchmarks.worker <contestant> <variant>

It runs in the contestant's own environment, so it imports the standard library, LangChain and the adapter only.
Whatever the contestant prints goes to standard error.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import sys
import time
import warnings
from inspect import isawaitable
from typing import Any

from .adapters import Adapter, Sink
from .crowd import CROWDS, WARM_UP
from .model import INPUT_TOKENS, MODEL, PROMPT
from .workloads import WORKLOADS


class Process:
    """One contestant that has been set up."""

    def __init__(self, name: str, variant: str) -> None:
        self._sink = Sink()
        self._loop = asyncio.new_event_loop()
        self._adapter: Adapter = importlib.import_module(f"benchmarks.adapters.{name}").setup(self._sink, variant)

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Do what was asked for."""
        if asked["do"] == "check":
            return self._check(asked["workload"], asked["size"])
        what = asked["workload"], asked["size"], asked["times"]
        if asked["do"] == "crowd":
            return self._run(*what)
        if asked["do"] == "turn":
            from .pairs import turn

            return {"seconds": turn(lambda: self._run(*what))}
        if asked["do"] == "pair":
            from .pairs import alternated

            return {"seconds": alternated(lambda adapter: self._run(*what, adapter), self._adapter, asked)}
        if asked["do"] == "profile":
            from .profiling import profiled

            return profiled(lambda: self._run(*what), asked["rounds"])
        if asked["do"] == "bytecodes":
            from .simulated import bytecodes

            return bytecodes(lambda times: self._run(asked["workload"], asked["size"], times))
        if asked["do"] == "simulate":
            from .simulated import watched

            watched(lambda: self._run(*what))
            return {}
        return self._sample(*what)

    def _sample(self, workload: str, size: int, times: int) -> dict[str, Any]:
        self._settle(0.001)
        gc.collect()
        before = _loop()
        cpu = time.process_time()
        sample = self._run(workload, size, times)
        after = _loop()
        # What is sent in the background is not part of the time, but of the work: of all threads, until all is sent.
        self._adapter.flush()
        return {**sample, "cpu": time.process_time() - cpu - after, "loop": (before + after) / 2}

    def _check(self, workload: str, size: int) -> dict[str, Any]:
        """Do it with a watched sink: is there a span per model call, with the model's name?

        Calls are made twice, so that what the first one leaves behind may spoil the second one.
        """
        is_crowd = workload in CROWDS
        calls = 1 if workload.startswith("token") else 2
        self._settle(0.05)
        self._adapter.flush()
        self._sink.clear()
        self._sink.watched = True
        try:
            self._run(workload, size, 10 if is_crowd else calls)
            self._settle(0.05)
            gc.collect()
            self._adapter.flush()
        finally:
            self._sink.watched = False
        named = [model for model in self._sink.models if model == MODEL]
        return {
            "expected": WARM_UP + size if is_crowd else calls * WORKLOADS[workload].models,
            "models": len(self._sink.models),
            "named": len(named),
            "content": any(PROMPT in text for text in self._sink.text),
            "shape": sorted(self._sink.shape),
            "tokens": any(str(INPUT_TOKENS) in text for text in self._sink.text),
        }

    def _settle(self, seconds: float) -> None:
        """Let what was begun end: some end their spans in threads, or some turns of the loop later."""
        self._loop.run_until_complete(asyncio.sleep(seconds))

    def _run(self, workload: str, size: int, times: int, adapter: Adapter | None = None) -> dict[str, Any]:
        run = CROWDS[workload] if workload in CROWDS else WORKLOADS[workload].run
        done = run(adapter or self._adapter, size, times)
        return self._loop.run_until_complete(done) if isawaitable(done) else done


def _loop() -> float:
    """The seconds that a loop takes: how fast the machine is now, see `measuring.at_one_speed`."""
    begun, found = time.perf_counter(), 0
    for number in range(30_000):
        found += number
    return time.perf_counter() - begun


def main() -> None:
    """Answer until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    process: Process | Exception
    try:
        process = Process(sys.argv[1], sys.argv[2])
    except Exception as error:
        process = error
    for line in sys.stdin:
        try:
            if isinstance(process, Exception):
                raise process
            answer = process.answer(json.loads(line))
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), file=answers, flush=True)
    answers.flush()
    os._exit(0)  # some contestants' threads wait for a network that is not there


if __name__ == "__main__":
    main()
