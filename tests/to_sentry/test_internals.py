"""Without a private name of a library its feature is off, and nothing else."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from sentry_langchain_stream._from_langchain import internals as langchain_internals
from sentry_langchain_stream._to_sentry import internals
from tests.kit import HANG, REPOSITORY

internals.pipeline_name_getter()  # takes its name when the first handler is made

REMOVED = [
    ("sentry_sdk.integrations.langgraph", "_wrap_pregel_invoke"),
    ("sentry_sdk.integrations.langgraph", "_wrap_pregel_ainvoke"),
    ("sentry_sdk.integrations.langgraph", "Pregel"),
]
"""Names that are looked for when they are used. The SDK itself needs them no more by then."""

LANGCHAIN = "sentry_sdk.integrations.langchain"


def exists(module: str, name: str) -> bool:
    """Whether the installed version has a name."""
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception:  # an SDK without it, or an integration whose library is not installed
        return False
    return True


HIDDEN = [
    *dict.fromkeys((entry.module, entry.name) for entry in internals.TABLE if entry.module != LANGCHAIN),
    *langchain_internals.TABLE,
    (LANGCHAIN, "SentryLangchainCallback"),
    ("sentry_sdk.worker", "BackgroundWorker._ensure_thread"),
    ("sentry_sdk._span_batcher", "SpanBatcher._ensure_thread"),
    ("sentry_sdk._metrics_batcher", "MetricsBatcher._ensure_thread"),
]
"""Names that are taken in the two modules for private names. The libraries need some of them themselves."""

NAMES = [("hide", *name) for name in HIDDEN if exists(*name)] + [("remove", *name) for name in REMOVED if exists(*name)]


@pytest.fixture(scope="module")
def reports() -> dict[str, dict[str, Any]]:
    """What the handler does without each of the names, in a process of its own for each."""
    if not hasattr(os, "fork"):
        pytest.skip("needs os.fork")
    command = [sys.executable, "-m", "tests.kit.apps.removed_names", json.dumps(NAMES)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=HANG, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {report["name"]: report for report in found}


@pytest.mark.parametrize("name", [f"{module}.{name}" for _, module, name in NAMES])
def test_without_a_private_name_every_call_has_its_span(name: str, reports: dict[str, dict[str, Any]]) -> None:
    """The import works, each model call is one span with the right numbers, and at most one log line is written."""
    report = reports[name]
    assert report["error"] is None
    assert report["calls"]
    assert report["calls"] == [[7, 3, 10]] * len(report["calls"])
    assert len(report["calls"]) % 3 == 0
    assert len(report["log"]) <= 1, report["log"]


@pytest.mark.parametrize("entry", [entry for entry in internals.TABLE if exists(entry.module, entry.name)], ids=str)
def test_what_is_off_is_logged(entry: internals.Internal, reports: dict[str, dict[str, Any]]) -> None:
    """The one log line names what is missing, and what is off because of it."""
    (line,) = reports[f"{entry.module}.{entry.name}"]["log"]
    assert entry.name in line
    assert entry.off in line
