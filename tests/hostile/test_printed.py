"""What a server, a model or an environment says is printed so that it cannot control the terminal or forge a line."""

from __future__ import annotations

import io

import pytest
import sentry_sdk
from rich.console import Console

from sentry_langchain_stream.demo import show
from sentry_langchain_stream.demo.verdict import Check
from sentry_langchain_stream.doctor import command
from sentry_langchain_stream.doctor.findings import Finding
from sentry_langchain_stream.testing import Captured, capture_spans
from sentry_langchain_stream.testing.printable import printable

FORGED = "model\nok       dsn  all is well\r\x1b[2K\x1b]0;title\x07\x9b31m\u202egnp\u2028x"
UNSAFE = "\r\x1b\x07\x9b\u202e\u2028"


@pytest.fixture
def captured() -> Captured:
    """A span whose name and attributes are hostile."""
    with capture_spans() as found, sentry_sdk.start_transaction(op=FORGED, name=FORGED) as span:
        span.set_data("gen_ai.request.model", FORGED)
        span.set_data("error.type", FORGED)
    return found


def is_safe(printed: str, lines: int | None = None) -> bool:
    """Whether nothing in it controls a terminal, and it has so many lines."""
    return not set(UNSAFE) & set(printed) and (lines is None or len(printed.splitlines()) == lines)


def test_a_tree_has_a_line_per_span(captured: Captured) -> None:
    """`tree()` and the repr have one line for a span, whatever its name is."""
    assert is_safe(captured.tree(), 1)
    assert is_safe(repr(captured), 1)


def test_a_timeline_is_safe(captured: Captured) -> None:
    """The HTML of a notebook has no control characters and nothing that turns the text around."""
    assert is_safe(captured._repr_html_())


@pytest.mark.parametrize("strict", [True, False])
def test_the_doctor_prints_a_line_per_finding(strict: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """A finding that quotes a server's answer cannot forge another finding."""
    command._print([Finding("dsn", "fail", FORGED, FORGED if strict else None)])
    printed = capsys.readouterr().out
    assert is_safe(printed)
    assert len([line for line in printed.splitlines() if line.startswith("ok ")]) == 0


def test_the_demo(captured: Captured) -> None:
    """Chunks, spans, issues and the verdict are printed without control characters; an answer has its lines."""
    out = io.StringIO()
    console = Console(file=out, width=400)
    answer = show.StreamedAnswer(console)
    answer.add(FORGED)
    answer.end()
    assert out.getvalue().startswith("model\nok")
    show.spans(console, captured.spans)
    show.issues(console, [{"exception": {"values": [{"type": FORGED, "value": FORGED}]}}])
    show.verdict(console, [Check("a claim", False, FORGED)])
    assert is_safe(out.getvalue())


def test_what_is_printable_stays() -> None:
    """Letters of every script, symbols and emoji are printed as they are."""
    text = "Grüße, 東京, مرحبا, ✓ 👍🏽 \\n"
    assert printable(text) == text
    assert printable("a\x1b\ud800\u2028") == "a\\x1b\\ud800\\u2028"
