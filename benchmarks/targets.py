"""What this package wants to keep to, and whether it does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .contestants import BASELINES, BY_NAME
from .summary import Figure, Results

Target = tuple[str, str, str, bool | None]
"""What is wanted, what was measured, more on it, and whether it was met; `None` if it was not measured."""


def targets(results: Results, rest: Mapping[str, Any]) -> Iterator[Target]:
    """Every target, in the order of the report.

    Args:
        results: The timed sections.
        rest: The other sections, as in `results.json`.
    """
    for variant in ("no content", "content"):
        for case, title in (("token_astream/1000", "`astream`"), ("token_stream/1000", "`stream`")):
            whole = results.ratio("token", case, "own", variant)
            more = _adds(results, "token", case, "own", variant, "empty")
            what = f"Per token, {title}, {variant}: at most 1.15 times the empty inline handler"
            yield _at_most(what, whole, 1.15, more)
    for case, title in (
        ("call_ainvoke/8", "`ainvoke`"),
        ("call_invoke/8", "`invoke`"),
        ("call_alone/8", "`ainvoke` alone"),
    ):
        yield from _below_peers(results, "call", case, f"Per call, {title}")
        bare = results.ratio("call", case, "own", "no content", "bare")
        more = _adds(results, "call", case, "own", "no content", "bare")
        yield _at_most(f"Per call, {title}: at most 1.5 times the bare span", bare, 1.5, more)
        full = results.ratio("call", case, "own", "no content", "full")
        more = _adds(results, "call", case, "own", "no content", "full")
        yield _at_most(f"Per call, {title}: at most 1.5 times the bare span with as many attributes", full, 1.5, more)
    for case, title in (("chain/5", "5-deep chain"), ("agent/1", "agent")):
        yield from _below_peers(results, "tree", case, f"Tree of runs, {title}")
    for variant in ("unsampled", "no client"):
        for case in ("token_astream/1000", "token_stream/1000", "call_ainvoke/8", "chain/5"):
            title = case.split("/")[0].replace("token_", "").replace("call_", "")
            whole = results.ratio("unsampled", case, "own", variant)
            yield _at_most(f"{variant.capitalize()}, `{title}`: at most 1.1 times the empty inline handler", whole, 1.1)
    yield from _crowd(rest)


def _at_most(what: str, figure: Figure | None, limit: float, more: str = "") -> Target:
    if figure is None:
        return what, "not measured", "", None
    told = f"{figure.low:.2f} to {figure.high:.2f}{more}"
    return what, f"{figure.median:.2f}", told, figure.median <= limit


def _adds(results: Results, section: str, case: str, name: str, variant: str, baseline: str) -> str:
    """What both add above no handler: a ratio of whole times hides how small or large that is."""
    own, other = results.added(section, case, name, variant), results.added(section, case, baseline, "no content")
    if own is None or other is None:
        return ""
    times = f", {own.median / other.median:.1f} times" if other.median > 0 else ""
    return f"; adds {own.median * 1e6:,.1f} µs, the baseline {other.median * 1e6:,.1f} µs{times}"


def _below_peers(results: Results, section: str, case: str, what: str) -> Iterator[Target]:
    yield _below(results, section, case, f"{what}: adds less than every peer")
    yield _below(results, section, case, f"{what}: adds less than every peer that records tokens", tokens=True)


def _below(results: Results, section: str, case: str, what: str, *, tokens: bool = False) -> Target:
    """Compared in the variant that all offer, without content; a peer without that switch stands as it is.

    Args:
        results: The timed sections.
        section: One of them.
        case: The case.
        what: What is wanted.
        tokens: Whether to leave out the peers whose spans do not tell the tokens.
    """
    found: dict[str, Figure] = {}
    for name, variant in results.pairs(section):
        if name in BASELINES or (variant != "no content" and "no content" in BY_NAME[name].variants):
            continue
        figure = results.added(section, case, name, variant)
        if figure is not None and (name == "own" or not tokens or results.tells_tokens(section, case, name, variant)):
            found[name] = figure
    own = found.pop("own", None)
    if own is None or not found:
        return what, "not measured", "", None
    best = min(found, key=lambda name: found[name].median)
    told = f"lowest peer: {found[best].median * 1e6:,.0f} µs ({BY_NAME[best].label})"
    return what, f"{own.median * 1e6:,.0f} µs", told, own.median < found[best].median


def _crowd(rest: Mapping[str, Any]) -> Iterator[Target]:
    held = {(row["contestant"], row["variant"], row["tokens"]): row for row in rest.get("crowd", ()) if "live" in row}
    for variant in ("no content", "content"):
        known = [_above_none(held, variant, tokens) for tokens in (10, 100)]
        what = f"Memory per live stream, {variant}: " + ("constant" if variant == "no content" else "bounded")
        if known[0] is None or known[1] is None:
            yield what, "not measured", "", None
            continue
        grown = (known[1] - known[0]) / 90
        # Kept text grows by the text; what is bounded is how much of it is kept.
        limit = 1.0 if variant == "no content" else 100.0
        yield what, f"{grown:,.1f} bytes per chunk", f"{known[0]:,.0f} bytes after 10 chunks", grown < limit
    kept = [row for row in rest.get("history", ()) if row["contestant"] == "own" and "kept" in row]
    # A record that is kept would be more than 1,000 bytes; the allocator's own lists are a few dozen per run.
    for row in kept:
        told = f"{row['first'] * 1e6:,.0f} µs per call at first, {row['last'] * 1e6:,.0f} µs at last"
        yield (
            f"Nothing grows with finished runs, {row['variant']}",
            f"{row['kept']:,.1f} bytes per run",
            told,
            bool(row["kept"] < 100 and row["last"] < 1.1 * row["first"]),
        )
    for row in rest.get("import", ()):
        figure = Figure.of([1e3 * seconds for seconds in row["seconds"]])
        if row["contestant"] == "own" and figure is not None:
            what = f"`{row['import']}` after `{row['beside']}`: at most 15 ms"
            yield what, f"{figure.median:.1f} ms", f"{figure.low:.1f} to {figure.high:.1f}", figure.median <= 15


def _above_none(held: Mapping[Any, Any], variant: str, tokens: int) -> float | None:
    own = [row for (name, of, after), row in held.items() if (name, of, after) == ("own", variant, tokens)]
    none = held.get(("none", "no content", tokens))
    return own[0]["live"] - none["live"] if own and none else None
