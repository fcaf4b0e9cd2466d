"""Runs the demo, from the question to the verdict."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from langchain_openai import ChatOpenAI
from rich.console import Console

from .. import SentryStreamHandler
from .._vocabulary.keys import Dialect
from ..demo import show, spotlight
from ..testing import CapturedSpan
from ..testing.envelopes import model_spans
from .api import openai_or
from .app import create_app
from .capture import Delivery, recording
from .endpoint import Answer
from .reader import Pace, read
from .serve import serving
from .verdict import Check, Expected, verdict

QUESTION = "Why must the span of a streamed answer stay open until its last token?"

ANSWER = Answer(
    "Because the call returns before the first token exists. A span that closes with the call has measured nothing: "
    "the answer is still to come, and the token counts come last of all.",
    prompt_tokens=22,
    completion_tokens=41,
    cached_tokens=8,
    pause=0.04,
)
"""The answer of the local endpoint to every question."""


def run(
    console: Console,
    *,
    question: str = QUESTION,
    model: str = "gpt-4o-mini",
    dialect: Dialect = "gen_ai",
    pipeline_name: str = "support-bot",
    viewer: str | None = None,
) -> bool:
    """Stream an answer through the service, print the spans that Sentry receives, and check them.

    With `OPENAI_API_KEY` in the environment the answer comes from OpenAI. With `SENTRY_DSN` the spans are sent.
    `viewer` is the URL of a running Spotlight that also gets them.

    Returns:
        Whether every check holds.
    """
    pace = Pace(len(ANSWER.words))
    options = spotlight.options(viewer) if viewer else {}
    with (
        _quiet_server(),
        recording(os.environ.get("SENTRY_DSN") or None, **options) as delivery,
        openai_or(replace(ANSWER, gate=pace.gate)) as is_local,
    ):
        expected = Expected(model, pipeline_name, dialect, ANSWER.total_tokens if is_local else None)
        # By default ChatOpenAI requests the usage of a stream only if no base URL is set.
        chat = ChatOpenAI(model=model, stream_usage=True)
        with serving(create_app(chat, SentryStreamHandler(pipeline_name, dialect=dialect))) as url:
            show.header(console, question, expected, url)

            answer = show.StreamedAnswer(console)

            def on_chunk(text: str) -> None:
                answer.add(text)
                pace.chunk_read()

            reading = read(url, question, on_chunk)
            answer.end()
        # The server has stopped, so the request's transaction is complete.
        spans, events = delivery.captured.spans, delivery.captured.events
    checks = verdict(spans, reading, expected) + _delivered(delivery) + (_viewed(viewer, spans) if viewer else [])
    show.spans(console, spans)
    show.issues(console, events)
    show.verdict(console, checks)
    show.where_to_look(console, delivery, spans[0].trace_id if spans else "unknown", expected, viewer)
    return all(check.holds for check in checks)


def _delivered(delivery: Delivery) -> list[Check]:
    if delivery.sent_to is None:
        return []
    seen = f"lost: {', '.join(delivery.lost)}" if delivery.lost else "all envelopes"
    return [Check(f"{delivery.sent_to} accepted what was sent", not delivery.lost, seen)]


def _viewed(viewer: str, spans: Sequence[CapturedSpan]) -> list[Check]:
    """Check that Spotlight has the model spans. The SDK does not report whether sending to Spotlight succeeded."""
    missing = {span.span_id for span in model_spans(spans)}
    wanted = len(missing)
    if missing:
        for span in spotlight.received(viewer):
            missing.discard(span.span_id)
            if not missing:
                break
    return [Check("Spotlight has the span", wanted > len(missing) == 0, f"{wanted - len(missing)} of {wanted}")]


@contextmanager
def _quiet_server() -> Iterator[None]:
    """Hide uvicorn's traceback. An exception in the service is shown as the issue that Sentry receives."""
    logger = logging.getLogger("uvicorn.error")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
