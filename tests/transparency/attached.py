"""A pytest plugin for test suites of others: attaches the handler to every run, and notes the outcome of every test.

It is loaded by its bare name with `-p attached`, because a foreign suite has a package `tests` of its own. Settings
come from the environment: `TRANSPARENCY_REPORT` is the file to write, `TRANSPARENCY_WAY` how to attach the handler, or
empty.

- `integration`: `SentryStreamIntegration`, as applications attach it. Each run without a parent is a transaction.
- `streamed`: the same, with Sentry's streamed spans.
- `hook`: LangChain's own `register_configure_hook`, with everything of the handler switched on. Each test is inside a
  transaction, as a request is.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

RANK = ["passed", "skipped", "xfailed", "xpassed", "failed", "error"]
"""Outcomes of a test's three phases. The one that comes last in this list is the outcome of the test."""

WAY = os.environ.get("TRANSPARENCY_WAY", "")

_began = time.monotonic()
_outcomes: dict[str, str] = {}
_causes: dict[str, str] = {}
_warnings: set[str] = set()
_sent: Counter[str] = Counter()
_contained: list[str] = []
_handlers: list[Any] = []


class _Failures(logging.Handler):
    """Keeps what our package logs: each of its failures, which it contains."""

    def emit(self, record: logging.LogRecord) -> None:
        _contained.append(record.getMessage())


def _attach() -> None:
    import sentry_sdk
    from langchain_core.tracers.context import register_configure_hook
    from sentry_sdk.envelope import Envelope
    from sentry_sdk.transport import Transport

    from sentry_langchain_stream import SentryStreamHandler, SentryStreamIntegration

    class Discarding(Transport):
        """Counts the spans of AI runs, and sends nothing."""

        def capture_envelope(self, envelope: Envelope) -> None:
            _sent["envelopes"] += 1
            for item in envelope.items:
                payload: Any = item.payload.json if item.type == "transaction" else None
                inside = len(payload.get("spans") or []) if payload is not None else 0
                # A span item holds several: those of AI runs, which the SDK takes out of their transaction.
                _sent["spans"] += item.headers.get("item_count", 0) if item.type == "span" else inside

    logging.getLogger("sentry_langchain_stream").addHandler(_Failures())
    options: dict[str, Any] = {"trace_lifecycle": "stream"} if WAY == "streamed" else {}
    if WAY != "hook":
        integration = SentryStreamIntegration(providers=False)
        options["integrations"] = [integration]
        _handlers.append(integration.handler)
    sentry_sdk.init(
        dsn="http://transparency@127.0.0.1:9/1",
        transport=Discarding,
        traces_sample_rate=1.0,
        send_default_pii=True,
        # Nothing else of the SDK: what differs is to come from this package.
        default_integrations=False,
        auto_enabling_integrations=False,
        **options,
    )
    if WAY == "hook":
        handler = SentryStreamHandler(redact=str.upper, token_counter=len, chains=True, metrics=True)
        register_configure_hook(ContextVar("transparency", default=handler), inheritable=True)
        _handlers.append(handler)


def pytest_configure() -> None:
    """Attach the handler before the suite imports anything."""
    if WAY:
        _attach()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Run the test inside a transaction, if the way asks for it."""
    if WAY != "hook":
        return (yield)
    import sentry_sdk

    with sentry_sdk.isolation_scope(), sentry_sdk.start_transaction(name=item.nodeid):
        return (yield)


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
        message = crash.message if crash is not None else str(report.longrepr)
        _causes.setdefault(report.nodeid, message[:2_000])


def pytest_warning_recorded(warning_message: Any) -> None:
    """Note the kind of a warning: its category and text, without what changes from run to run."""
    text = re.sub(r"0x[0-9a-f]+|\d+", "#", str(warning_message.message))[:200]
    _warnings.add(f"{warning_message.category.__name__}: {text}")


def pytest_sessionfinish() -> None:
    """Write the report."""
    gc.collect()
    found = {
        "outcomes": _outcomes,
        "causes": _causes,
        "warnings": sorted(_warnings),
        "sent": _sent,
        "contained": _contained,
        "live": sum(len(handler._runs) for handler in _handlers),
        "seconds": time.monotonic() - _began,
    }
    Path(os.environ["TRANSPARENCY_REPORT"]).write_text(json.dumps(found))
