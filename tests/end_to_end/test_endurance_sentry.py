"""Whatever is the matter with Sentry, or with what the user gave it, the chain goes on as without us."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sentry_sdk
from langchain_core.runnables import Runnable
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.sentry_server import NOWHERE, application, playing_sentry
from tests.kit.subjects import SUBJECTS
from tests.kit.wire import WIRE_SHAPES, ScriptedModel

pytestmark = pytest.mark.usefixtures("lenient")

TEXT = "one two three"
CHAIN = next(subject for subject in SUBJECTS if subject.name == "chain")


class TheirFaultError(Exception):
    """What Sentry's part, or the user's part of it, fails with."""


def chain() -> Runnable[Any, Any]:
    return CHAIN.make(ScriptedModel())


def failing_chain() -> Runnable[Any, Any]:
    def before(number: int) -> None:
        if number == 1:
            raise ValueError("the model's own failure")

    return CHAIN.make(ScriptedModel(before=before))


async def read(handler: Any, app: Any = None) -> list[str]:
    """What the user's code receives on each way to call the chain."""
    app, config = app or chain(), {"callbacks": [handler]}
    return [
        "".join(app.stream(CHAIN.question, config)),
        "".join([piece async for piece in app.astream(CHAIN.question, config)]),
        app.invoke(CHAIN.question, config),
        await app.ainvoke(CHAIN.question, config),
    ]


def outcomes(captured: Captured) -> list[Any]:
    return [span.attributes["langchain_stream.outcome"] for span in captured.find_all(op="gen_ai.chat")]


class Fickle(Transport):
    """A transport that raises while it is told to."""

    broken = True

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.sent: list[bytes] = []
        self.refused = 0

    def capture_envelope(self, envelope: Envelope) -> None:
        if self.broken:
            self.refused += 1
            raise TheirFaultError("no network")
        self.sent.append(envelope.serialize())


@contextmanager
def client_with(shape: str, transport: Any, **options: Any) -> Iterator[Any]:
    """The process's client, with a transport of its own."""
    with application(dsn=NOWHERE, transport=transport, **WIRE_SHAPES[shape], **options) as client:
        yield client


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_transport_that_raises_costs_its_own_envelopes(shape: str) -> None:
    """The chain's answers are whole while the transport raises; once it does not, spans arrive again."""
    handler = SentryStreamHandler()
    with client_with(shape, Fickle) as client:
        assert await read(handler) == [TEXT] * 4
        with pytest.raises(ValueError, match="the model's own failure"):
            await read(handler, failing_chain())
        try:
            client.flush()
        except TheirFaultError:  # the SDK hands it to whoever flushes
            assert shape == "stream"
        assert client.transport.refused > 0
        assert handler.live_runs == 0
        client.transport.broken = False
        assert await read(handler) == [TEXT] * 4
        client.flush()
        assert outcomes(Captured(client, client.transport.sent))[-4:] == ["completed"] * 4
    assert handler.live_runs == 0


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_server_that_does_not_answer_keeps_nobody_waiting(shape: str) -> None:
    """While Sentry holds back its answer, calls begin and end, more of them than the SDK queues."""
    handler = SentryStreamHandler()
    gate = threading.Event()
    with (
        playing_sentry(gate=gate) as sentry,
        application(dsn=sentry.dsn, transport_queue_size=2, **WIRE_SHAPES[shape]) as client,
    ):
        began = time.monotonic()
        for _ in range(5):
            assert await read(handler) == [TEXT] * 4
        # Whoever waits for Sentry, waits until its own patience ends: two seconds for a flush, and here for each call.
        assert time.monotonic() - began < 20
        assert handler.live_runs == 0
        gate.set()
        client.flush()


@pytest.mark.parametrize("status", [429, 500])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_server_that_refuses_changes_nothing_for_the_chain(shape: str, status: int) -> None:
    """An answer of 500, or of 429, leaves the chain as it is; after a 500 the following spans are sent to Sentry."""
    handler = SentryStreamHandler()
    with (
        playing_sentry(status) as sentry,
        application(dsn=sentry.dsn, send_client_reports=False, **WIRE_SHAPES[shape]) as client,
    ):
        arrived = []
        for _ in range(2):
            assert await read(handler) == [TEXT] * 4
            client.flush()
            arrived.append(len(sentry.bodies))
        assert arrived[0] > 0
        assert (arrived[1] > arrived[0]) is (status == 500)
    assert handler.live_runs == 0


class Once:
    """A callback of the user's that fails until it is told to work."""

    def __init__(self) -> None:
        self.broken = True
        self.called = 0

    def __call__(self, given: Any, hint: Any = None) -> Any:
        self.called += 1
        if self.broken:
            raise TheirFaultError("a callback of the user's")
        return given if hint is not None else 1.0


@pytest.mark.parametrize(
    ("shape", "option"),
    [
        ("transaction", "before_send_transaction"),
        ("transaction and spans", "before_send_transaction"),
        ("stream", "before_send_span"),
        *((shape, "traces_sampler") for shape in WIRE_SHAPES),
    ],
)
async def test_a_callback_that_raises_costs_what_it_was_asked_about(shape: str, option: str) -> None:
    """Sentry's callbacks may raise: the chain's answers are whole, no run is left, and later spans arrive."""
    handler = SentryStreamHandler()
    callback = Once()
    with capture_spans(**WIRE_SHAPES[shape], **{option: callback}) as captured:
        assert await read(handler) == [TEXT] * 4
        with pytest.raises(ValueError, match="the model's own failure"):
            await read(handler, failing_chain())
        assert handler.live_runs == 0
        assert callback.called
        assert sentry_sdk.get_current_span() is None
        before = outcomes(captured)
        # What a broken `before_send_span` was to change, the SDK sends unchanged.
        assert before == (["completed"] * 4 + ["failed"] if option == "before_send_span" else before[:0])
        callback.broken = False
        assert await read(handler) == [TEXT] * 4
        assert outcomes(captured)[len(before) :] == ["completed"] * 4


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_before_send_that_raises_does_not_hide_the_failure(shape: str) -> None:
    """With a broken `before_send` the issue is lost; the user gets the model's own exception, and the spans arrive."""
    handler = SentryStreamHandler()
    callback = Once()
    with capture_spans(**WIRE_SHAPES[shape], before_send=callback) as captured:
        with pytest.raises(ValueError, match="the model's own failure"):
            await read(handler, failing_chain())
        assert outcomes(captured) == ["failed"]
        assert captured.events == []
        assert callback.called == 1
    assert handler.live_runs == 0
