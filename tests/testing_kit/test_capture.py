"""What users' own tests and notebooks see: captured spans, found, told as a tree, drawn, and the fixture."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Barrier, Event, Thread
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.consts import DEFAULT_OPTIONS

import sentry_langchain_stream
from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, capture_spans
from sentry_langchain_stream.testing.envelopes import read_spans
from tests.kit import HANG, lean_environment
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, active_span, current_span_id, fake_model

pytest_plugins = ["pytester"]

shapes = pytest.mark.parametrize("shape", WIRE_SHAPES)


def work(shape: str, name: str, op: str = "task", **attributes: Any) -> AbstractContextManager[Any]:
    """A span of the application's own, active while it is open."""
    if shape == "stream":
        return sentry_sdk.traces.start_span(name, attributes={"sentry.op": op, **attributes})
    span = sentry_sdk.start_span(op=op, name=name)
    for key, value in attributes.items():
        span.set_data(key, value)
    return span


@contextmanager
def without_client() -> Iterator[None]:
    """A process in which `sentry_sdk.init` was never called."""
    everywhere = sentry_sdk.get_global_scope()
    before = everywhere.client
    everywhere.set_client(None)
    try:
        yield
    finally:
        everywhere.set_client(before)


@shapes
def test_a_span_has_one_shape_whatever_the_wire_shape(shape: str) -> None:
    """Op, name, parent, attributes and times are read the same from each way in which the SDK sends spans."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape, "root"):  # noqa: SIM117
        with work(shape, "chat small", "gen_ai.chat", answer=42, text="yes"):
            pass
    root, call = captured.find(name="root"), captured.find(op="gen_ai.chat")
    assert (call.name, call.attributes["answer"], call.attributes["text"]) == ("chat small", 42, "yes")
    assert (call.parent_id, call.trace_id) == (root.span_id, root.trace_id)
    assert (root.is_root, call.is_root) == (True, False)
    assert root.start <= call.start <= call.end <= root.end + 0.001
    assert call.duration == call.end - call.start
    assert captured.children(root) == [call]


@shapes
def test_the_tree_is_the_same_in_every_wire_shape(shape: str) -> None:
    """A line per span, `op  name`, indented below its parent; what completed has nothing more to it."""
    model = ScriptedModel(model_name="small")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        model.invoke("Hi", config={"callbacks": [SentryStreamHandler(pipeline_name="support-bot")]})
    assert captured.tree() == "function  support-bot\n  gen_ai.chat  chat small"


@shapes
@pytest.mark.parametrize("outcome", ["cancelled", "abandoned", "failed"])
def test_the_tree_tells_what_did_not_complete(shape: str, outcome: str) -> None:
    """The line of such a span ends in its outcome, in brackets; those of the others do not."""
    key = "langchain_stream.outcome"
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape, "root"):
        with work(shape, "first", **{key: "completed"}):
            pass
        with work(shape, "second", **{key: outcome}):
            pass
    assert captured.tree().splitlines()[1:] == ["  task  first", f"  task  second [{outcome}]"]


@shapes
def test_a_failed_chain_reads_as_failed(shape: str) -> None:
    """A real failure shows at the model call and at the pipeline above it."""

    def fail(number: int) -> None:
        raise TimeoutError

    model = ScriptedModel(model_name="small", before=fail)
    with capture_spans(**WIRE_SHAPES[shape]) as captured, pytest.raises(TimeoutError):
        model.invoke("Hi", config={"callbacks": [SentryStreamHandler(pipeline_name="bot")]})
    assert captured.tree() == "function  bot [failed]\n  gen_ai.chat  chat small [failed]"


@shapes
def test_siblings_stand_in_the_order_of_their_start(shape: str) -> None:
    """Not in that of their end, in which the SDK sends them, and not model calls apart from the rest."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape, "root"):
        if shape == "stream":
            above = sentry_sdk.traces.get_current_span()
            start: Any = lambda op, name: sentry_sdk.traces.start_span(  # noqa: E731
                name, attributes={"sentry.op": op}, parent_span=above, active=False
            )
        else:
            root = sentry_sdk.get_current_span()
            assert root is not None
            start = lambda op, name: root.start_child(op=op, name=name)  # noqa: E731
        spans = [start("task", "a"), start("gen_ai.chat", "b"), start("task", "c")]
        for span in reversed(spans):
            span.end() if shape == "stream" else span.finish()
    assert captured.tree().splitlines()[1:] == ["  task  a", "  gen_ai.chat  b", "  task  c"]


@pytest.mark.parametrize(
    ("kind", "payload", "message"),
    [
        ("transaction", {"transaction": "n"}, "not a transaction item: KeyError: 'contexts'"),
        ("span", {"items": [{"name": "n"}]}, "not a span item: KeyError: 'trace_id'"),
        ("span", None, "not a span item: TypeError: "),
    ],
)
def test_what_a_hook_has_made_unreadable_is_said(kind: str, payload: Any, message: str) -> None:
    """A payload that lacks what its type must have is refused, and what is missing is named."""
    with pytest.raises(ValueError, match=message):
        list(read_spans(kind, payload))


def test_nothing_captured_is_said() -> None:
    """A block without spans has a tree that says so, and a picture that does."""
    with capture_spans() as captured:
        pass
    assert captured.tree() == repr(captured) == "(no spans)"
    assert captured._repr_html_() == "<p>(no spans)</p>"


def captured_twins() -> Captured:
    """A root with two spans of the same name."""
    with capture_spans() as captured, active_span("transaction", "root"):
        for _ in range(2):
            with work("transaction", "twin"):
                pass
    return captured


@pytest.mark.parametrize(("name", "count"), [("nobody", 0), ("twin", 2)])
def test_a_find_that_fails_lists_what_there_is(name: str, count: int) -> None:
    """Whether no span matches or several do, the message has what was asked for and the whole tree."""
    with pytest.raises(LookupError) as raised:
        captured_twins().find(op="task", name=name)
    message = str(raised.value)
    assert message == (
        f"{count} spans have op='task' and name={name!r}; there are:\ntest  root\n  task  twin\n  task  twin"
    )


def test_find_takes_what_is_left_out_for_anything() -> None:
    """By op alone, by name alone or by both, the one span that matches is found; `find_all` finds them all."""
    captured = captured_twins()
    root = captured.spans[0]
    assert captured.find(op="test") == captured.find(name="root") == captured.find(op="test", name="root") == root
    assert captured.find_all(name="twin") == captured.spans[1:]
    assert len(captured.find_all()) == 3


def test_a_notebook_shows_the_timeline_and_keeps_the_tree_as_text() -> None:
    """As the last line of a cell it is a table with a bar per span; its plain form names no object and no address."""
    captured = captured_twins()
    assert captured._repr_html_().count("<img ") == 1 + len(captured.spans)
    assert repr(captured) == captured.tree()


@shapes
def test_no_dsn_is_needed_and_none_is_used(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a DSN in the environment or among the options the spans stay here as well."""
    monkeypatch.setenv("SENTRY_DSN", "https://public@sentry.invalid/1")
    with capture_spans(**WIRE_SHAPES[shape], dsn="https://public@sentry.invalid/2") as captured:
        assert "sentry.invalid" not in str(sentry_sdk.get_client().dsn)
        with active_span(shape, "kept"):
            pass
    assert [span.name for span in captured.spans] == ["kept"]


@shapes
@pytest.mark.parametrize("fails", [False, True])
def test_the_client_from_before_comes_back(shape: str, fails: bool) -> None:
    """After the block, also when it raised, client, scopes and active span are what they were, and sending works."""
    with capture_spans(**WIRE_SHAPES[shape]) as outer:
        client = sentry_sdk.get_client()
        with active_span(shape, "around") as active:
            before = sentry_sdk.get_isolation_scope(), sentry_sdk.get_current_scope()
            try:
                with capture_spans(**WIRE_SHAPES[shape]):
                    assert sentry_sdk.get_client() is not client
                    if fails:
                        raise KeyError("of the user's own")
            except KeyError:
                assert fails
            assert sentry_sdk.get_client() is client
            assert (sentry_sdk.get_isolation_scope(), sentry_sdk.get_current_scope()) == before
            assert current_span_id() == active
    assert [span.name for span in outer.spans] == ["around"]


def test_without_a_client_there_is_none_afterwards() -> None:
    """A process that never initialised Sentry has no client again."""
    with without_client():
        with capture_spans():
            assert sentry_sdk.get_client().is_active()
        assert not sentry_sdk.get_client().is_active()


def test_options_that_the_sdk_refuses_change_nothing() -> None:
    """A misspelt option raises the SDK's own error, and the client from before stays."""
    with capture_spans() as captured:
        client = sentry_sdk.get_client()
        with pytest.raises(TypeError, match="traces_sampel_rate"), capture_spans(traces_sampel_rate=1.0):
            pass
        assert sentry_sdk.get_client() is client
    assert captured.spans == []


@shapes
def test_a_capture_within_a_capture_has_its_own_spans(shape: str) -> None:
    """Each span is in one of them; the inner ones are not children of the outer's active span, and not in its trace."""
    handler = SentryStreamHandler(pipeline_name="bot")
    with capture_spans(**WIRE_SHAPES[shape]) as outer:
        with active_span(shape, "around"):
            with capture_spans(**WIRE_SHAPES[shape]) as inner:
                fake_model().invoke("Hi", config={"callbacks": [handler]})
            with work(shape, "after"):
                pass
        assert [span.name for span in inner.spans][:1] == ["bot"]
    assert [span.name for span in outer.spans] == ["around", "after"]
    assert inner.spans[0].parent_id is None
    assert {span.trace_id for span in inner.spans}.isdisjoint(span.trace_id for span in outer.spans)


@shapes
def test_threads_are_captured(shape: str) -> None:
    """Spans of threads are there, of those that ran before the block too."""
    go = Event()

    def run() -> None:
        go.wait(HANG)
        with active_span(shape, "in a thread"):
            pass

    threads = [Thread(target=run)]
    threads[0].start()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        threads.append(Thread(target=run))
        threads[1].start()
        go.set()
        for thread in threads:
            thread.join(HANG)
    assert [span.name for span in captured.spans] == ["in a thread"] * 2


@pytest.mark.usefixtures("restless")
@shapes
def test_threads_that_begin_at_once_are_captured_whole(shape: str) -> None:
    """No first span of a thread is lost, and who looks at once sees what the SDK is just sending."""

    def run(number: int) -> None:
        start.wait(HANG)
        with active_span(shape, f"thread {number}"):
            pass

    for _ in range(40):
        start = Barrier(6)
        with capture_spans(**WIRE_SHAPES[shape]) as captured:
            with ThreadPoolExecutor(6) as threads:
                list(threads.map(run, range(6)))
            assert sorted(span.name for span in captured.spans) == [f"thread {number}" for number in range(6)]


@pytest.mark.skipif("stream" not in WIRE_SHAPES, reason="needs streamed spans")
def test_a_flush_waits_for_spans_that_the_sender_has_in_hand() -> None:
    """A flush ends only when the spans that the sender thread has taken from the queue were handed on."""
    taken, may_go_on = Event(), Event()
    with capture_spans(**WIRE_SHAPES["stream"]) as captured:
        queue: Any = captured.client.span_batcher
        hand_on = queue._capture_func

        def slowly(envelope: Any) -> None:
            taken.set()
            assert may_go_on.wait(HANG)
            hand_on(envelope)

        queue._capture_func = slowly
        with active_span("stream", "root"):
            pass
        assert taken.wait(HANG)
        flush = Thread(target=captured.client.flush)
        flush.start()
        flush.join(0.2)  # if it does not wait, it is over long before
        waits = flush.is_alive()
        may_go_on.set()
        flush.join(HANG)
        assert waits
        assert [span.name for span in captured.spans] == ["root"]


@shapes
async def test_tasks_are_captured(shape: str) -> None:
    """Spans of tasks are there, each a root of its own, in a block that awaits them."""

    async def run(number: int) -> None:
        with sentry_sdk.isolation_scope(), active_span(shape, f"task {number}"):
            await asyncio.sleep(0)

    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await asyncio.gather(*(run(number) for number in range(3)))
    assert captured.tree().splitlines() == [f"{span.op or '(no op)'}  {span.name}" for span in captured.spans]
    assert {span.name for span in captured.spans} == {"task 0", "task 1", "task 2"}


@shapes
def test_spans_can_be_looked_at_before_the_block_ends(shape: str) -> None:
    """What has finished is there at once, also where the SDK sends in batches."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        with active_span(shape, "done"):
            pass
        assert [span.name for span in captured.spans] == ["done"]


def test_the_fixture_captures_the_test(captured_spans: Captured) -> None:
    """It comes with the package, without an import; everything is sampled."""
    fake_model().invoke("Hi", config={"callbacks": [SentryStreamHandler(pipeline_name="bot")]})
    assert captured_spans.find(op="function").name == "bot"


async def test_the_fixture_captures_an_async_test(captured_spans: Captured) -> None:
    """The test may run in a task of a loop that is older than the fixture."""
    await fake_model().ainvoke("Hi", config={"callbacks": [SentryStreamHandler(pipeline_name="bot")]})
    assert captured_spans.find(op="function").name == "bot"


@pytest.mark.sentry_options(release="of the class", environment="of the class")
class TestMarkers:
    """Options of the client for the fixture."""

    @pytest.mark.sentry_options(release="of the test", traces_sample_rate=0.0)
    def test_the_nearest_marker_wins(self, captured_spans: Captured) -> None:
        """Markers of class and test add up; where both set an option, that of the test holds."""
        options = sentry_sdk.get_client().options
        assert (options["release"], options["environment"]) == ("of the test", "of the class")
        with active_span("transaction"):
            pass
        assert captured_spans.spans == []


def test_the_fixture_is_found_and_leaves_nothing_behind(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a project that has only installed the package: fixture and marker are known, and the next test is free."""
    pytester.makepyfile(
        """
        import pytest
        import sentry_sdk

        @pytest.mark.sentry_options(release="mine")
        def test_with(captured_spans):
            with sentry_sdk.start_transaction(op="task", name="work"):
                assert sentry_sdk.get_client().options["release"] == "mine"
            assert captured_spans.tree() == "task  work"

        def test_without():
            assert not sentry_sdk.get_client().is_active()
        """
    )
    monkeypatch.setenv("PYTHONPATH", lean_environment()["PYTHONPATH"])
    result = pytester.runpytest_subprocess("--strict-markers")
    result.assert_outcomes(passed=2)


def test_the_plugin_imports_nothing_that_takes_time() -> None:
    """Every pytest run with the package installed loads the plugin, so only the fixture imports the SDK."""
    code = f"""
import sys, types
package = types.ModuleType("sentry_langchain_stream")  # without what the package itself imports
package.__path__ = [{str(Path(sentry_langchain_stream.__file__).parent)!r}]
sys.modules["sentry_langchain_stream"] = package
import pytest
before = set(sys.modules)
import sentry_langchain_stream.pytest_plugin
print(*{{name.partition(".")[0] for name in set(sys.modules) - before}} - set(sys.stdlib_module_names))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=HANG)
    assert run.stdout.split() == ["sentry_langchain_stream"]


@shapes
def test_runs_that_are_open_are_named(shape: str) -> None:
    """Until a stream is closed, its run has no span, and the tree says so; runs from before are not the capture's."""
    model, handler = ScriptedModel(model_name="small"), SentryStreamHandler(pipeline_name="support-bot")
    config: Any = {"callbacks": [handler], "run_name": "ask"}
    with capture_spans(**WIRE_SHAPES[shape]):
        earlier = model.stream("Hi", config)
        next(earlier)
        with capture_spans(**WIRE_SHAPES[shape]) as captured:
            assert captured.open_runs == []
            stream = model.stream("Hi", config)
            next(stream)
            assert captured.open_runs == ["ask"]
            assert "(1 run has not ended: ask. Close the stream or generator" in captured.tree()
            assert "1 run has not ended" in captured._repr_html_()
            stream.close()  # type: ignore[attr-defined]  # it is a generator
            assert (captured.open_runs, "not ended" in captured.tree()) == ([], False)
        earlier.close()  # type: ignore[attr-defined]


WARNINGS_ARE_ERRORS = """
[pytest]
filterwarnings =
    error
    ignore:unclosed:ResourceWarning
"""
"""A suite's settings. Connections that other tests' clients left open are collected at any time, in that suite too."""


def test_the_fixture_works_where_warnings_are_errors(pytester: pytest.Pytester) -> None:
    """A suite with `filterwarnings = error` can use it."""
    pytester.makepyfile(
        """
        from langchain_core.language_models import FakeListChatModel
        from sentry_langchain_stream import SentryStreamHandler

        def test_one(captured_spans):
            FakeListChatModel(responses=["Hi"]).invoke("Hi", {"callbacks": [SentryStreamHandler()]})
            assert captured_spans.find(op="gen_ai.chat").attributes["gen_ai.usage.total_tokens"] > 0
        """
    )
    pytester.makeini(WARNINGS_ARE_ERRORS)
    pytester.runpytest_inprocess("-p", "no:asyncio", "-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_an_option_that_is_deprecated_is_no_error_in_the_fixture(pytester: pytest.Pytester) -> None:
    """Where warnings are errors, the SDK's own warning of an option is shown, and every option holds."""
    pytester.makepyfile(
        """
        import pytest
        import sentry_sdk
        from langchain_core.language_models import FakeListChatModel
        from sentry_sdk.consts import DEFAULT_OPTIONS
        from sentry_langchain_stream import SentryStreamHandler

        def told(captured):
            FakeListChatModel(responses=["Hi"]).invoke("Hi", {"callbacks": [SentryStreamHandler()]})
            return captured.find(op="gen_ai.chat").attributes

        @pytest.mark.sentry_options(send_default_pii=True)
        def test_the_older_option(captured_spans):
            assert {"gen_ai.input.messages", "gen_ai.output.messages"} <= set(told(captured_spans))

        @pytest.mark.skipif("data_collection" not in DEFAULT_OPTIONS, reason="needs sentry-sdk 2.70")
        @pytest.mark.sentry_options(data_collection={"gen_ai": {"inputs": True, "outputs": False}})
        def test_the_newer_option(captured_spans):
            assert {key for key in told(captured_spans) if key.endswith(".messages")} == {"gen_ai.input.messages"}

        def test_warnings_of_the_test_itself_are_errors(captured_spans):
            with pytest.raises(UserWarning):
                __import__("warnings").warn("mine")
        """
    )
    pytester.makeini(WARNINGS_ARE_ERRORS)
    result = pytester.runpytest_inprocess("-p", "no:asyncio", "-p", "no:cacheprovider")
    skipped = int("data_collection" not in DEFAULT_OPTIONS)
    result.assert_outcomes(passed=3 - skipped, skipped=skipped)
