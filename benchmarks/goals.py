"""What this package wants to keep to, and whether it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .contestants import BASELINES, BY_NAME, IMPORT, IMPORT_AND_MAKE
from .pairs import figure as in_pairs
from .summary import Figure, Results, ratio


class Goal(NamedTuple):
    """A goal, and what was measured.

    Args:
        what: What is wanted.
        measured: What was measured.
        more: More on it.
        met: Whether it is met; `None` if it was not measured.
        least: What was measured of the least handler that reads, in the place of this package.
        in_reach: Whether that meets the goal; `None` if it was not measured.
    """

    what: str
    measured: str
    more: str
    met: bool | None
    least: str = "–"
    in_reach: bool | None = None


NOT_MEASURED = "not measured"

_CALLS = (("call_invoke/8", "`invoke`"), ("call_ainvoke/8", "`ainvoke`"))


def goals(results: Results, rest: Mapping[str, Any]) -> Iterator[Goal]:
    """Every goal, in the order of the page.

    Args:
        results: The timed sections.
        rest: The other sections, as in `results.json`.
    """
    ran = rest.get("pairs", ())
    for variant in ("no content", "content"):
        for case, title in (("token_astream/1000", "`astream`"), ("token_stream/1000", "`stream`")):
            what = f"Per token, {title}, {variant}: at most 1.15 times the empty inline handler"
            yield _times(results, "token", case, what, 1.15, "empty", variant=variant, ran=ran)
    for case, title in _CALLS:
        what = f"{title}: at most 1.15 times bare spans with the same attributes"
        yield _times(results, "call", case, what, 1.15, "full", ran=ran)
    what = "`invoke`: adds less than Sentry's own integration"
    yield _below(results, "call", "call_invoke/8", what, "sentry", ran)
    for case, title in _CALLS:
        what = f"{title} with content: at most 1.4 times no content"
        yield _times(results, "call", case, what, 1.4, "own", variant="content", ran=ran)
    what = "`ainvoke` with no request around it: at most 1.1 times bare spans with the same attributes"
    yield _times(results, "call", "call_alone/8", what, 1.1, "full", ran=ran)
    yield _below(results, "tree", "chain/5", "5-deep chain: adds less than ddtrace APM", "ddtrace", ran)
    what = "Agent with a tool call: at most 1.3 times bare spans with the same attributes"
    yield _times(results, "tree", "agent/1", what, 1.3, "full", ran=ran)
    yield from _streams(rest.get("crowd", ()), ran)
    for case, title in (("call_ainvoke/8", "`ainvoke`"), ("chain/5", "5-deep chain")):
        what = f"{title}, unsampled: at most 1.1 times the bare span, unsampled"
        yield _times(results, "unsampled", case, what, 1.1, "bare", variant="unsampled", of="unsampled", ran=ran)
    yield _import(rest.get("import", ()))


def kept(results: Results, rest: Mapping[str, Any]) -> Iterator[Goal]:
    """What was reached before and has to stay, for the page of the details."""
    for case, title in (
        ("token_astream/1000", "`astream`"),
        ("token_stream/1000", "`stream`"),
        ("call_ainvoke/8", "`ainvoke`"),
        ("chain/5", "5-deep chain"),
    ):
        what = f"{title}, no client: at most 1.1 times the empty inline handler"
        yield _times(results, "unsampled", case, what, 1.1, "empty", variant="no client")
    yield from _held(rest.get("crowd", ()))
    yield from _grown(rest.get("history", ()))


def verdict(goal: Goal) -> str:
    """Whether a goal is met: `yes`, `no`, or `–` if it was not measured.

    `floor` is a goal that is missed, and by the least handler that reads, too: it is beyond reach.
    """
    if goal.met is None:
        return "–"
    return "yes" if goal.met else "floor" if goal.in_reach is False else "**no**"


def _times(
    results: Results,
    section: str,
    case: str,
    what: str,
    limit: float,
    baseline: str,
    *,
    variant: str = "no content",
    of: str = "no content",
    ran: Sequence[Mapping[str, Any]] = (),
) -> Goal:
    """A ratio of whole times, LangChain's own work included: what an application sees.

    It is that of the pairs that took turns in one process. Without them, as in a file of an earlier version, it is that
    of the section's processes.
    """
    figure = in_pairs(ran, case, variant, baseline, of) or ratio(
        results.values(section, case, "own", variant),
        results.values(section, case, baseline, of),
    )
    if figure is None:
        return Goal(what, NOT_MEASURED, "", None)
    own, other = (results.added(section, case, *key) for key in (("own", variant), (baseline, of)))
    # Where this package is compared with itself, so is the least handler.
    least = in_pairs(ran, case, variant, "least" if baseline == "own" else baseline, of, "least")
    more = _range(figure) + _added(own, other)
    return _judged(what, figure, more, least, lambda median: median <= limit)


def _below(
    results: Results, section: str, case: str, what: str, peer: str, ran: Sequence[Mapping[str, Any]] = ()
) -> Goal:
    """Compared without content: by the whole times of a pair, else by what both add above no handler."""
    own, other = (results.added(section, case, name, "no content") for name in ("own", peer))
    key = case, "no content", peer, "no content"
    figure = in_pairs(ran, *key)
    if figure is not None:
        least = in_pairs(ran, *key, "least")
        return _judged(what, figure, _range(figure) + _added(own, other), least, lambda median: median < 1)
    if own is None or other is None:
        return Goal(what, NOT_MEASURED, "", None)
    more = f"{BY_NAME[peer].label}: {_micro(other)} µs"
    return Goal(what, f"{_micro(own)} µs", more, own.median < other.median)


def _judged(what: str, figure: Figure, more: str, least: Figure | None, is_met: Callable[[float], bool]) -> Goal:
    """A goal on how many times the other's time or rate it is."""
    goal = Goal(what, f"{figure.median:.2f} times", more, is_met(figure.median))
    return goal if least is None else goal._replace(least=f"{least.median:.2f}", in_reach=is_met(least.median))


def _range(figure: Figure) -> str:
    return f"{figure.low:.2f} to {figure.high:.2f}"


def _added(own: Figure | None, other: Figure | None) -> str:
    return "" if own is None or other is None else f"; adds {_micro(own)} µs, the other {_micro(other)} µs"


def best_peer(results: Results, section: str, case: str, variant: str = "no content") -> tuple[str, Figure] | None:
    """The peer that adds least to a case, of those whose spans record the tokens of a call, and what it adds.

    Sentry's own integration is not among them: it is compared for itself.

    Args:
        results: The timed sections.
        section: One of them.
        case: The case.
        variant: The variant to compare. A peer that has no switch for content stands as it is.
    """
    found = {}
    for name, shown in results.pairs(section):
        peer = BY_NAME[name]
        if name in {*BASELINES, "own", "sentry"} or peer.only_in is not None or not records_tokens(results, name):
            continue
        if shown == variant or (variant == "no content" and variant not in peer.variants):
            figure = results.added(section, case, name, shown)
            if figure is not None:
                found[name] = figure
    best = min(found, key=lambda name: found[name].median, default=None)
    return None if best is None else (BY_NAME[best].label, found[best])


def records_tokens(results: Results, name: str) -> bool:
    """Whether the spans of a contestant have the tokens of a call."""
    return results.tells_tokens("call", "call_ainvoke/8", name, BY_NAME[name].variants[0])


def rates(rows: Sequence[Mapping[str, Any]], name: str, variant: str = "no content") -> dict[int, float]:
    """Chunks per second of the smallest crowd, by round."""
    fast = [row for row in rows if row["workload"] == "throughput" and "chunks_per_second" in row]
    size = min((row["size"] for row in fast), default=0)
    return {
        row.get("round", place): row["chunks_per_second"]
        for place, row in enumerate(fast)
        if (row["contestant"], row["variant"], row["size"]) == (name, variant, size)
    }


def _streams(rows: Sequence[Mapping[str, Any]], ran: Sequence[Mapping[str, Any]] = ()) -> Iterator[Goal]:
    own, bare = rates(rows, "own"), rates(rows, "bare")
    what = "1,000 streams at once: at least 0.85 times the bare span's chunks per second"
    # A file of an earlier version has no rounds: then the medians are compared.
    both = [(own[each], bare[each]) for each in own if each in bare]
    key = "throughput/1000", "no content", "bare", "no content"
    turns, least = in_pairs(ran, *key), in_pairs(ran, *key, "least")
    figure = turns.inverse() if turns is not None else Figure.of([mine / theirs for mine, theirs in both])
    if figure is None and own and bare:
        medians = [Figure.of(list(each.values())) for each in (own, bare)]
        figure = ratio(*([each.median] for each in medians if each is not None))
    if figure is None:
        yield Goal(what, NOT_MEASURED, "", None)
    else:
        rate = None if least is None else least.inverse()
        yield _judged(what, figure, _range(figure), rate, lambda median: median >= 0.85)
    held = {key: live for key, live in _live(rows).items() if key[2] == 10}
    mine, theirs, none = (held.get((name, "no content", 10)) for name in ("own", "bare", "none"))
    what = "A live stream: at most 4,000 bytes more than with the bare span"
    if mine is None or theirs is None or none is None:
        yield Goal(what, NOT_MEASURED, "", None)
    else:
        more = f"{mine - none:,.0f} bytes, the bare span {theirs - none:,.0f}"
        yield Goal(what, f"{mine - theirs:,.0f} bytes", more, mine - theirs <= 4_000)


def _live(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, int], float]:
    """Bytes per live stream of the smallest crowd, by contestant, variant and chunks that have arrived."""
    known = [row for row in rows if row["workload"] == "memory" and "live" in row]
    size = min((row["size"] for row in known), default=0)
    return {(row["contestant"], row["variant"], row["tokens"]): row["live"] for row in known if row["size"] == size}


def _held(rows: Sequence[Mapping[str, Any]]) -> Iterator[Goal]:
    held = _live(rows)
    for variant in ("no content", "content"):
        what = f"Memory per live stream, {variant}: " + ("constant" if variant == "no content" else "bounded")
        after = []
        for tokens in (10, 100):
            own, none = held.get(("own", variant, tokens)), held.get(("none", "no content", tokens))
            if own is not None and none is not None:
                after.append(own - none)
        if len(after) < 2:
            yield Goal(what, NOT_MEASURED, "", None)
            continue
        grown = (after[1] - after[0]) / 90
        # Kept text grows by the text; what is bounded is how much of it is kept.
        limit = 1.0 if variant == "no content" else 100.0
        more = f"{after[0]:,.0f} bytes after 10 chunks"
        yield Goal(what, f"{grown:,.1f} bytes per chunk", more, grown < limit)


def _grown(rows: Sequence[Mapping[str, Any]]) -> Iterator[Goal]:
    # A record that is kept would be more than 1,000 bytes; the allocator's own lists are a few dozen per run.
    for row in (row for row in rows if row["contestant"] == "own" and "kept" in row):
        more = f"{row['first'] * 1e6:,.0f} µs per call at first, {row['last'] * 1e6:,.0f} µs at last"
        met = bool(row["kept"] < 100 and row["last"] < 1.1 * row["first"])
        what = f"Nothing grows with finished runs, {row['variant']}"
        yield Goal(what, f"{row['kept']:,.1f} bytes per run", more, met)


def _import(rows: Sequence[Mapping[str, Any]]) -> Goal:
    what = "Import of the handler beside a loaded chat model: at most 20 ms"
    beside = [row for row in rows if row["contestant"] == "own" and "chat_models" in row["beside"]]
    found = {row["import"]: Figure.of([1e3 * seconds for seconds in row["seconds"]]) for row in beside}
    figure = found.get(IMPORT)
    if figure is None:
        return Goal(what, NOT_MEASURED, "", None)
    more, first = f"{figure.low:.1f} to {figure.high:.1f}", found.get(IMPORT_AND_MAKE)
    if first is not None:
        more += f"; with the making of the first handler {first.median:.1f} ms"
    return Goal(what, f"{figure.median:.1f} ms", more, figure.median <= 20)


def _micro(figure: Figure) -> str:
    return f"{figure.median * 1e6:,.1f}" if abs(figure.median) < 1e-4 else f"{figure.median * 1e6:,.0f}"
