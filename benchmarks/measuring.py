"""Asks the contestants' processes in turn, so that a machine that slows down slows all of them down."""

from __future__ import annotations

import json
import os
import random
import select
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from .contestants import SAME_SPANS
from .environments import QUIET, ROOT
from .sections import Case, Section

Key = tuple[str, str]
"""Contestant and variant."""


class Failed(Exception):
    """A contestant could not do what was asked."""


class Worker:
    """A contestant's process.

    Args:
        python: The interpreter of its environment.
        key: Contestant and variant.
        within: A command that runs it.
    """

    def __init__(self, python: Path, key: Key, within: Sequence[str] = ()) -> None:
        self._process = subprocess.Popen(
            [*within, python, "-m", "benchmarks.worker", *key],
            cwd=ROOT,
            env={**os.environ, **QUIET},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, *, timeout: float = 120.0, **request: Any) -> dict[str, Any]:
        """One request, one answer.

        Raises:
            Failed: It has no answer, or none within `timeout` seconds.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
        except OSError:
            raise Failed("its process ended") from None
        if not select.select([stdout], [], [], timeout)[0]:
            self.close()
            raise Failed(f"no answer within {timeout:.0f} s")
        line = stdout.readline()
        if not line:
            raise Failed("its process ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


class Pool:
    """The processes of all contestants, each started when it is first asked and kept till the end."""

    def __init__(self, pythons: dict[str, Path]) -> None:
        self._pythons = pythons
        self._workers: dict[Key, Worker] = {}

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *args: object) -> None:
        for worker in self._workers.values():
            worker.close()

    def worker(self, environment: str, key: Key) -> Worker:
        """The process of a contestant."""
        if key not in self._workers:
            self._workers[key] = Worker(self._pythons[environment], key)
        return self._workers[key]

    def fresh(self, environment: str, key: Key) -> Worker:
        """A new process, to be closed by the caller."""
        return Worker(self._pythons[environment], key)

    def has(self, environment: str) -> bool:
        """Whether there is such an environment."""
        return environment in self._pythons


def measure(pool: Pool, section: Section, chosen: frozenset[str], rounds: int, few: bool) -> list[dict[str, Any]]:
    """The samples of a section: a row per case, contestant and variant, with a value per round."""
    rows: list[dict[str, Any]] = []
    order = random.Random(20)
    for case in section.cases:
        workers: dict[Key, Worker] = {}
        of_case: dict[Key, dict[str, Any]] = {}
        taking_part = [pair for pair in section.contestants(chosen, few) if pool.has(pair[0].environment)]
        for contestant, variant in taking_part:
            pool.worker(contestant.environment, (contestant.name, variant))  # they start side by side
        for contestant, variant in taking_part:
            key = contestant.name, variant
            row: dict[str, Any] = {"section": section.name, "case": case.key, "contestant": key[0], "variant": key[1]}
            rows.append(row)
            try:
                worker = pool.worker(contestant.environment, key)
                row["check"] = worker.ask(do="check", workload=case.workload, size=case.check)
                row["problem"] = problem(row["check"], *key)
                if row["problem"] is None:
                    worker.ask(do="sample", workload=case.workload, size=case.size, times=case.times)  # to warm up
                    workers[key], of_case[key] = worker, row
            except Failed as failed:
                row["problem"] = str(failed)
        for name in SAME_SPANS:
            if (wrong := unlike(of_case, name)) is not None:
                of_case[name, "no content"]["problem"] = wrong
                del workers[name, "no content"]
        _sample(case, workers, of_case, rounds, order)
        at_one_speed(list(of_case.values()))
        print(f"{section.name}: {case.title}, {len(workers)} contestants", file=sys.stderr)
    return rows


_TIMES = ("per_unit", "whole", "cpu")


def at_one_speed(rows: list[dict[str, Any]]) -> None:
    """Scale the samples of a case to one speed of the machine, which may change from one sample to the next.

    Before and after each sample a loop is timed, always the same. What it took then, and what it took in the middle of
    all, say how fast the machine was.

    Args:
        rows: The rows of the case. What their loops took is taken out of them.
    """
    loops = [row.pop("loop", []) for row in rows]
    if not any(loops):
        return
    usual = statistics.median(chain.from_iterable(loops))
    for row, taken in zip(rows, loops, strict=True):
        for name in _TIMES:
            row[name] = [float(f"{each * usual / loop:.5g}") for each, loop in zip(row[name], taken, strict=True)]


def _sample(
    case: Case, workers: dict[Key, Worker], rows: dict[Key, dict[str, Any]], rounds: int, order: random.Random
) -> None:
    for row in rows.values():
        row.update(per_unit=[], whole=[], cpu=[], loop=[])
    for _ in range(rounds):
        for key in _shuffled(workers, order):
            if rows[key]["problem"] is not None:
                continue
            try:
                sample = workers[key].ask(do="sample", workload=case.workload, size=case.size, times=case.times)
            except Failed as failed:
                rows[key]["problem"] = str(failed)
                continue
            for name in (*_TIMES, "loop"):
                rows[key][name].append(sample[name])


def _shuffled(keys: Iterable[Key], order: random.Random) -> list[Key]:
    found = sorted(keys)
    order.shuffle(found)
    return found


def unlike(rows: dict[Key, dict[str, Any]], name: str = "full", variant: str = "no content") -> str | None:
    """What is wrong with the spans of one of `SAME_SPANS`, or `None`.

    They have to be as many as this package's, with as many attributes each.
    """
    own, same = (rows.get((each, variant)) for each in ("own", name))
    if own is None or same is None or own["check"]["shape"] == same["check"]["shape"]:
        return None
    return f"not the same spans: {_told(same['check']['shape'])}; the handler's: {_told(own['check']['shape'])}"


def _told(shape: list[list[Any]]) -> str:
    return ", ".join(f"{op} {attributes}" for op, attributes in shape)


def problem(check: dict[str, Any], contestant: str, variant: str) -> str | None:
    """What is wrong with the spans of one run of a workload, or `None`.

    A contestant that records nothing in this variant must have sent nothing, any other one span with the model's name
    per model call, with the prompt in it if and only if content is recorded.
    """
    if contestant in ("none", "empty") or variant in ("unsampled", "no client"):
        return None if check["models"] == 0 else f"{check['models']} spans where none was expected"
    if check["models"] != check["expected"]:
        return "no span" if not check["models"] else f"{check['models']} spans for {check['expected']} model calls"
    if check["named"] != check["expected"]:
        return "span without the model's name"
    if variant == "no content" and check["content"]:
        return "prompt recorded though switched off"
    if variant == "content" and not check["content"]:
        return "no content recorded"
    return None
