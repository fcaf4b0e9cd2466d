"""Many requests fail at once, as in an outage of a provider: each has its one event, and those are all."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sentry_sdk
from langchain_core.runnables import RunnableLambda

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._to_sentry import failures, held_issues
from sentry_langchain_stream.testing import capture_spans
from tests.kit import reporters


def fail(_: Any) -> Any:
    raise ConnectionError("no answer")


def with_handler() -> Any:
    return {"callbacks": [SentryStreamHandler()]}


def mechanisms(captured: Any) -> list[str]:
    return [each["exception"]["values"][-1]["mechanism"]["type"] for each in captured.events]


async def test_requests_that_fail_at_once_are_one_event_each() -> None:
    """More requests than issues are held of one place fail in the same turn of the loop: the framework reports each."""
    number, arrived, all_here = held_issues._MOST + 20, 0, asyncio.Event()

    async def afail(_: Any) -> Any:
        nonlocal arrived
        arrived += 1
        if arrived == number:
            all_here.set()
        await all_here.wait()
        raise ConnectionError("no answer")

    chain: Any = RunnableLambda(fail, afunc=afail)
    with capture_spans() as captured:
        await asyncio.gather(*(reporters._fastapi(lambda: chain.ainvoke(1, with_handler())) for _ in range(number)))
        assert mechanisms(captured) == ["starlette"] * number


async def test_a_busy_loop_has_the_time_to_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of an issue is up while its loop is busy with other requests: the exception is reported after that."""
    monkeypatch.setattr(failures, "HOLD", 0.05)
    looked = threading.Event()
    waits = failures.Failure.waits

    def told(failure: failures.Failure, now: float) -> bool:
        try:
            return waits(failure, now)
        finally:
            looked.set()

    monkeypatch.setattr(failures.Failure, "waits", told)

    async def answer() -> None:
        try:
            await RunnableLambda(fail).ainvoke(1, with_handler())
        finally:
            assert looked.wait(10)  # the loop stands still here
            await asyncio.sleep(0)

    with capture_spans() as captured:
        await reporters._fastapi(answer)
        assert mechanisms(captured) == ["starlette"]


@pytest.mark.parametrize("is_traced", [True, False])
def test_two_jobs_of_one_incoming_trace_are_two_requests(is_traced: bool) -> None:
    """Of two jobs that one request has started, one is reported, the other one caught: both are in Sentry."""
    incoming = {"sentry-trace": f"{'a' * 32}-{'b' * 16}-1"} if is_traced else {}
    with capture_spans() as captured:
        for job in ("reported", "caught"):
            with sentry_sdk.isolation_scope():
                transaction = sentry_sdk.continue_trace(incoming, op="queue.task", name=job)
                with sentry_sdk.start_transaction(transaction):
                    try:
                        RunnableLambda(fail).invoke(1, with_handler())
                    except ConnectionError as error:
                        if job == "reported":
                            sentry_sdk.capture_exception(error)
        assert sorted(mechanisms(captured)) == ["generic", "langchain_stream"]
    assert {each["transaction"] for each in captured.events} == {"reported", "caught"}


def test_a_chain_that_before_send_calls_is_not_held() -> None:
    """The application asks a model in `before_send`, and that fails, too: one failure does not go on for ever."""
    asked = []

    def before_send(event: Any, hint: Any) -> Any:
        asked.append(event)
        with contextlib.suppress(ConnectionError):
            RunnableLambda(fail).invoke(1, with_handler())
        return event

    with capture_spans(before_send=before_send) as captured:
        with contextlib.suppress(ConnectionError):
            RunnableLambda(fail).invoke(1, with_handler())
        for _ in range(3):
            sentry_sdk.flush()
        assert mechanisms(captured) == ["langchain_stream"]
    assert len(asked) == 1


def test_each_failure_of_a_pool_is_linked_to_its_own_span() -> None:
    """Calls in threads fail, and the application reports each: each event is in the trace of its call."""
    with capture_spans() as captured:
        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(RunnableLambda(fail).invoke, 1, with_handler()) for _ in range(4)]
        for call in calls:
            sentry_sdk.capture_exception(call.exception())
        events = captured.events
    traces = {each["contexts"]["trace"]["trace_id"] for each in events}
    assert len(events) == 4
    assert traces == {span.trace_id for span in captured.spans}
    assert len(traces) == 4


SCRIPT = """
    import contextlib
    import sentry_sdk
    from langchain_core.runnables import RunnableLambda
    from sentry_langchain_stream import SentryStreamHandler

    class Transport(sentry_sdk.Transport):
        def capture_envelope(self, envelope):
            event = envelope.get_event()
            if event is not None:
                print(event["exception"]["values"][-1]["type"], flush=True)

    def fail(_):
        raise ConnectionError("no answer")

    sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=Transport, auto_enabling_integrations=False)
    with contextlib.suppress(ConnectionError):
        RunnableLambda(fail).invoke(1, {"callbacks": [SentryStreamHandler()]})
    sentry_sdk.init(dsn="http://key@127.0.0.1:9/2", transport=Transport, auto_enabling_integrations=False)
"""


def test_what_a_replaced_client_holds_is_sent_at_the_end() -> None:
    """A failure is held for a client, a second `init` makes another one, and the script ends."""
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(SCRIPT)], capture_output=True, text=True, timeout=100)
    assert ran.stdout.split() == ["ConnectionError"], ran.stderr
