"""Sends the probe by the SDK's own transport, and notes what the server answers."""

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

from .findings import Finding, Level, said
from .probe import Probe

NAME = "delivery"

_OURS = frozenset({"transaction", "transaction_indexed", "span", "span_indexed", "default", "all"})

_REMEDIES = {
    400: "The server does not understand what the SDK sends; is it Sentry, and new enough?",
    401: "Copy the DSN anew from the project's settings, Client Keys (DSN).",
    403: "Key or project is disabled, or may not send: look at the project's settings, Client Keys (DSN).",
    404: "There is no Sentry at this address: look at host and path of the DSN.",
    413: "Something between here and Sentry refuses requests of this size.",
    429: "The project or the organisation is over its quota: look at Stats & Usage.",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request."""

    status: int | None = None
    """The HTTP status, or `None` if there was no answer."""
    detail: str = ""
    """What the server says, or the reason why there is no answer."""
    limits: tuple[tuple[str, frozenset[str]], ...] = ()
    """`(seconds, categories)`: what the server does not want to get for how long. No categories mean all."""

    @property
    def level(self) -> Level:
        """How bad it is: `ok`, `warning` or `fail`."""
        if self.status is None or not 200 <= self.status < 300:
            return "fail"
        return "warning" if self._limited() else "ok"

    @property
    def told(self) -> str:
        """On one line."""
        status = f"HTTP {self.status}" if self.status is not None else ""
        limits = "; ".join(
            f"rate limited for {seconds} s: {', '.join(sorted(categories)) or 'everything'}"
            for seconds, categories in self.limits
        )
        return "; ".join(part for part in (status, self.detail, limits) if part)

    @property
    def remedy(self) -> str | None:
        """How to mend it."""
        if self.status is None:
            return "Look at host and port of the DSN, and at proxies and firewalls between here and there."
        if self.level == "ok":
            return None
        if self.status >= 500:
            return "The server has a problem of its own: try again later."
        return _REMEDIES[429] if self.level == "warning" else _REMEDIES.get(self.status)

    def _limited(self) -> bool:
        return any(not categories or categories & _OURS for _, categories in self.limits)


def deliver(client: Any, probe: Probe | None, seconds: float) -> Finding:
    """Send the probe's envelopes to the configured DSN, and wait for the answers.

    Args:
        client: The application's client.
        probe: What became of the probe.
        seconds: For how long to wait in all.
    """
    if probe is None or not probe.envelopes:
        return Finding(NAME, "fail", "not sent: the probe left nothing to send", "See the check 'probe'.")
    transport = client.transport
    if transport is None:
        return Finding(NAME, "fail", "not sent: there is no DSN", "Set SENTRY_DSN, or pass dsn=... to sentry_sdk.init.")
    where = f"trace {probe.trace_id}"
    listening = _listening(client)
    if listening is None:
        for envelope in probe.envelopes:
            transport.capture_envelope(envelope)
        transport.flush(timeout=seconds)
        kind = type(transport).__name__
        return Finding(NAME, "warning", f"handed to {kind}, which does not show the server's answer; {where}", _LOOK)
    answers = _answers(listening, probe.envelopes, seconds)
    if len(answers) < len(probe.envelopes):
        answers.append(Answer(detail=f"no answer within {seconds:g} s"))
    worst = max(answers, key=lambda answer: _LEVELS.index(answer.level))
    told = f"{worst.told}; {where}"
    return Finding(NAME, worst.level, told, worst.remedy or _LOOK)


_LEVELS: tuple[Level, ...] = ("ok", "warning", "fail")

_LOOK = "Look in Sentry under Explore > Traces for that trace id, a minute from now."


class _Listening:
    """What a transport of the SDK gets as a subclass, to note what the server answers.

    It overrides two methods of `HttpTransport` that are not documented (sentry-sdk 2.44 to 2.75). Where one of them is
    missing, envelopes are handed to the application's own transport, and the answer is not shown.
    """

    NEEDED = ("_send_envelope", "_request")

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)  # type: ignore[call-arg]  # of the transport that it is mixed with
        self.answers: list[Answer] = []
        self.arrived = threading.Semaphore(0)
        self._answer = Answer()

    def _send_envelope(self, envelope: Envelope) -> None:
        self._answer = Answer(detail="held back by the SDK, which has been rate limited before")
        try:
            super()._send_envelope(envelope)  # type: ignore[misc]
        finally:
            self.answers.append(self._answer)
            self.arrived.release()

    def _request(self, *args: Any, **kwargs: Any) -> Any:
        try:
            response = super()._request(*args, **kwargs)  # type: ignore[misc]
        except Exception as error:
            self._answer = Answer(detail=f"no answer: {said(error)}")
            raise
        self._answer = _read(response)
        return response


def _listening(client: Any) -> Any | None:
    """A transport like the client's own, made of the same options, that notes what the server answers."""
    kind: Any = type(client.transport)
    if inspect.iscoroutinefunction(getattr(kind, "_send_envelope", None)):
        kind = HttpTransport  # the async one needs the event loop that it was made in
    if not all(hasattr(kind, name) for name in _Listening.NEEDED):
        return None
    return type("ListeningTransport", (_Listening, kind), {})(client.options)


def _answers(transport: Any, envelopes: Sequence[Envelope], seconds: float) -> list[Answer]:
    """Send envelopes, and wait for what becomes of each of them."""
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
    if not hasattr(headers, "get"):  # the transport of HTTP/2 has a list of pairs of bytes
        headers = {name.decode().lower(): value.decode() for name, value in headers}
    body = getattr(response, "data", None) or getattr(response, "content", None) or b""
    limits = [_limit(part) for part in (headers.get("x-sentry-rate-limits") or "").split(",") if part.strip()]
    if not limits and response.status == 429:
        limits = [(headers.get("retry-after") or "60", frozenset())]
    return Answer(int(response.status), _detail(body), tuple(limits))


def _limit(text: str) -> tuple[str, frozenset[str]]:
    """A part of the header, `seconds:categories:scope:...` with semicolons between the categories."""
    seconds, categories, *_ = [*text.strip().split(":"), ""]
    return seconds, frozenset(filter(None, categories.split(";")))


def _detail(body: bytes) -> str:
    """What the server says in words, cut where it gets long. An answer that is fine says an id only."""
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    said_so = parsed.get("detail") if isinstance(parsed, dict) else None
    return str(said_so)[:200] if said_so else ""
