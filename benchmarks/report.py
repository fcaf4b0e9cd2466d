"""Renders `results.json` as `docs/performance.md`: what a user wants to know, on one short page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import breakdown, simulated
from .contestants import BASELINES, BY_NAME
from .goals import best_peer, goals, rates, records_tokens, verdict
from .summary import Figure, Results, added
from .tables import figure, label, short, table

HEAD = """# Performance

What the handler adds to the time of a call, in microseconds (millionths of a second). A model takes about 20,000 µs per
token.
"""

UNDER_FIRST = """Prompts and answers are switched off. The *bare Sentry spans* are the same spans with the same
attributes, made with Sentry's SDK from constants: this is what the SDK costs. Those of the 1,000 streams have no
attributes. The last column is the peer that adds least, of those whose spans have the tokens of a call.
[All peers, all figures, and how they are measured](benchmarks.md).
"""

GOALS = """## Goals

Ratios compare whole times, LangChain's own work included, which is what an application sees. The two that are compared
take turns, and the time is the processor's: so little depends on the machine and on what it does beside. The *least
handler* makes the same spans from LangChain's events as long as nothing is out of the ordinary, so what this package
takes above it is what its promises cost. A goal that the least handler misses, too, is a *floor*.
"""

PROFILE = """## Where the microseconds go

One `invoke` of a model in a request, by step. Steps named *start* and *end* run when the call starts and ends, steps
named *request* when the request ends.
"""

ABOUT_PROFILE = """Every call and return of a function is watched. The time between two of them belongs to the step of
the function: `benchmarks/steps.py` says which. The cost of watching is taken off, and all steps are scaled to the time
of an unwatched call, so they add up to it. Times are those of the processor; the numbers of function calls are exact.
`make bench ARGS="--profile invoke"` prints this table; `ainvoke`, `chain`, `agent` and `stream` are
[in the details](benchmarks.md#where-the-microseconds-go).
"""


def render(results: Mapping[str, Any]) -> str:
    """The page, as Markdown."""
    found = Results(results.get("samples", ()))
    parts = [HEAD, first(found, results.get("crowd", ())), UNDER_FIRST, _about(results), GOALS]
    parts += _goals(found, results)
    parts += simulated.render(results.get("simulated", ()))
    parts += _profile(results.get("profile", ()))
    parts += _production(results.get("production", ()))
    parts += _earlier(results.get("earlier", ()))
    return "\n".join(parts)


def first(found: Results, crowd: Sequence[Mapping[str, Any]]) -> str:
    """The table that is read in ten seconds."""
    rows = [
        _first_row(found, "a token of a stream", "token", "token_astream/1000"),
        _first_row(found, "a model call, `ainvoke`", "call", "call_ainvoke/8"),
        _first_row(found, "a model call, `invoke`", "call", "call_invoke/8"),
        _first_row(found, "a chain, 5 deep, with a model call", "tree", "chain/5"),
        _first_row(found, "an agent with two model calls and a tool", "tree", "agent/1"),
        _streams_row(found, crowd),
        _first_row(found, "a model call in a request that is not sampled", "unsampled", "call_ainvoke/8", "unsampled"),
    ]
    head = ("µs added to", "this handler", "bare Sentry spans", "Sentry's own integration", "best peer with tokens")
    return table(head, rows)


def _first_row(found: Results, title: str, section: str, case: str, variant: str = "no content") -> list[str]:
    cells = [found.added(section, case, name, variant) for name in ("own", "full", "sentry")]
    if cells[1] is None:  # of an earlier version of the benchmarks
        cells[1] = found.added(section, case, "bare", variant)
    best = best_peer(found, section, case, variant)
    last = "–" if best is None else f"{short(best[1].median)} ({best[0]})"
    return [title, *("–" if cell is None else short(cell.median) for cell in cells), last]


def _streams_row(found: Results, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Seconds per chunk that are added where 1,000 streams take turns."""
    seconds: dict[str, float] = {}
    for row in rows:
        name, variant = row["contestant"], row["variant"]
        fast = Figure.of(list(rates(rows, name, variant).values()))
        if variant == BY_NAME[name].variants[0] and fast is not None:
            seconds[name] = 1 / fast.median
    none = seconds.get("none")
    peers = [name for name in seconds if name not in (*BASELINES, "own", "sentry")]
    best = min((name for name in peers if records_tokens(found, name)), key=lambda name: seconds[name], default=None)

    def cell(name: str | None) -> str:
        return "–" if name not in seconds or none is None else short(seconds[name] - none)

    last = "–" if best is None else f"{cell(best)} ({BY_NAME[best].label})"
    return ["a token of each of 1,000 streams at once", cell("own"), cell("bare"), cell("sentry"), last]


def _about(results: Mapping[str, Any]) -> str:
    names = ("sentry-langchain-stream", "sentry-sdk", "langchain-core", "langgraph")
    versions = ", ".join(f"{name} {results['versions'][name]}" for name in names if name in results["versions"])
    again = "".join(f"Some sections were measured again {run}.\n" for run in results.get("again", ()))
    return (
        f"Measured on {results['date']} with `{results['command']}`, {results['rounds']} rounds, "
        f"{results['machine']}: {versions}.\n{again}"
    )


def _goals(found: Results, results: Mapping[str, Any]) -> Iterator[str]:
    told = list(goals(found, results))
    verdicts = [verdict(goal) for goal in told]
    rows = [[goal.what, goal.measured, goal.least, goal.more, met] for goal, met in zip(told, verdicts, strict=True)]
    yield table(("goal", "measured", "least handler", "more", "met"), rows)


def _profile(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    shown = [row for row in rows if row["workload"] == "invoke" and "steps" in row and row["contestant"] != "none"]
    if not shown:
        return
    yield PROFILE
    head = ["step"]
    for row in shown:
        head += [f"{label(row['contestant'], row['variant'])}, µs", "calls"]
    lines = []
    for phase, step, cells in breakdown.lines(shown):
        texts = [("–", "–") if cell is None else (f"{cell[0] * 1e6:,.1f}", f"{cell[1]:,.0f}") for cell in cells]
        lines.append([breakdown.title(phase, step), *(text for pair in texts for text in pair)])
    yield table(head, lines)
    yield ABOUT_PROFILE


_SINKS = {"answers": "", "hangs": ", Sentry does not answer", "refuses": ", Sentry refuses connections"}


def _production(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not rows:
        return
    one = rows[0]
    requests = max((len(row["first_byte"]) for row in rows), default=0)
    yield "## In production terms\n"
    yield (
        f"A service under uvicorn streams answers of {one['tokens']} tokens, {one['per_second']:.0f} per second, to "
        f"{one['clients']} clients at a time.\nIt sends its spans over HTTP to a server on the same machine. "
        f"Each service has answered {requests} requests.\n"
    )
    none = next((row for row in rows if row["contestant"] == "none"), None)
    lines = []
    for row in rows:
        if row.get("problem"):
            continue
        cpu, waits = Figure.of(row["cpu"]), row["first_byte"]
        more = added(row["cpu"], none["cpu"]) if none is not None and row is not none else None
        lines.append(
            [
                f"{label(row['contestant'], row['variant'])}{_SINKS[row['sink']]}",
                figure(cpu, 1e3),
                figure(more, 1e3),
                *(f"{_percentile(waits, part) * 1e3:,.1f}" for part in (0.5, 0.99)),
            ]
        )
    head = ("", "CPU per request, ms", "added, ms", "first byte after, median, ms", "p99, ms")
    yield table(head, lines)
    yield (
        "CPU is that of the whole process, with the threads that send. The p99 is nearly the slowest of all requests.\n"
        "A full garbage collection takes 50 to 130 ms in each of these services, with no handler too, and happens\n"
        "a few times. Whether a first byte waits for one is chance.\n"
    )


def _percentile(values: Sequence[float], part: float) -> float:
    """The value below which this part of all values lies, between the two next to it."""
    found = sorted(values)
    place = part * (len(found) - 1)
    low = int(place)
    high = min(low + 1, len(found) - 1)
    return found[low] + (found[high] - found[low]) * (place - low)


def _earlier(runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if runs:
        yield "## The last runs\n"
        yield "µs added above no handler, on the machines of the day: compare the lines, not the days.\n"
        yield "![Added per workload in the last runs](performance-runs.svg)\n"
