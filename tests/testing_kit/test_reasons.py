"""What a capture says where a span that is looked for is not there, or is not of this capture."""

from __future__ import annotations

from typing import Any

import pytest
import sentry_sdk

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, CapturedSpan, capture_spans
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, active_span, fake_model

pytest_plugins = ["pytester"]

shapes = pytest.mark.parametrize("shape", WIRE_SHAPES)


def invoke(name: str = "bot") -> None:
    """A model call of a pipeline."""
    fake_model().invoke("Hi", {"callbacks": [SentryStreamHandler(name)]})


def opened(name: str) -> Any:
    """A stream that has begun."""
    stream = ScriptedModel().stream("Hi", {"callbacks": [SentryStreamHandler(name)]})
    next(stream)
    return stream


def why(captured: Captured) -> str:
    """What a lookup of a model's span says."""
    with pytest.raises(LookupError) as raised:
        captured.find(op="gen_ai.chat")
    return str(raised.value)


@shapes
def test_a_client_that_replaces_the_captures_own_is_named(shape: str) -> None:
    """Where the application calls `init` in the block its spans go elsewhere, and every lookup says so."""
    with capture_spans() as elsewhere, capture_spans(**WIRE_SHAPES[shape]) as captured:
        assert "another client" not in why(captured)
        everywhere = sentry_sdk.get_global_scope()
        everywhere.set_client(elsewhere.client)  # as `init` does
        invoke()
        assert "another client was installed" in why(captured)
    assert "another client was installed" in why(captured)
    assert "another client was installed" in captured._repr_html_()
    assert elsewhere.find(op="gen_ai.chat")


def test_what_hooks_and_options_have_dropped_is_named() -> None:
    """Of spans that the SDK has dropped, it says how many and why."""

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    with capture_spans(before_send_transaction=fail) as captured:
        invoke()
    assert "1 transaction: " in why(captured)
    with capture_spans(traces_sample_rate=0.0) as captured:
        invoke()
    assert "1 transaction: sample_rate" in captured.tree()
    with capture_spans() as captured:
        invoke()
    assert "dropped" not in captured.tree()


def test_a_transaction_that_has_not_ended_is_named() -> None:
    """Its spans are sent when it ends, so until then none is there."""
    with capture_spans() as captured:
        with sentry_sdk.start_transaction(name="request", op="http.server"):
            invoke()
            assert "the transaction 'request' has not ended" in why(captured)
        assert captured.find(op="gen_ai.chat")
        assert "has not ended" not in captured.tree()


@shapes
def test_spans_of_an_earlier_run_are_marked(shape: str) -> None:
    """What another test has left open and ends in this one can be told from this one's own."""
    with capture_spans(**WIRE_SHAPES[shape]):
        earlier = opened("earlier")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        earlier.close()
        invoke("own")
    marked = [line.split()[1] for line in captured.tree().splitlines() if line.endswith(" [began before the capture]")]
    assert marked == ["earlier", "chat"]
    assert "own\n" in captured.tree()


def test_runs_that_begin_after_the_block_are_not_its_own() -> None:
    """What is open when the block ends is named for as long as it is open, and nothing that begins later is."""
    with capture_spans() as captured:
        stream = opened("in it")
    later = opened("later")
    assert len(captured.open_runs) == 1
    stream.close()
    assert captured.open_runs == []
    later.close()


def test_of_captures_that_overlap_none_leaves_a_dead_client() -> None:
    """Whichever ends first, the client from before both comes back, and the one that is open goes on."""
    with capture_spans() as outer:
        first, second = capture_spans(), capture_spans()
        first.__enter__()
        captured = second.__enter__()
        first.__exit__(None, None, None)
        assert sentry_sdk.get_client() is captured.client
        second.__exit__(None, None, None)
        assert sentry_sdk.get_client() is outer.client


@pytest.mark.parametrize(
    ("asked", "named"),
    [({"op": ["gen_ai.chat"]}, "^op must be"), ({"name": 5}, "^name must be")],
)
def test_a_criterion_that_can_match_nothing_is_refused(asked: Any, named: str) -> None:
    """A list of ops would match no span, and a test that expects none would pass."""
    with capture_spans() as captured:
        pass
    with pytest.raises(TypeError, match=named):
        captured.find_all(**asked)


def test_a_parent_is_a_span() -> None:
    """An id or a name in place of a span is refused by name."""
    with capture_spans() as captured:
        pass
    with pytest.raises(TypeError, match=r"^parent must be a CapturedSpan"):
        captured.children("abc")  # type: ignore[arg-type]


def test_a_find_without_criteria_says_only_how_many_there_are() -> None:
    """Nothing was asked for, so nothing is named."""
    with capture_spans() as captured:
        pass
    with pytest.raises(LookupError, match=r"^0 spans are there:\n\(no spans\)$"):
        captured.find()


def test_an_option_of_a_wrong_type_is_refused() -> None:
    """What the SDK cannot make a client of is a `TypeError` that says whose options they are."""
    with (
        pytest.raises(TypeError, match=r"^sentry_sdk makes no client with these options"),
        capture_spans(integrations=5),
    ):
        pass


def test_nothing_goes_to_spotlight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also not where the environment switches it on, as a developer's may."""
    monkeypatch.setenv("SENTRY_SPOTLIGHT", "http://127.0.0.1:9/stream")
    with capture_spans() as captured:
        assert captured.client.spotlight is None


def test_a_capture_leaves_no_thread_of_the_sdks_monitor() -> None:
    """It would go on for seconds after each test, as often as there are tests."""
    with capture_spans() as captured, active_span("transaction"):
        assert captured.client.monitor is None


def test_spans_may_be_put_into_a_set() -> None:
    """They are hashable, though their attributes are not."""
    with capture_spans() as captured:
        invoke()
    found: set[CapturedSpan] = set(captured.spans)
    assert found == set(captured.find_all())


def test_envelopes_that_were_cleared_are_forgotten() -> None:
    """The list is the caller's too, so what was read of it is read again when it has changed."""
    with capture_spans() as captured:
        invoke("first")
        assert captured.find(name="first")
        captured.envelopes.clear()
        invoke("second")
        assert captured.find(op="function").name == "second"


def test_the_marker_takes_options_by_name_only(pytester: pytest.Pytester) -> None:
    """A mapping of options would have no effect, so it is an error."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.sentry_options({"environment": "x"})
        def test_one(captured_spans):
            pass
        """
    )
    pytester.makeini("[pytest]\n")  # or, below this folder, that of this project holds
    result = pytester.runpytest_inprocess("-p", "no:asyncio", "-p", "no:cacheprovider")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*sentry_options takes options by name*"])
