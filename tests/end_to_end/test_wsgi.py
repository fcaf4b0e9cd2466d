"""Responses that are streamed under WSGI: a server reads them after the request's transaction has ended."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache
from itertools import chain
from threading import Thread
from time import monotonic
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
import sentry_sdk
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._to_sentry import joining
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.absent import needs
from tests.kit.inside import parent_of
from tests.kit.reporters import django_stream
from tests.kit.wire import ScriptedModel, fake_model

Chunks = Callable[[], Iterable[str]]


def plain(chunks: Chunks, **options: Any) -> AbstractContextManager[Any]:
    """An application without a framework, inside of Sentry's middleware."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (text.encode() for text in chunks())

    return nullcontext(SentryWsgiMiddleware(app, **options))


def flask_stream(chunks: Chunks) -> AbstractContextManager[Any]:
    """The same with Flask."""
    from flask import Flask, Response

    app = Flask(__name__)
    app.add_url_rule("/stream", view_func=lambda: Response(chunks(), mimetype="text/plain"))
    return nullcontext(app)


def falcon_stream(chunks: Chunks) -> AbstractContextManager[Any]:
    """The same with Falcon, whose integration knows only an application that is made after `init`."""
    import falcon

    class Stream:
        def on_get(self, request: Any, response: Any) -> None:
            response.stream = (text.encode() for text in chunks())

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        made = falcon.App()
        made.add_route("/stream", Stream())
        return made(environ, start_response)

    return nullcontext(app)


def bottle_stream(chunks: Chunks) -> AbstractContextManager[Any]:
    """The same with Bottle, which reads the first chunk itself: the rest follows when the transaction has ended."""
    import bottle

    app = bottle.Bottle()
    app.route("/stream", name="stream", callback=chunks)
    return nullcontext(app)


APPS = [
    plain,
    pytest.param(flask_stream, marks=needs("flask")),
    pytest.param(django_stream, marks=needs("django")),
    pytest.param(falcon_stream, marks=needs("falcon")),
]


@pytest.fixture(params=APPS)
def app_of(request: pytest.FixtureRequest) -> Any:
    """Makes an application that streams these chunks."""
    return request.param


@cache
def is_trace_known() -> bool:
    """Whether what follows a request's transaction knows its trace. Before sentry-sdk 2.47 it is in another one."""
    found: list[str | None] = []

    def chunks() -> Iterator[str]:
        found.append(sentry_sdk.get_traceparent())
        yield "x"

    with plain(chunks) as app:
        captured = served(app)
    return str(found[0]).startswith(captured.find(op="http.server").trace_id)


@pytest.fixture
def joins() -> None:
    """Skip where there is no trace to join."""
    if not is_trace_known():
        pytest.skip("needs sentry-sdk 2.47")


def served(app: Any, **options: Any) -> Captured:
    """What leaves while a server answers a request, as servers do: it takes the response, reads it, and closes it."""
    environ: dict[str, Any] = {"PATH_INFO": "/stream"}
    setup_testing_defaults(environ)
    with capture_spans(default_integrations=True, **options) as captured:
        response = app(environ, lambda status, headers, *_: None)
        try:
            with suppress(ConnectionError):
                for _ in response:
                    pass
        finally:
            response.close()
    return captured


def stream_of(model: Any) -> Chunks:
    """The chunks of this model's answer."""
    handler = SentryStreamHandler(pipeline_name="bot")
    return lambda: (chunk.text for chunk in model.stream("Hi", {"callbacks": [handler]}))


@pytest.mark.usefixtures("joins")
def test_a_stream_is_below_its_request(app_of: Any) -> None:
    """A root that starts while the response is read is in the request's trace, below its transaction."""
    with app_of(stream_of(fake_model("one two"))) as app:
        captured = served(app)
    request, pipeline = captured.find(op="http.server"), captured.find(name="bot")
    assert parent_of(captured, pipeline) == request
    assert {span.trace_id for span in captured.spans} == {request.trace_id}
    assert captured.find(op="gen_ai.chat").attributes["langchain_stream.outcome"] == "completed"


@pytest.mark.usefixtures("joins")
def test_each_stream_of_a_request_is_below_it(app_of: Any) -> None:
    """A second root is the first one's sibling, though the first one has been sent before it starts."""
    stream = stream_of(fake_model("one two"))
    with app_of(lambda: chain(stream(), stream())) as app:
        captured = served(app)
    request = captured.find(op="http.server")
    assert [parent_of(captured, each) for each in captured.find_all(name="bot")] == [request] * 2


NAMING = [
    pytest.param(bottle_stream, "stream", "chat", marks=needs("bottle")),
    pytest.param(falcon_stream, "/stream", "bot", marks=needs("falcon")),
]
"""Frameworks whose integration names every event of a request, the name that it gives this request, and the name of
the span that outlives it: the model call of a route that Bottle has called, or the pipeline that begins later."""


@pytest.mark.parametrize(("make", "route", "late"), NAMING)
def test_a_span_that_outlives_its_request_keeps_its_name(make: Any, route: str, late: str) -> None:
    """It leaves as a transaction of its own, which an integration would name after the request's route."""
    with make(stream_of(fake_model("one two"))) as app:
        captured = served(app)
    assert captured.find(op="http.server").name == route
    assert late in [span.name for span in captured.spans]
    model = captured.find(op="gen_ai.chat")
    assert model.attributes.get("sentry.segment.name", late) == late


@pytest.mark.parametrize("where", ["scope", "before_send_transaction"])
@pytest.mark.parametrize(("make", "route", "late"), NAMING)
def test_the_application_may_rename_what_outlives_its_request(make: Any, route: str, late: str, where: str) -> None:
    """An event processor of the application's in the request's scope has the last word, as has a hook of the client."""

    def rename(event: Any, hint: Any) -> Any:
        return {**event, "transaction": f"my {event['transaction']}"}

    def chunks() -> Iterable[str]:
        if where == "scope":
            sentry_sdk.get_isolation_scope().add_event_processor(rename)
        return stream_of(fake_model("one two"))()

    with make(chunks) as app:
        captured = served(app, **{where: rename} if where != "scope" else {})
    assert f"my {late}" in [span.name for span in captured.spans]


@pytest.mark.usefixtures("joins")
def test_the_issue_of_a_stream_is_in_the_trace_of_its_request(app_of: Any) -> None:
    """As without a handler, so that the request can be reached from the issue."""

    def refuse(_: int) -> None:
        raise ConnectionError("Connection refused")

    with app_of(stream_of(ScriptedModel(before=refuse))) as app:
        captured = served(app)
    (event,) = captured.events
    assert event["contexts"]["trace"]["trace_id"] == captured.find(op="http.server").trace_id
    assert event["contexts"]["trace"]["span_id"] == captured.find(op="gen_ai.chat").span_id


@pytest.mark.usefixtures("joins")
def test_a_stream_is_sampled_with_its_request(app_of: Any) -> None:
    """A `traces_sampler` is given the decision of the request, which the SDK follows where there is no sampler."""
    seen: list[Any] = []

    def sampler(context: dict[str, Any]) -> float:
        seen.append(context["parent_sampled"])
        return 1.0

    with app_of(stream_of(fake_model("one two"))) as app:
        served(app, traces_sampler=sampler)
    assert seen == [None, True]


def test_a_request_without_a_transaction_has_no_trace_to_join() -> None:
    """Where the middleware makes no transaction, the trace around a request is that of the process: no run joins it."""
    with plain(stream_of(fake_model("one two")), http_methods_to_capture=()) as app:
        captured = served(app), served(app)
    first, second = (each.find(name="bot") for each in captured)
    assert first.parent_id is None
    assert second.parent_id is None
    assert first.trace_id != second.trace_id


@pytest.mark.usefixtures("joins")
def test_a_stream_of_a_request_that_is_not_sampled_is_not_sampled(app_of: Any) -> None:
    """The request has decided for its stream, too: else more of them would be sampled than the rate says."""
    seen: list[Any] = []

    def sampler(context: dict[str, Any]) -> float:
        seen.append(context["parent_sampled"])
        return 0.0

    with app_of(stream_of(fake_model("one two"))) as app:
        captured = served(app, traces_sampler=sampler)
    assert seen == [None, False]
    with app_of(stream_of(fake_model("one two"))) as app:
        each = [served(app, traces_sample_rate=0.5) for _ in range(40)]
    assert captured.spans == []
    ops = ("http.server", "gen_ai.chat")
    assert {tuple(len(captured.find_all(op=op)) for op in ops) for captured in each} == {(0, 0), (1, 1)}


@pytest.mark.usefixtures("joins")
def test_the_issue_of_a_request_that_is_not_sampled_is_in_its_trace(app_of: Any) -> None:
    """What the route reports and what the handler reports have one trace, as without a handler."""

    def refuse(_: int) -> None:
        raise ConnectionError("Connection refused")

    def chunks() -> Iterable[str]:
        sentry_sdk.capture_message("asked")
        return stream_of(ScriptedModel(before=refuse))()

    with app_of(chunks) as app:
        captured = served(app, traces_sample_rate=0.0)
    said, raised = captured.events
    assert said["contexts"]["trace"]["trace_id"] == raised["contexts"]["trace"]["trace_id"]


@pytest.mark.usefixtures("joins")
def test_a_request_that_was_not_sent_is_not_joined(app_of: Any) -> None:
    """A transaction that `before_send_transaction` drops is no parent that anybody could look up."""

    def drop(event: Any, hint: Any) -> Any:
        return None if event["contexts"]["trace"]["op"] == "http.server" else event

    with app_of(stream_of(fake_model("one two"))) as app:
        captured = served(app, before_send_transaction=drop)
    assert captured.find(name="bot").parent_id is None


@pytest.mark.parametrize("in_thread", [True, False])
def test_what_ends_in_the_scope_of_a_process_or_a_thread_is_not_joined(in_thread: bool) -> None:
    """A worker without a scope per job has all its transactions in one, and whoever asks a model there is no job."""

    def sampler(context: Any) -> float:
        parent = context["parent_sampled"]
        return float(context["transaction_context"]["name"] != "heartbeat" if parent is None else parent)

    def ask() -> None:
        fake_model("one").invoke("Hi", {"callbacks": [SentryStreamHandler(pipeline_name="bot")]})

    def work() -> None:
        for _ in range(2):
            with sentry_sdk.start_transaction(sentry_sdk.continue_trace({}, op="task", name="heartbeat")):
                ask()
            ask()

    with capture_spans(traces_sampler=sampler, default_integrations=True) as captured:
        if in_thread:
            thread = Thread(target=work)
            thread.start()
            thread.join()
        else:
            work()
    assert [span.parent_id for span in captured.find_all(name="bot")] == [None, None]


@pytest.mark.usefixtures("joins")
def test_a_transaction_is_joined_for_some_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scope may live longer than its request, and what comes much later is no part of that."""
    config: Any = {"callbacks": [SentryStreamHandler(pipeline_name="bot")]}
    with capture_spans() as captured, sentry_sdk.isolation_scope() as scope:
        scope._name = "wsgi"  # as an integration does
        with sentry_sdk.start_transaction(sentry_sdk.continue_trace({}, op="job", name="job")):
            pass
        fake_model("one").invoke("Hi", config)
        monkeypatch.setattr(joining, "monotonic", lambda: monotonic() + 600)
        fake_model("one").invoke("Hi", config)
    soon, later = captured.find_all(name="bot")
    assert soon.parent_id == captured.find(op="job").span_id
    assert later.parent_id is None


@pytest.mark.usefixtures("joins")
def test_the_stream_of_a_raw_client_joins_its_request_without_a_handler() -> None:
    """In a process that has nothing but `track_stream`, the first request is joined as any other."""
    script = """
from wsgiref.util import setup_testing_defaults
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware
from sentry_langchain_stream import track_stream
from sentry_langchain_stream.testing import capture_spans

def app(environ, start_response):
    start_response("200 OK", [])
    return (text.encode() for text in track_stream(iter(["one"]), model="m"))

environ = {}
setup_testing_defaults(environ)
with capture_spans() as captured:
    response = SentryWsgiMiddleware(app)(environ, lambda *_: None)
    list(response)
    response.close()
print(captured.find(op="function").parent_id == captured.find(op="http.server").span_id)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
