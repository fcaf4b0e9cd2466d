"""A pytest plugin for test suites of others: attaches the handler to every run, and notes the outcome of every test.

It is loaded by its bare name with `-p attached`, because a foreign suite has a package `tests` of its own. Settings
come from the environment: `TRANSPARENCY_REPORT` is the file to write, `TRANSPARENCY_HANDLER` is `1` to attach the
handler.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

RANK = ["passed", "skipped", "xfailed", "xpassed", "failed", "error"]
"""Outcomes of a test's three phases. The one that comes last in this list is the outcome of the test."""

_outcomes: dict[str, str] = {}
_causes: dict[str, str] = {}
_sent: Counter[str] = Counter()
_contained: list[str] = []


class _Failures(logging.Handler):
    """Keeps what our package logs: each of its failures, which it contains."""

    def emit(self, record: logging.LogRecord) -> None:
        _contained.append(record.getMessage())


def _attach() -> None:
    import sentry_sdk
    from sentry_sdk.envelope import Envelope
    from sentry_sdk.transport import Transport

    from sentry_langchain_stream import SentryStreamIntegration

    class Discarding(Transport):
        """Counts the spans of AI runs, and sends nothing."""

        def capture_envelope(self, envelope: Envelope) -> None:
            _sent["envelopes"] += 1
            for item in envelope.items:
                _sent[f"items: {item.type}"] += 1
                payload: Any = item.payload.json if item.type == "transaction" else None
                inside = len(payload.get("spans") or []) if payload is not None else 0
                # A span item holds several: those of AI runs, which the SDK takes out of their transaction.
                _sent["spans"] += item.headers.get("item_count", 0) if item.type == "span" else inside

    logging.getLogger("sentry_langchain_stream").addHandler(_Failures())
    sentry_sdk.init(
        dsn="http://transparency@127.0.0.1:9/1",
        transport=Discarding,
        traces_sample_rate=1.0,
        send_default_pii=True,
        # Nothing else of the SDK: what differs is to come from this package.
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[SentryStreamIntegration(providers=False)],
    )


def pytest_configure() -> None:
    """Attach the handler before the suite imports anything."""
    if os.environ["TRANSPARENCY_HANDLER"] == "1":
        _attach()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note the worst outcome of setup, call and teardown."""
    outcome: str = report.outcome
    if hasattr(report, "wasxfail"):
        outcome = "xfailed" if report.skipped else "xpassed"
    elif report.failed and report.when != "call":
        outcome = "error"
    before = _outcomes.get(report.nodeid, "passed")
    _outcomes[report.nodeid] = max(before, outcome, key=RANK.index)
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        lines = (crash.message if crash is not None else str(report.longrepr)).splitlines()
        _causes.setdefault(report.nodeid, (lines or ["?"])[0][:200])


def pytest_sessionfinish() -> None:
    """Write the report."""
    live = 0
    if os.environ["TRANSPARENCY_HANDLER"] == "1":
        import sentry_sdk

        from sentry_langchain_stream import SentryStreamIntegration

        integration = sentry_sdk.get_client().get_integration(SentryStreamIntegration)
        live = len(integration.handler._runs) if integration is not None else -1
    report = {"outcomes": _outcomes, "causes": _causes, "sent": _sent, "contained": _contained, "live": live}
    Path(os.environ["TRANSPARENCY_REPORT"]).write_text(json.dumps(report))
