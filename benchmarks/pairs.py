"""Two contestants that take turns, for the goals that compare one with the other.

Processes of one and the same contestant differ by several percent, however long they are measured: by where their
memory lies. And what a machine does beside it lasts longer than a sample. So the two share a process, each with a
client of Sentry's of its own, and take turns. There are several such processes: where memory lies matters to their
ratio a little, too.

A peer with an environment of its own has a process of its own, too. They take turns sample by sample all the same.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from time import process_time
from typing import Any, NamedTuple

from .adapters import Adapter, Sink
from .contestants import BASELINES, BY_NAME, SAME_SPANS
from .measuring import Failed, Key, Pool, problem, unlike
from .sections import SECTIONS, Case
from .summary import Figure, ratio

PROCESSES = 4
ROUNDS = 40


class Pair(NamedTuple):
    """A contestant in one variant, and what it is compared with.

    Args:
        case: What both do.
        variant: The variant of the contestant.
        other: The other contestant.
        of: Its variant.
        share: The rounds are divided by this: fewer for what takes long.
        contestant: Who is compared: this package, or the least handler in its place.
    """

    case: Case
    variant: str
    other: str
    of: str
    share: int = 1
    contestant: str = "own"

    @property
    def keys(self) -> tuple[Key, Key]:
        """Both contestants, with their variants."""
        return (self.contestant, self.variant), (self.other, self.of)


def _cases(section: str, *keys: str) -> list[Case]:
    """These cases of a section."""
    (found,) = [each for each in SECTIONS if each.name == section]
    return [case for case in found.cases if case.key in keys]


_NONE = "no content"
_LEAST = (*BY_NAME["least"].variants, "content")  # of which it has messages only, and no section has it

_GOALS: tuple[Pair, ...] = (
    *(
        Pair(case, variant, "empty", _NONE)
        for case in _cases("token", "token_astream/1000", "token_stream/1000")
        for variant in (_NONE, "content")
    ),
    *(Pair(case, _NONE, "full", _NONE) for case in _cases("call", "call_invoke/8", "call_ainvoke/8", "call_alone/8")),
    *(Pair(case, "content", "own", _NONE) for case in _cases("call", "call_invoke/8", "call_ainvoke/8")),
    *(Pair(case, _NONE, "full", _NONE) for case in _cases("tree", "agent/1")),
    Pair(Case("throughput", 1_000, 10, "1,000 streams at once"), _NONE, "bare", _NONE, share=4),
    *(Pair(case, "unsampled", "bare", "unsampled") for case in _cases("unsampled", "call_ainvoke/8", "chain/5")),
    *(Pair(case, _NONE, "sentry", _NONE) for case in _cases("call", "call_invoke/8")),
    *(Pair(case, _NONE, "ddtrace", _NONE) for case in _cases("tree", "chain/5")),
)

PAIRS: tuple[Pair, ...] = (
    *_GOALS,
    *(
        each._replace(contestant="least", other="least" if each.other == "own" else each.other)
        for each in _GOALS
        if each.variant in _LEAST
    ),
)
"""What the goals compare, and the least handler that reads in this package's place, which shows what is in reach."""


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
            "contestant": pair.contestant,
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
    found: dict[Key, dict[str, Any]] = {}
    for key in dict.fromkeys((*pair.keys, ("own", pair.variant))):
        worker = pool.worker(BY_NAME[key[0]].environment, key)
        found[key] = {"check": worker.ask(do="check", workload=pair.case.workload, size=pair.case.check)}
        wrong = problem(found[key]["check"], *key)
        if wrong is not None:
            raise Failed(f"{key[0]}: {wrong}")
    for name in SAME_SPANS:
        if (wrong := unlike(found, name, pair.variant)) is not None:
            raise Failed(wrong)


def _timed(fresh: Pool, pair: Pair, rounds: int) -> list[list[float]]:
    case, rounds = pair.case, max(2, rounds // pair.share)
    asked: dict[str, Any] = {"workload": case.workload, "size": case.size, "times": case.times}
    environments = [BY_NAME[name].environment for name, _ in pair.keys]
    own = fresh.fresh(environments[0], pair.keys[0])
    try:
        if environments[0] == environments[1]:
            found = own.ask(do="pair", rounds=rounds, timeout=600.0, other=pair.other, of=pair.of, **asked)
            seconds: list[list[float]] = found["seconds"]
            return seconds
        theirs = fresh.fresh(environments[1], pair.keys[1])
        try:
            return in_turns(lambda place: float((own, theirs)[place].ask(do="turn", **asked)["seconds"]), rounds)
        finally:
            theirs.close()
    finally:
        own.close()


def figure(
    rows: Sequence[Mapping[str, Any]], case: str, variant: str, other: str, of: str, contestant: str = "own"
) -> Figure | None:
    """How many times as long a contestant takes as the other one, or `None` if that was not measured."""
    wanted = contestant, case, variant, other, of
    for row in rows:
        found = row["contestant"], row["case"], row["variant"], row["other"], row["of"]
        if found == wanted and "problem" not in row:
            both = row["seconds"]
            return ratio([own for own, _ in both], [theirs for _, theirs in both])
    return None


def in_turns(sample: Callable[[int], float], rounds: int) -> list[list[float]]:
    """The processor's seconds of both contestants, in each round one sample of each.

    Args:
        sample: Takes a sample of the first (0) or the second (1), and returns its seconds.
        rounds: The number of rounds.
    """
    for place in (0, 1, 0, 1):  # to warm up
        sample(place)
    found = []
    for number in range(rounds):
        first = number % 2
        taken = {place: sample(place) for place in (first, 1 - first)}
        found.append([float(f"{taken[place]:.5g}") for place in (0, 1)])
    return found


# -- In the process of the two -----------------------------------------------------------------------------------------


def alternated(run: Callable[[Adapter], object], own: Adapter, asked: Mapping[str, Any]) -> list[list[float]]:
    """Have this process's contestant and another one take turns, see `in_turns`.

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
        return turn(lambda: run((own, other)[place]))

    return in_turns(sample, asked["rounds"])


def turn(run: Callable[[], object]) -> float:
    """The processor's seconds that something takes."""
    gc.collect()
    gc.freeze()  # else collecting all that is loaded takes longer than most samples
    begun = process_time()
    run()
    return process_time() - begun
