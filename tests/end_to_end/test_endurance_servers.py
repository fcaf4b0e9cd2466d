"""The servers' soak in its small form: see `tests/soak/servers`."""

from __future__ import annotations

import signal
from collections import Counter
from typing import Any

import pytest

from tests.kit.absent import needs
from tests.kit.wire import DEFAULT_SHAPE
from tests.soak.servers.clients import Answer
from tests.soak.servers.command import play
from tests.soak.servers.launch import SERVERS
from tests.soak.servers.rows import Row, Run

RUN = Run(signal.SIGTERM, DEFAULT_SHAPE, seconds=0.5, warm=0.0)
CUT, WHOLE = Answer("200", "word0 ", "broken"), Answer("200", "word0 word1 ", "whole")


@needs("uvicorn", "fastapi")
def test_clients_of_a_server_notice_nothing_while_sentry_hangs() -> None:
    """Clients that stay, leave or are cut off get what they get without the handler; each call is a span or counted."""
    uvicorn = next(server for server in SERVERS if server.name == "uvicorn")
    row = play(uvicorn, "hang", RUN)
    # How long they wait `make soak` judges, on a machine that does nothing else.
    assert [each for each in row.broken() if not each.startswith(("p50", "p99"))] == [], str(row)
    assert {kind for _, kind, _ in row.answers} >= {"whole", "SIGTERM"}


def good_row(**changed: Any) -> Row:
    """A row that breaks no rule, but for what is changed."""
    row = Row("uvicorn", "ok", RUN, calls=10, arrived=7, lost=Counter(network_error=3), memory=[100.0, 110.0])
    row.answers.update({("with", "whole", WHOLE): 5, ("without", "whole", WHOLE): 5})
    for name, value in changed.items():
        setattr(row, name, value)
    return row


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({}, None),
        ({"answers": Counter({("with", "whole", CUT): 1, ("without", "whole", WHOLE): 1})}, "broken"),
        ({"arrived": 6}, "neither a span"),
        ({"arrived": 8}, "neither a span"),
        ({"arrived": 6, "killed": 1}, None),
        ({"refused": 3, "lost": Counter()}, None),
        ({"calls": 0, "arrived": 0, "lost": Counter()}, "no calls"),
        ({"first": {"with": [0.5] * 100, "without": [0.01] * 100}}, "p50"),
        ({"first": {"with": [0.01] * 90 + [0.9] * 10, "without": [0.01] * 100}}, "p99"),
        ({"first": {"with": [0.01] * 99 + [0.9], "without": [0.01] * 100}}, None),
        ({"memory": [100.0, 200.0]}, "memory"),
        ({"stopped": float("inf")}, "did not stop"),
    ],
)
def test_a_row_that_breaks_a_rule_says_so(changed: dict[str, Any], complaint: str | None) -> None:
    """Answers that differ, calls that nobody counts, late first bytes, memory that grows, a server that stays."""
    broken = good_row(**changed).broken()
    assert broken == [] if complaint is None else complaint in " ".join(broken), broken
