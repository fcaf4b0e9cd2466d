"""Renders `results.json` as `docs/benchmarks.md`: every figure, and how it was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from . import breakdown
from .contestants import BASELINES, BY_NAME
from .goals import kept, verdict
from .sections import CROWD_SECTIONS, SECTIONS, Case
from .summary import Figure, Results
from .tables import figure, label, short, table

HEAD = """# Benchmarks in detail

Every figure behind [the page on performance](performance.md). `make bench` measures again and writes both pages. It
needs no network once the environments are installed. The samples are in `benchmarks/results.json`.
"""

WHY = """## Where others add less

- **Tokens.** OpenLLMetry and ddtrace do nothing per token, so they record no chunks, no gaps and no partial answer.
  Even a handler that is called for each token and does nothing is slower than they are.
- **Calls.** Sentry's SDK prepares every attribute in the thread that ends the request: the bare Sentry spans show how
  long that takes. The libraries of OpenTelemetry and Datadog do that work in a separate thread.
- **Calls alone.** Each is a separate transaction, which the SDK prepares and sends at once.
- **ddtrace APM** records provider and model, but no tokens. Datadog's LLM Observability records them, and has its own
  rows.
- **Unsampled** runs are followed too, because their failures become issues.
- **The import of the handler** needs LangChain's messages and documents, which an application with a chat model has
  already imported. Most of this package's own modules are loaded with the first handler, which is timed too.
"""

METHOD = """## How it is measured

- Every contestant has its own environment and process, set up as its documentation recommends for production: batches,
  its default limits, and a sink that discards everything in place of the network. All use the same LangChain.
- The model answers at once, so the figures show everything around it. Real models take 10 to 50 ms per token.
- Before a workload is timed, it runs once and its spans are checked: one per model call, with the model's name, and
  with the prompt if and only if content is on. A contestant that fails this check is listed under "Not timed".
- Contestants take turns, one sample each, in an order that is shuffled for every round. Differences and ratios are
  calculated within a round. The tables show their medians, with the quartiles in brackets.
- Before and after each sample a loop is timed, always the same, and the sample is scaled by it to one speed of the
  machine: others may use the machine meanwhile, and its clock may change.
- *Per token* is the time from the arrival of the first chunk at the consumer to the arrival of the last one, divided by
  the number of chunks. For v3 events, which are gathered ahead of the consumer, it is the time of the whole stream. The
  whole answers under "How cost grows" include the work at the start and the end of a stream.
- *Per call* and *per tree* include the end of a request around 30, 20 or 10 of them, which is when Sentry's SDK
  prepares what it sends. The case with no request around it does not include that.
- *Added* is the time above the same workload without a handler. *Times the empty inline handler* compares total times,
  LangChain's own work included, which is what an application sees.
- *CPU* is the time of all threads until everything has been sent to the sink.
- Garbage is collected before each sample. The collector stays on, as in production.
- The baselines have Sentry's own integrations of LangChain and LangGraph disabled, which would add spans.
- The *bare Sentry span* is a handler that starts and finishes a Sentry span without attributes for each model call.
- The *bare Sentry spans, same attributes* are as many spans as this package makes, for agents, tools, pipelines and
  models, with as many attributes of the same types. Each is active while its run lasts. The values are constants.
  Before they are timed, the numbers of spans and attributes are compared with this package's. If these differ, they
  are not timed.
- The *least handler that reads* makes the same spans too, and reads the values from LangChain's events, as long as
  nothing is out of the ordinary: one shape of each event, a question and an answer that are texts, no failure, no run
  without an end. What this package adds to it is what its promises cost. It is compared with this package's spans
  likewise.
- The SDK prepares every attribute before it sends it, in the thread that ends the request. Most peers do that in a
  separate thread.
- The ratios of the goals are those of pairs: 40 samples of each of the two, in turns, in each of four processes (5 of
  1,000 streams). There they share the process, with a client of Sentry's for each. What this package has put into the
  SDK is there for the baseline, too, and costs it a little. Apart, two processes of the same contestant differ by a few
  percent. A peer with an environment of its own has a process of its own, too, and they take turns all the same. Ratios
  in the tables of the sections are from processes of their own.
- *Many streams at a time*, *what finished runs leave* and imports run in a fresh process per sample.
"""


def render(results: Mapping[str, Any]) -> str:
    """The page, as Markdown."""
    found = Results(results.get("samples", ()))
    versions = ", ".join(f"{name} {version}" for name, version in sorted(results["versions"].items()))
    parts = [HEAD, f"{versions}.\n", _overview(found), "![Added per token and per call](performance.svg)\n"]
    parts += _without_tokens(found)
    parts.append(WHY)
    parts += _kept(found, results)
    parts += _profiles(results.get("profile", ()))
    for section in SECTIONS:
        if found.pairs(section.name):
            parts.append(f"## {section.title}\n")
            parts += _section(found, section.name, section.cases)
    parts += _crowd(results.get("crowd", ()))
    parts += _history(results.get("history", ()))
    parts += _imports(results.get("import", ()))
    parts += _problems(found, results)
    parts.append(METHOD)
    return "\n".join(parts)


def _overview(found: Results) -> str:
    columns = (
        ("token", "token_astream/1000", "per token, `astream`"),
        ("token", "token_stream/1000", "per token, `stream`"),
        ("call", "call_ainvoke/8", "per `ainvoke`"),
        ("call", "call_invoke/8", "per `invoke`"),
        ("tree", "chain/5", "5-deep chain"),
        ("tree", "agent/1", "agent"),
    )
    pairs = dict.fromkeys(pair for section in ("call", "token", "tree") for pair in found.pairs(section))
    rows = []
    for name, variant in pairs:
        if name == "none":
            continue
        cells = [found.added(section, case, name, variant) for section, case, _ in columns]
        if any(cells):
            rows.append([label(name, variant), *("–" if cell is None else short(cell.median) for cell in cells)])
    return "## Added above no handler, µs\n\n" + table(("", *(title for *_, title in columns)), rows)


def _without_tokens(found: Results) -> Iterator[str]:
    silent = [
        label(name, variant)
        for name, variant in found.pairs("call")
        if name not in BASELINES and found.values("call", "call_ainvoke/8", name, variant)
        if not found.tells_tokens("call", "call_ainvoke/8", name, variant)
    ]
    if silent:
        yield f"Spans that do not record the tokens of a call: {', '.join(silent)}.\n"


def _kept(found: Results, results: Mapping[str, Any]) -> Iterator[str]:
    yield "## Goals that were met before, and have to stay\n"
    rows = [[goal.what, goal.measured, goal.more, verdict(goal)] for goal in kept(found, results)]
    yield table(("goal", "measured", "more", "met"), rows)


def _profiles(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if rows:
        yield "## Where the microseconds go\n"
        yield (
            "By step of a call, in µs, and behind it the calls of Python functions, which are the same on every\n"
            "machine. [How it is measured](performance.md#where-the-microseconds-go).\n"
        )
    for name in dict.fromkeys(row["workload"] for row in rows):
        shown = [row for row in rows if row["workload"] == name and "steps" in row]
        yield f"### {breakdown.PROFILES[name].title}\n"
        lines = [
            [breakdown.title(phase, step), *("–" if c is None else f"{c[0] * 1e6:,.1f} ({c[1]:,.0f})" for c in cells)]
            for phase, step, cells in breakdown.lines(shown)
        ]
        yield table(("step", *(label(row["contestant"], row["variant"]) for row in shown)), lines)


def _section(found: Results, section: str, cases: Sequence[Case]) -> Iterator[str]:
    head = ("", *(case.title for case in cases))
    # What a long answer costs shows in the whole of it: some leave work to its end.
    names = {
        case.key: "whole" if section == "growth" and case.workload == "token_astream" else "per_unit" for case in cases
    }

    def rows(cell: Callable[[str, str, Case], str], *, without: Sequence[str] = ()) -> Iterator[list[str]]:
        for name, variant in found.pairs(section):
            cells = [cell(name, variant, case) for case in cases]
            if name not in without and set(cells) != {"–"}:
                yield [label(name, variant), *cells]

    def whole(name: str, variant: str, case: Case) -> str:
        return figure(Figure.of(found.values(section, case.key, name, variant, names[case.key])))

    def added(name: str, variant: str, case: Case) -> str:
        return figure(found.added(section, case.key, name, variant, names[case.key]))

    def times(name: str, variant: str, case: Case) -> str:
        return figure(found.ratio(section, case.key, name, variant, name=names[case.key]), 1.0, 2)

    def cpu(name: str, variant: str, case: Case) -> str:
        return figure(Figure.of([each / case.times for each in found.values(section, case.key, name, variant, "cpu")]))

    yield "Total time, µs:\n"
    yield table(head, rows(whole))
    yield "Added above no handler, µs:\n"
    yield table(head, rows(added, without=("none",)))
    yield "Times the empty inline handler:\n"
    yield table(head, rows(times, without=("none", "empty")))
    if section in ("call", "tree"):
        yield "CPU of all threads, µs:\n"
        yield table(head, rows(cpu))


def _crowd(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["size"], row["tokens"], row["contestant"], row["variant"], row["workload"]), []).append(
            row
        )
    if groups:
        yield "## Many streams at a time\n"
    for size, tokens in dict.fromkeys(key[:2] for key in groups):
        lines = []
        for pair in dict.fromkeys(key[2:4] for key in groups if key[:2] == (size, tokens)):
            fast, held = (groups.get((size, tokens, *pair, name), []) for name in ("throughput", "memory"))
            none = groups.get((size, tokens, "none", "no content", "memory"), [])
            lines.append([label(*pair), *_of_crowd(fast, held[0] if held else {}, none[0] if none else {})])
        yield f"{size:,} streams, {tokens} chunks each:\n"
        head = ("chunks/s", "peak RSS, MB", "bytes per live stream", "left when finished", "left when abandoned")
        yield table(("", *head, "runs left"), lines)
    if groups:
        yield (
            "Bytes are Python's allocations (`tracemalloc`) per stream. Those of live streams are the difference to\n"
            "no handler.\n"
        )


def _of_crowd(fast: Sequence[Mapping[str, Any]], held: Mapping[str, Any], none: Mapping[str, Any]) -> list[str]:
    speeds = Figure.of([row["chunks_per_second"] for row in fast if "chunks_per_second" in row])
    peaks = Figure.of([row["peak"] for row in fast if "peak" in row])
    cells = ["–" if speeds is None else f"{speeds.median:,.0f}", "–" if peaks is None else f"{peaks.median / 1e6:,.0f}"]
    if "live" not in held or "live" not in none:
        return [*cells, *["–"] * 4]
    cells += [f"{held['live'] - none['live']:,.0f}", f"{held['finished']:,.0f}", f"{held['left']:,.0f}"]
    runs = [held["runs_after_finished"], held["runs_after_left"]]
    return [*cells, "–" if None in runs else " and ".join(map(str, runs))]


def _history(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if rows:
        yield "## What finished runs leave\n"
        yield table(
            ("", "calls", "bytes kept per call", "µs per call at first", "µs per call at last"),
            [
                [label(row["contestant"], row["variant"]), f"{row['size']:,}", f"{row['kept']:,.1f}"]
                + [f"{row[name] * 1e6:,.0f}" for name in ("first", "last")]
                for row in rows
                if "kept" in row
            ],
        )


def _imports(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if rows:
        yield "## Import time\n"
        yield (
            "The time that an import takes in a program that has already imported other modules, ms. This package\n"
            "loads its modules on first access, so an application pays the time in the lines with the handler.\n"
        )
        yield table(
            ("", "import", "already imported", "ms"),
            [
                (
                    BY_NAME[row["contestant"]].label,
                    f"`{row['import']}`",
                    f"`{row['beside']}`",
                    figure(Figure.of(row["seconds"]), 1e3),
                )
                for row in rows
            ],
        )


def _problems(found: Results, results: Mapping[str, Any]) -> Iterator[str]:
    lines = [[label(row["contestant"], row["variant"]), row["case"], row["problem"]] for row in found.problems()]
    for name in CROWD_SECTIONS:
        for row in results.get(name, ()):
            if row.get("problem"):
                who = row["contestant"]
                known = label(who, row["variant"]) if "variant" in row else BY_NAME[who].label
                lines.append([known, name, row["problem"]])
    lines += [[name, "not installed", why] for name, why in results.get("missing", {}).items()]
    if lines:
        yield "## Not timed\n"
        yield "Contestants that could not be installed, and cases in which the spans were wrong.\n"
        told = dict.fromkeys(tuple(each.replace("|", "/") for each in line) for line in lines)
        yield table(("", "case", "why"), told)
