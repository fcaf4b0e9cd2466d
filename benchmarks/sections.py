"""What is measured: sections of cases, each case a workload of one size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .contestants import BASELINES, CONTESTANTS, Contestant


@dataclass(frozen=True, slots=True)
class Case:
    """A workload of one size.

    Args:
        workload: One of `workloads.WORKLOADS`.
        size: Tokens, words of the prompt, or depth of the chain.
        times: How many calls make one sample.
        title: What the tables call it.
        check: A smaller size that is checked before the case is timed.
    """

    workload: str
    size: int
    times: int
    title: str
    check: int = 8

    @property
    def key(self) -> str:
        """Names the case in the results."""
        return f"{self.workload}/{self.size}"


@dataclass(frozen=True, slots=True)
class Section:
    """Cases that are measured with the same contestants.

    Args:
        name: What `--sections` calls it.
        title: Its heading.
        cases: The cases.
        variants: Which variants of the contestants take part.
        only_first: Whether a peer takes part with the first of those that it offers only.
        with_peers: Whether peers take part.
    """

    name: str
    title: str
    cases: tuple[Case, ...]
    variants: tuple[str, ...] = ("no content", "content", "streamed")
    only_first: bool = False
    with_peers: bool = True

    def contestants(self, chosen: frozenset[str], few: bool = False) -> Iterator[tuple[Contestant, str]]:
        """Who takes part, in which variant; `few` leaves the peers out of all but the main sections."""
        for each in CONTESTANTS:
            if each.name not in chosen or each.only_in not in (None, self.name):
                continue
            if not self.with_peers and each.name not in {*BASELINES, "own"} and each.only_in is None:
                continue
            if each.name in BASELINES:
                yield from ((each, variant) for variant in each.variants if variant in {"no content", *self.variants})
                continue
            if few and self.name in ("growth", "unsampled") and each.name != "own":
                continue
            offered = [variant for variant in self.variants if variant in each.variants]
            first = (few or self.only_first) and each.name != "own" and each.only_in is None
            yield from ((each, variant) for variant in (offered[:1] if first else offered))


SECTIONS: tuple[Section, ...] = (
    Section(
        "token",
        "Per token",
        (
            Case("token_astream", 1_000, 1, "`astream`"),
            Case("token_stream", 1_000, 1, "`stream`"),
            Case("token_stream_in_loop", 1_000, 1, "`stream` in a running loop"),
            Case("token_v3", 400, 1, "v3 events"),
        ),
        ("no content", "content"),
    ),
    Section(
        "call",
        "Per call",
        (
            Case("call_ainvoke", 8, 30, "`ainvoke`"),
            Case("call_invoke", 8, 30, "`invoke`"),
            Case("call_alone", 8, 30, "`ainvoke`, no request around it"),
        ),
    ),
    Section(
        "tree",
        "Per tree of runs",
        (
            Case("chain", 5, 20, "5-deep chain", check=5),
            Case("agent", 1, 10, "agent with one tool call", check=1),
        ),
    ),
    Section(
        "prepared",
        "Prepared spans",
        (
            Case("call_invoke", 8, 30, "`invoke`"),
            Case("chain", 5, 20, "5-deep chain", check=5),
            Case("agent", 1, 10, "agent with one tool call", check=1),
        ),
        ("no content", "repr processor"),
        with_peers=False,
    ),
    Section(
        "growth",
        "How cost grows",
        (
            Case("call_ainvoke", 8, 20, "prompt of 8 words"),
            Case("call_ainvoke", 800, 20, "prompt of 800 words"),
            Case("call_ainvoke", 8_000, 20, "prompt of 8,000 words"),
            Case("token_astream", 10, 1, "answer of 10 tokens"),
            Case("token_astream", 100, 1, "answer of 100 tokens"),
            Case("token_astream", 4_000, 1, "answer of 4,000 tokens"),
            Case("chain", 1, 10, "chain, 1 deep", check=1),
            Case("chain", 10, 5, "chain, 10 deep", check=10),
            Case("chain", 20, 5, "chain, 20 deep", check=20),
        ),
        ("content", "no content"),
        only_first=True,
    ),
    Section(
        "unsampled",
        "Unsampled, or no client",
        (
            Case("token_astream", 1_000, 1, "`astream`, per token"),
            Case("token_stream", 1_000, 1, "`stream`, per token"),
            Case("call_ainvoke", 8, 30, "`ainvoke`"),
            Case("chain", 5, 10, "5-deep chain", check=5),
        ),
        ("unsampled", "no client"),
    ),
)

CROWD_SECTIONS = ("pairs", "profile", "crowd", "history", "import", "production", "simulated")
"""Those that are not made of samples in turns, or want processes of their own."""

NAMES = (*(section.name for section in SECTIONS), *CROWD_SECTIONS)
