"""Two contestants that take turns in one process, for the goals that compare this package with a baseline.

Processes of one and the same contestant differ by several percent, however long they are measured: by where their
memory lies. And what a machine does beside it lasts longer than a sample. So the two share a process, each with a
client of Sentry's of its own, and take turns. There are several such processes: where memory lies matters to their
ratio a little, too.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from time import process_time
from typing import Any, NamedTuple

from .adapters import Adapter, Sink
from .contestants import BASELINES, SAME_SPANS
from .measuring import Failed, Pool, problem, unlike
from .sections import SECTIONS, Case
from .summary import Figure, ratio
from .workloads import WORKLOADS

PROCESSES = 4
ROUNDS = 40


class Pair(NamedTuple):
    """This package in one variant, and what it is compared with.

    Args:
        case: What both do.
        variant: The variant of this package.
        other: The other contestant, from the same environment.
        of: Its variant.
        share: The rounds are divided by this: fewer for what takes long.
    """

    case: Case
    variant: str
    other: str
    of: str
    share: int = 1


def _cases(section: str, *keys: str) -> list[Case]:
    """These cases of a section."""
    (found,) = [each for each in SECTIONS if each.name == section]
    return [case for case in found.cases if case.key in keys]


_NONE = "no content"

PAIRS: tuple[Pair, ...] = (
    *(
        Pair(case, variant, "empty", _NONE)
        for case in _cases("token", "token_astream/1000", "token_stream/1000")
        for variant in (_NONE, "content")
    ),
    *(Pair(case, _NONE, "full", _NONE) for case in _cases("call", "call_invoke/8", "call_ainvoke/8", "call_alone/8")),
    *(Pair(case, "content", "own", _NONE) for case in _cases("call", "call_invoke/8", "call_ainvoke/8")),
    *(Pair(case, _NONE, "full", _NONE) for case in _cases("tree", "agent/1")),
    Pair(Case("throughput", 1_000, 10, "1,000 streams at once"), _NONE, "bare", _NONE, share=8),
    *(Pair(case, "unsampled", "bare", "unsampled") for case in _cases("unsampled", "call_ainvoke/8", "chain/5")),
)
"""What the goals compare within this package's environment."""


def pairs(pool: Pool, fresh: Pool, quick: bool) -> list[dict[str, Any]]:
    """A row per pair: the seconds of both, sample by sample.

    Args:
        pool: The processes in which the spans are checked.
        fresh: Makes the processes in which is timed.
        quick: Whether a few samples of one process do.
    """
    rows: list[dict[str, Any]] = []
    for pair in PAIRS:
        row: dict[str, Any] = {
            "contestant": "own",
            "case": pair.case.key,
            "variant": pair.variant,
            "other": pair.other,
            "of": pair.of,
        }
        rows.append(row)
        try:
            _check(pool, pair)
            row["seconds"] = []
            for _ in range(1 if quick else PROCESSES):
                row["seconds"] += _timed(fresh, pair, 4 if quick else ROUNDS)
        except Failed as failed:
            row["problem"] = str(failed)
        print(f"pairs: {pair.case.title}, {pair.variant}", file=sys.stderr)
    return rows


def _check(pool: Pool, pair: Pair) -> None:
    workload = pair.case.workload if pair.case.workload in WORKLOADS else "token_astream"
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for key in (("own", pair.variant), (pair.other, pair.of)):
        found[key] = {"check": pool.worker("own", key).ask(do="check", workload=workload, size=pair.case.check)}
        wrong = problem(found[key]["check"], *key)
        if wrong is not None:
            raise Failed(f"{key[0]}: {wrong}")
    if pair.other in SAME_SPANS and (wrong := unlike(found, pair.other)) is not None:
        raise Failed(wrong)


def _timed(fresh: Pool, pair: Pair, rounds: int) -> list[list[float]]:
    worker, case = fresh.fresh("own", ("own", pair.variant)), pair.case
    try:
        asked = {"workload": case.workload, "size": case.size, "times": case.times, "other": pair.other, "of": pair.of}
        found = worker.ask(do="pair", rounds=max(2, rounds // pair.share), timeout=600.0, **asked)
    finally:
        worker.close()
    seconds: list[list[float]] = found["seconds"]
    return seconds


def figure(rows: Sequence[Mapping[str, Any]], case: str, variant: str, other: str, of: str) -> Figure | None:
    """How many times as long this package takes as the other contestant, or `None` if that was not measured."""
    wanted = case, variant, other, of
    for row in rows:
        if (row["case"], row["variant"], row["other"], row["of"]) == wanted and "problem" not in row:
            both = row["seconds"]
            return ratio([own for own, _ in both], [theirs for _, theirs in both])
    return None


# -- In the process of the two -----------------------------------------------------------------------------------------


def alternated(run: Callable[[Adapter], object], own: Adapter, asked: Mapping[str, Any]) -> list[list[float]]:
    """The processor's seconds of both contestants, in each round one sample of each.

    Args:
        run: Does what is asked, with one of the two.
        own: This package, which has been set up.
        asked: The pair and the number of rounds.
    """
    import sentry_sdk
    from sentry_sdk.client import NonRecordingClient

    scope = sentry_sdk.get_global_scope()
    clients: list[Any] = [scope.client]
    scope.set_client(NonRecordingClient())
    other: Adapter = importlib.import_module(f"benchmarks.adapters.{asked['other']}").setup(Sink(), asked["of"])
    clients.append(scope.client)
    if asked["other"] in BASELINES:
        # Once an integration is set up, the SDK gives it to every client, though the baselines' have it disabled.
        for name in ("langchain", "langgraph"):
            getattr(scope.client, "integrations", {}).pop(name, None)

    def sample(place: int) -> float:
        scope.set_client(clients[place])
        gc.collect()
        begun = process_time()
        run((own, other)[place])
        return process_time() - begun

    for place in (0, 1, 0, 1):  # to warm up
        sample(place)
    gc.collect()
    gc.freeze()  # else collecting all that is loaded takes longer than most samples
    found = []
    for number in range(asked["rounds"]):
        first = number % 2
        taken = {place: sample(place) for place in (first, 1 - first)}
        found.append([float(f"{taken[place]:.5g}") for place in (0, 1)])
    return found
