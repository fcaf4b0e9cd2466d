"""Sends the probe with the SDK's own transport, and records the server's answer."""

from __future__ import annotations

import inspect
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import HttpTransport

from .findings import Finding, Level, error_text
from .probe import Probe

NAME = "delivery"

_OURS = frozenset({"transaction", "transaction_indexed", "span", "span_indexed", "default", "all"})

_REMEDIES = {
    400: "The server does not understand what the SDK sends. Check that it is Sentry, and new enough.",
    401: "Copy the DSN again from the project's settings, Client Keys (DSN).",
    403: "The key or the project is disabled, or may not send. Check the project's settings, Client Keys (DSN).",
    404: "There is no Sentry at this address. Check the host and the path of the DSN.",
    413: "A proxy or the server refuses requests of this size. Check the proxies between here and Sentry.",
    429: "The project or the organisation is over its quota. Check Stats & Usage.",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a request."""

    status: int | None = None
    """The HTTP status, or `None` if there was no answer."""
    detail: str = ""
    """The server's message, or the reason why there is no answer."""
    limits: tuple[tuple[str, frozenset[str]], ...] = ()
    """`(seconds, categories)`: the server's rate limits. No categories means all categories."""

    @property
    def level(self) -> Level:
        """The level of the finding: `ok`, `warning` or `fail`."""
        if self.status is None or not 200 <= self.status < 300:
            return "fail"
        return "warning" if self._limited() else "ok"

    @property
    def summary(self) -> str:
        """The answer on one line."""
        status = f"HTTP {self.status}" if self.status is not None else ""
        limits = "; ".join(
            f"rate limited for {seconds} s: {', '.join(sorted(categories)) or 'everything'}"
            for seconds, categories in self.limits
        )
        return "; ".join(part for part in (status, self.detail, limits) if part)

    @property
    def remedy(self) -> str | None:
        """How to fix the problem, if there is one."""
        if self.status is None:
            return "Check the host and the port of the DSN, and the proxies and firewalls on the way."
        if self.level == "ok":
            return None
        if self.status >= 500:
            return "The server has an internal problem. Try again later."
        return _REMEDIES[429] if self.level == "warning" else _REMEDIES.get(self.status)

    def _limited(self) -> bool:
        return any(not categories or categories & _OURS for _, categories in self.limits)


def deliver(client: Any, probe: Probe | None, seconds: float) -> Finding:
    """Send the probe's envelopes to the configured DSN, and wait for the answers.

    Args:
        client: The application's client.
        probe: The result of the probe.
        seconds: How long to wait in total.
    """
    if probe is None or not probe.envelopes:
        return Finding(NAME, "skipped", "not sent: the probe has nothing to send")
    transport = client.transport
    if transport is None:
        return Finding(NAME, "skipped", "not sent: there is no DSN")
    where = f"trace {probe.trace_id}"
    listening = _listening(client)
    if listening is None:
        for envelope in probe.envelopes:
            transport.capture_envelope(envelope)
        transport.flush(timeout=seconds)
        kind = type(transport).__name__
        return Finding(NAME, "warning", f"passed to {kind}, which does not show the server's answer; {where}", _LOOK)
    answers = _answers(listening, probe.envelopes, seconds)
    if len(answers) < len(probe.envelopes):
        answers.append(Answer(detail=f"no answer within {seconds:g} s"))
    worst = max(answers, key=lambda answer: _LEVELS.index(answer.level))
    return Finding(NAME, worst.level, f"{worst.summary}; {where}", worst.remedy or _LOOK)


_LEVELS: tuple[Level, ...] = ("ok", "warning", "fail")

_LOOK = "In a minute, search for this trace id in Sentry under Explore > Traces."


class _Listening:
    """A mixin for the SDK's transports that records what the server answers.

    It overrides two undocumented methods of `HttpTransport` (sentry-sdk 2.44 to 2.75). If one of them is missing,
    envelopes are passed to the application's own transport, and the answer is not shown.
    """

    NEEDED = ("_send_envelope", "_request")

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)  # type: ignore[call-arg]  # the transport it is mixed into
        self.answers: list[Answer] = []
        self.arrived = threading.Semaphore(0)
        self._answer = Answer()

    def _send_envelope(self, envelope: Envelope) -> None:
        self._answer = Answer(detail="not sent by the SDK, which was rate limited before")
        try:
            super()._send_envelope(envelope)  # type: ignore[misc]
        finally:
            self.answers.append(self._answer)
            self.arrived.release()

    def _request(self, *args: Any, **kwargs: Any) -> Any:
        try:
            response = super()._request(*args, **kwargs)  # type: ignore[misc]
        except Exception as error:
            self._answer = Answer(detail=f"no answer: {error_text(error)}")
            raise
        self._answer = _read(response)
        return response


def _listening(client: Any) -> Any | None:
    """Return a transport of the client's type with the same options that records answers, or `None`."""
    kind: Any = type(client.transport)
    if inspect.iscoroutinefunction(getattr(kind, "_send_envelope", None)):
        kind = HttpTransport  # the async transport needs the event loop in which it was made
    if not all(hasattr(kind, name) for name in _Listening.NEEDED):
        return None
    return type("ListeningTransport", (_Listening, kind), {})(client.options)


def _answers(transport: Any, envelopes: Sequence[Envelope], seconds: float) -> list[Answer]:
    """Send envelopes, and wait for the answer to each of them."""
    for envelope in envelopes:
        transport.capture_envelope(envelope)
    deadline = time.monotonic() + seconds
    for _ in envelopes:
        if not transport.arrived.acquire(timeout=max(0.0, deadline - time.monotonic())):
            break
    answers = list(transport.answers)
    transport.kill()
    return answers


def _read(response: Any) -> Answer:
    headers = response.headers
    if not hasattr(headers, "get"):  # the HTTP/2 transport has a list of pairs of bytes
        headers = {name.decode().lower(): value.decode() for name, value in headers}
    body = getattr(response, "data", None) or getattr(response, "content", None) or b""
    limits = [_limit(part) for part in (headers.get("x-sentry-rate-limits") or "").split(",") if part.strip()]
    if not limits and response.status == 429:
        limits = [(headers.get("retry-after") or "60", frozenset())]
    return Answer(int(response.status), _detail(body), tuple(limits))


def _limit(text: str) -> tuple[str, frozenset[str]]:
    """Parse a part of the header: `seconds:categories:scope:...`, with semicolons between the categories."""
    seconds, categories, *_ = [*text.strip().split(":"), ""]
    return seconds, frozenset(filter(None, categories.split(";")))


def _detail(body: bytes) -> str:
    """Return the server's message, cut to 200 characters. A successful answer has only an id and no message."""
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    message = parsed.get("detail") if isinstance(parsed, dict) else None
    return str(message)[:200] if message else ""
