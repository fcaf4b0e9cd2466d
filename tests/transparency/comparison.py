"""What two runs of a test suite have in common, and the differences that are explained."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Report:
    """What the plugin has noted of one run of a suite."""

    outcomes: dict[str, str]
    """The outcome of each test, by its id."""

    causes: dict[str, str] = field(default_factory=dict)
    """The message of each test that failed."""

    warnings: list[str] = field(default_factory=list)
    """Each kind of warning that was raised."""

    sent: dict[str, int] = field(default_factory=dict)
    """What left the SDK, counted by kind."""

    contained: list[str] = field(default_factory=list)
    """What our package has logged: its own failures."""

    live: int = 0
    """Runs that the handler still thinks are live after the last test."""

    seconds: float = 0.0

    @property
    def counts(self) -> dict[str, int]:
        """How many tests have each outcome."""
        found: dict[str, int] = {}
        for outcome in sorted(self.outcomes.values()):
            found[outcome] = found.get(outcome, 0) + 1
        return found


@dataclass(frozen=True)
class Explanation:
    """Why a test fails with the handler, and is right to.

    It holds only for a failure whose message matches, so that it does not hide another one.
    """

    suite: str
    test: str
    """The test's id without parameters."""

    message: str
    """A regular expression."""

    why: str


EXPLAINED = (
    Explanation(
        "langchain-core",
        "tests/unit_tests/runnables/test_config.py::test_merge_config_callbacks",
        r"assert 2 == 1",
        "counts the handlers of a callback manager that LangChain has made: there is one more",
    ),
    Explanation(
        "langchain-core",
        "tests/unit_tests/language_models/chat_models/test_benchmark.py::test_benchmark_model",
        r"< 1",
        "allows one second for 1,000 model calls, and each is now recorded and sent",
    ),
    Explanation(
        "langgraph",
        "tests/test_large_cases.py::test_root_graph",
        r"00000000-0000-4000-8000-0000000000",
        "replaces `uuid.uuid4` by a counter and expects the 4th id: Sentry's SDK takes its ids from there too",
    ),
)


@dataclass(frozen=True)
class Difference:
    """A test that has another outcome with the handler."""

    test: str
    without: str | None
    attached: str | None
    cause: str
    why: str | None
    """The explanation, if there is one."""


def differences(
    suite: str, without: Report, attached: Report, explained: Iterable[Explanation] = EXPLAINED
) -> list[Difference]:
    """Compare test by test. A test that ran on one side only differs too."""
    found = []
    for test in sorted(without.outcomes.keys() | attached.outcomes.keys()):
        before, now = without.outcomes.get(test), attached.outcomes.get(test)
        if before != now:
            cause = attached.causes.get(test) or without.causes.get(test) or ""
            found.append(Difference(test, before, now, cause, _why(suite, test, cause, explained)))
    return found


def _why(suite: str, test: str, cause: str, explained: Iterable[Explanation]) -> str | None:
    for each in explained:
        if (each.suite, each.test) == (suite, test.split("[")[0]) and re.search(each.message, cause):
            return each.why
    return None


def lasts(difference: Difference, alone: Iterable[tuple[str | None, str | None]]) -> bool:
    """Whether a difference is there again when the test runs alone, several times: without, and with the handler.

    A test that has more than one outcome without the handler proves nothing: these suites measure time.
    """
    pairs = list(alone)
    without = {difference.without, *(before for before, _ in pairs)}
    return len(without) == 1 and {now for _, now in pairs} != without


def faults(without: Report, attached: Report) -> list[str]:
    """What is wrong with the run itself, or with the handler, whatever the tests say."""
    found = [f"logged: {message}" for message in sorted(set(attached.contained))]
    if not without.outcomes or not attached.outcomes:
        found.append("no test ran")
    if not attached.sent.get("spans"):
        found.append("no span was sent: the handler was not attached")
    if attached.live:
        found.append(f"{attached.live} runs are live after the last test")
    return found


def new_warnings(without: Report, attached: Report) -> list[str]:
    """The kinds of warnings that the suite raises with the handler only."""
    return sorted(set(attached.warnings) - set(without.warnings))
