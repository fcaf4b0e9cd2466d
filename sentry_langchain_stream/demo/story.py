"""The demo, from the question to the verdict."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from langchain_openai import ChatOpenAI
from pydantic import SecretStr
from rich.console import Console

from .. import SentryStreamHandler
from ..settings import Dialect
from . import show
from .app import create_app
from .capture import Delivery, recording
from .endpoint import Answer, create_endpoint
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
"""What the embedded endpoint answers, to any question."""


def tell(
    console: Console,
    *,
    question: str = QUESTION,
    model: str = "gpt-4o-mini",
    dialect: Dialect = "gen_ai",
    pipeline_name: str = "support-bot",
) -> bool:
    """Stream an answer through the service, show the spans that Sentry receives, and judge them.

    With `OPENAI_API_KEY` in the environment the answer is OpenAI's; with `SENTRY_DSN` the spans are sent.

    Returns:
        Whether every check holds.
    """
    # The OpenAI client starts `uname -p` for its first request; that belongs to no request of a running service.
    platform.processor()
    with _quiet_server(), recording(os.environ.get("SENTRY_DSN") or None) as delivery, _chat(model) as chat:
        expected = Expected(model, pipeline_name, dialect, chat.total_tokens)
        app = create_app(chat.model, SentryStreamHandler(pipeline_name, dialect=dialect))
        with serving(app) as url:
            show.header(console, question, expected, url)

            def on_token(text: str) -> None:
                show.token(console, text)
                chat.token_read()

            reading = read(url, question, on_token)
        # The server has stopped, so the request's transaction is complete.
        spans, events = delivery.captured.spans, delivery.captured.events
    checks = verdict(spans, reading, expected) + _delivered(delivery)
    show.spans(console, spans)
    show.issues(console, events)
    show.verdict(console, checks)
    show.where_to_look(console, delivery, spans[0].trace_id if spans else "unknown", expected)
    return all(check.holds for check in checks)


class _Chat(NamedTuple):
    """A model, and what is known of the API behind it."""

    model: ChatOpenAI
    total_tokens: int | None = None
    """What the API is going to report, if it is ours."""
    token_read: Callable[[], None] = lambda: None
    """To be called when the client has read a token."""


@contextmanager
def _chat(model: str) -> Iterator[_Chat]:
    """OpenAI's API if there is a key, else an endpoint on this machine."""
    if os.environ.get("OPENAI_API_KEY"):
        yield _Chat(ChatOpenAI(model=model, stream_usage=True))
        return
    pace = Pace(len(ANSWER.words))
    with serving(create_endpoint(replace(ANSWER, gate=pace.gate))) as url, _loopback_without_proxy():
        # By default ChatOpenAI asks for the usage of a stream only where it knows the API to be OpenAI's.
        chat = ChatOpenAI(model=model, base_url=f"{url}/v1", api_key=SecretStr("not-needed"), stream_usage=True)
        yield _Chat(chat, ANSWER.total_tokens, pace.token_read)


def _delivered(delivery: Delivery) -> list[Check]:
    if delivery.sent_to is None:
        return []
    seen = f"lost: {', '.join(delivery.lost)}" if delivery.lost else "all envelopes"
    return [Check(f"{delivery.sent_to} accepted what was sent", not delivery.lost, seen)]


@contextmanager
def _loopback_without_proxy() -> Iterator[None]:
    """Let clients that heed a proxy in the environment reach this machine all the same."""
    before = os.environ.get("no_proxy")
    os.environ["no_proxy"] = ",".join(filter(None, (before or os.environ.get("NO_PROXY"), "127.0.0.1")))
    try:
        yield
    finally:
        if before is None:
            del os.environ["no_proxy"]
        else:
            os.environ["no_proxy"] = before


@contextmanager
def _quiet_server() -> Iterator[None]:
    """Leave out uvicorn's traceback: what the service raises is shown as the issue that Sentry receives."""
    logger = logging.getLogger("uvicorn.error")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
