"""Whatever order LangChain's events come in, and whatever fails meanwhile: runs end once, and always."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult
from sentry_sdk.scope import Scope

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.attributes import describe
from sentry_langchain_stream.backends import SpanBackend, Status
from sentry_langchain_stream.conventions import AttributeValue
from sentry_langchain_stream.record import Run
from sentry_langchain_stream.settings import Dialect
from sentry_langchain_stream.testing import capture_spans
from tests.helpers import Clock
from tests.wire import SLACK, WIRE_SHAPES, active_span, content_allowed, current_span_id

MODEL_OPS = ("gen_ai.chat", "gen_ai.text_completion")
IDS = [UUID(int=number) for number in range(1, 9)]
"""Few, so that they are used again, also while they are live."""

FAULTS = (
    "current",
    "recording",
    "start",
    "describe",
    "finish",
    "capture_error",
    "allowed_content",
    "redact",
    "token_counter",
)
"""What can be told to fail while one event is handled."""

runs = st.sampled_from(IDS)
parents = st.none() | runs | st.just(UUID(int=99))
faults = st.just(frozenset[str]()) | st.frozensets(st.sampled_from(FAULTS))


SETTINGS = settings(
    derandomize=True,
    database=None,
    deadline=None,
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


class GraphBubbleUp(Exception):
    """Stands for LangGraph's exception of this name, which is known by it."""


class Interrupt(GraphBubbleUp):
    """Stands for one of its family."""


ERRORS: tuple[Callable[[], BaseException], ...] = (
    lambda: ValueError("the model failed"),
    asyncio.CancelledError,
    GeneratorExit,
    Interrupt,
    KeyboardInterrupt,
)
errors = st.sampled_from(ERRORS)


class Fault(Exception):
    """A failure of a part of ours, or of a function of the user's."""


CLOCK = Clock()


class Handler(SentryStreamHandler):
    """A handler whose time is told."""

    clock = CLOCK


@dataclass(eq=False)
class FakeSpan:
    """A span that counts how often it was finished."""

    op: str
    parent: FakeSpan | None
    attempts: int = 0
    attributes: dict[str, Any] = field(default_factory=dict)
    status: Status | None = None


class FakeSpans:
    """A span model that keeps its spans, and of which every part can fail."""

    def __init__(self, check: Callable[[str], None]) -> None:
        self.check = check
        self.active: FakeSpan | None = None
        self.sampled = True
        self.spans: list[FakeSpan] = []
        self.stray: list[FakeSpan] = []
        """Spans that were started below a span that had been finished."""

    def current(self) -> FakeSpan | None:
        self.check("current")
        return self.active

    def start(self, parent: FakeSpan | None, *, op: str, name: str) -> FakeSpan:
        self.check("start")
        span = FakeSpan(op, parent)
        self.spans.append(span)
        if parent is not None and parent.attempts:
            self.stray.append(span)
        return span

    def recording(self, span: FakeSpan) -> bool:
        self.check("recording")
        return self.sampled

    def rename(self, span: FakeSpan, *, op: str, name: str) -> None:
        self.check("rename")
        span.op = op

    def describe(self, span: FakeSpan, attributes: Mapping[str, Any], status: Status) -> None:
        raise AssertionError("no span is shared here")

    def finish(self, span: FakeSpan, attributes: Mapping[str, Any], status: Status) -> None:
        span.attempts += 1
        self.check("finish")
        span.attributes, span.status = dict(attributes), status

    def link(self, scope: Scope, span: FakeSpan) -> None:
        raise NotImplementedError


@dataclass(eq=False)
class Seen:
    """A run as the test knows it.

    Args:
        id: Its id.
        parent: The run that was live under the parent's id when this one started.
        number: Which start made it.
        model: Whether it is a model's.
        together: Stands for the call of a model that several runs belong to.
        named_parent: Whether its start named a parent, live or not.
        chunks: How many chunks with content arrived.
        outcome: How it was told to end, if it was.
        raised: Whether it was told to end with an exception, rather than to have failed by an event.
    """

    id: UUID
    parent: Seen | None
    number: int
    model: bool
    together: object
    named_parent: bool
    chunks: int = 0
    outcome: str | None = None
    raised: bool = False

    def top(self) -> Seen:
        return self.parent.top() if self.parent else self

    def below(self, other: Seen) -> bool:
        return self.parent is not None and (self.parent is other or self.parent.below(other))


def question() -> list[BaseMessage]:
    return [SystemMessage("Be brief."), HumanMessage("Hi")]


class Events(RuleBasedStateMachine):
    """Calls the hooks of one handler by hand, in any order, with ids that are live, dead, unknown or in use."""

    handler: SentryStreamHandler
    active: str | None = None
    """The id of the application's own span that is current throughout."""
    faulty = False
    """Whether what a rule says fails does."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.failing: frozenset[str] = frozenset()
        self.seen: list[Seen] = []
        self.starts = 0
        self.kept: list[Any] = []

    def check(self, part: str) -> None:
        """Fail if this part is to fail now."""
        if part in self.failing:
            raise Fault(part)

    def make_handler(self, **options: Any) -> None:
        def redact(text: str) -> str:
            self.check("redact")
            return text

        def counter(text: str) -> int:
            self.check("token_counter")
            return len(text)

        self.handler = Handler(redact=redact, token_counter=counter, **options)

    def live(self, run: Seen) -> bool:
        """Whether a run is live: it is the last that was accepted under its id, and the id is."""
        last = next(each for each in reversed(self.seen) if each.id == run.id)
        return last is run and self.handler._runs.get(run.id) is not None

    def find(self, run_id: UUID | None) -> Seen | None:
        """The live run of this id."""
        return next((run for run in reversed(self.seen) if run.id == run_id and self.live(run)), None)

    def started(self, run: Seen) -> None:
        """A start was accepted."""

    def refused(self) -> None:
        """A start was not."""

    def during(self, failing: frozenset[str], hook: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call a hook while something fails. None may raise."""
        self.failing = failing if self.faulty else frozenset()
        try:
            hook(*args, **kwargs)
        finally:
            self.failing = frozenset()

    def begin(
        self,
        failing: frozenset[str],
        run_id: UUID,
        parent: UUID | None,
        hook: str,
        payload: Any,
        together: object = None,
        **start: Any,
    ) -> None:
        """Call a start hook."""
        again, above = self.find(run_id), self.find(parent)
        self.starts += 1
        metadata = {"ls_model_name": f"model-{self.starts}", "pipeline_name": f"pipeline-{self.starts}"}
        self.kept.append(payload)
        self.during(
            failing,
            getattr(self.handler, hook),
            {},
            payload,
            run_id=run_id,
            parent_run_id=parent,
            metadata=metadata,
            **start,
        )
        if again is None and self.handler._runs.get(run_id) is not None:
            if above is not None and not self.live(above):
                above = None  # it was the oldest of too many
            model = hook in ("on_chat_model_start", "on_llm_start")
            run = Seen(run_id, above, self.starts, model, together or object(), parent is not None)
            self.seen.append(run)
            self.started(run)
        else:
            self.refused()

    def finish(self, failing: frozenset[str], run_id: UUID, hook: Any, *args: Any, outcome: str | None) -> None:
        """Call a hook that ends a run."""
        run = self.find(run_id)
        self.during(failing, hook, *args, run_id=run_id)
        if run is None:
            return
        run.outcome = outcome
        assert not self.live(run)
        assert not [each for each in self.seen if each.below(run) and self.live(each)], "a run outlived its parent"

    @rule(
        failing=faults,
        run_id=runs,
        parent=parents,
        hook=st.sampled_from(("on_chain_start", "on_tool_start", "on_retriever_start")),
        name=st.sampled_from((None, "ask", "RunnableWithFallbacks")),
    )
    def run_starts(
        self, failing: frozenset[str], run_id: UUID, parent: UUID | None, hook: str, name: str | None
    ) -> None:
        self.begin(failing, run_id, parent, hook, "Hi", name=name)

    @rule(failing=faults, run_id=runs, parent=parents, chat=st.booleans())
    def model_starts(self, failing: frozenset[str], run_id: UUID, parent: UUID | None, chat: bool) -> None:
        if chat:
            self.begin(failing, run_id, parent, "on_chat_model_start", [question()])
        else:
            self.begin(failing, run_id, parent, "on_llm_start", [f"Hi {self.starts}"])

    @rule(failing=faults, ids=st.lists(runs, min_size=2, max_size=3, unique=True), parent=parents)
    def models_start_together(self, failing: frozenset[str], ids: list[UUID], parent: UUID | None) -> None:
        """One call of a model with several prompts: a run each, which share their parameters."""
        call = {"together": object(), "invocation_params": {"temperature": 0.5}, "batch_size": len(ids)}
        self.kept.append(call)  # whether a freed address is used again would be a matter of luck
        for run_id in ids:
            self.begin(failing, run_id, parent, "on_chat_model_start", [question()], **call)

    @rule(failing=faults, run_id=runs, text=st.sampled_from(("", "one ", "two ")))
    def token_arrives(self, failing: frozenset[str], run_id: UUID, text: str) -> None:
        run = self.find(run_id)
        chunk = ChatGenerationChunk(message=AIMessageChunk(content=text))
        self.during(failing, self.handler.on_llm_new_token, text, chunk=chunk, run_id=run_id)
        if run is not None and text:
            run.chunks += 1

    @rule(failing=faults, run_id=runs)
    def model_says_that_it_failed(self, failing: frozenset[str], run_id: UUID) -> None:
        """The v3 event after which LangChain says nothing more."""
        run = self.find(run_id)
        self.during(failing, self.handler.on_stream_event, {"event": "error", "message": "no"}, run_id=run_id)
        if run is not None and run.model and not self.live(run):
            # With the first event the chunks that come as tokens stop to count, for events bring them too.
            run.outcome, run.chunks = "failed", 0

    @rule(failing=faults, run_id=runs, hook=st.sampled_from(("on_chain_end", "on_tool_end", "on_retriever_end")))
    def run_ends(self, failing: frozenset[str], run_id: UUID, hook: str) -> None:
        self.finish(failing, run_id, getattr(self.handler, hook), "done", outcome="completed")

    @rule(failing=faults, run_id=runs)
    def model_ends(self, failing: frozenset[str], run_id: UUID) -> None:
        answer = LLMResult(generations=[[ChatGeneration(message=AIMessage("one two"))]])
        self.finish(failing, run_id, self.handler.on_llm_end, answer, outcome="completed")

    @rule(
        failing=faults,
        run_id=runs,
        make=errors,
        hook=st.sampled_from(("on_chain_error", "on_tool_error", "on_retriever_error", "on_llm_error")),
    )
    def run_fails(self, failing: frozenset[str], run_id: UUID, make: Callable[[], BaseException], hook: str) -> None:
        error = make()
        told = {GeneratorExit: "abandoned", Interrupt: "completed", ValueError: "failed"}
        outcome = told.get(type(error), "cancelled")
        run = self.find(run_id)
        self.finish(failing, run_id, getattr(self.handler, hook), error, outcome=outcome)
        if run is not None:
            run.raised = outcome == "failed"

    @rule(seconds=st.sampled_from((0.5, 40.0)))
    def time_passes(self, seconds: float) -> None:
        CLOCK.advance(seconds)

    @invariant()
    def nothing_is_current(self) -> None:
        assert current_span_id() == self.active

    @invariant()
    def no_run_outlives_its_parent(self) -> None:
        live = [run for run in self.seen if self.live(run)]
        assert len(live) == self.handler.live_runs
        assert all(run.parent is None or self.live(run.parent) for run in live)

    def end_all_tops(self) -> None:
        """End every run that stands at a top."""
        for run in self.seen:
            if run.parent is None and self.live(run):
                self.finish(frozenset(), run.id, self.handler.on_chain_end, {}, outcome="completed")
        assert self.handler.live_runs == 0

    def teardown(self) -> None:
        with self.stack:
            self.end_all_tops()


class FaultyEvents(Events):
    """The handler over a span model of which every part may fail."""

    faulty = True

    @initialize(
        above=st.booleans(), sampled=st.booleans(), bounded=st.booleans(), dialect=st.sampled_from(("gen_ai", "ai"))
    )
    def begin_with(self, above: bool, sampled: bool, bounded: bool, dialect: str) -> None:
        self.spans = FakeSpans(self.check)
        backend: SpanBackend = self.spans
        self.spans.active = FakeSpan("http.server", None) if above else None
        self.spans.sampled = sampled
        self.owners: dict[FakeSpan, Seen] = {}
        door = "sentry_langchain_stream.backends"
        self.stack.enter_context(patch(f"{door}.choose", lambda: backend))
        self.stack.enter_context(patch(f"{door}.allowed_content", self.allowed_content))
        self.stack.enter_context(patch(f"{door}.capture_error", self.capture_error))
        self.stack.enter_context(patch("sentry_langchain_stream.attributes.describe", self.describe))
        limits = {"max_live_runs": 4, "max_idle_seconds": 30.0} if bounded else {}
        self.make_handler(dialect=dialect, **limits)

    def allowed_content(self) -> tuple[bool, bool]:
        self.check("allowed_content")
        return True, True

    def describe(self, run: Run, dialect: Dialect) -> dict[str, AttributeValue]:
        self.check("describe")
        return describe(run, dialect)

    def capture_error(self, *args: Any) -> None:
        self.check("capture_error")

    def started(self, run: Seen) -> None:
        fresh = [span for span in self.spans.spans if span not in self.owners]
        self.owners.update(dict.fromkeys(fresh, run))
        asked = [span for span in fresh if span.op in MODEL_OPS or span.op.startswith("ai.chat_completions.")]
        assert len(asked) <= run.model, "a run has one model span, if it is a model's"
        assert len(fresh) <= 1 + run.model, "and a pipeline's, if it is at the top"

    def refused(self) -> None:
        assert all(span in self.owners for span in self.spans.spans), "a start that was refused has left a span"

    @invariant()
    def spans_are_finished_once_and_always(self) -> None:
        assert not self.spans.stray
        for span, run in self.owners.items():
            assert span.attempts <= 1
            assert span.attempts == 1 or self.tree_is_live(run), "a span was left open"

    def tree_is_live(self, run: Seen) -> bool:
        """Whether anything of the tree lives, which for models that started together is any of them."""
        top = run.top()
        return any(self.live(each) for each in self.seen if each.top() is top or each.together is top.together)

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "spans"):
            assert all(span.attempts == 1 for span in self.spans.spans)


class RealEvents(Events):
    """The handler over Sentry's own span models."""

    shape: str

    @initialize(above=st.booleans())
    def begin_with(self, above: bool) -> None:
        self.make_handler()
        options = {**WIRE_SHAPES[self.shape], **content_allowed(True), "default_integrations": False}
        self.captured = self.stack.enter_context(capture_spans(**options))
        self.request = self.stack.enter_context(ExitStack())
        if above:
            self.active = self.request.enter_context(active_span(self.shape))

    def teardown(self) -> None:
        with self.stack:
            self.end_all_tops()
            self.request.close()
            self.compare()

    def compare(self) -> None:
        """What was sent is what was seen."""
        spans = self.captured.spans
        assert len({span.span_id for span in spans}) == len(spans)
        asked = {span.attributes["gen_ai.request.model"]: span for span in spans if span.op in MODEL_OPS}
        models = [run for run in self.seen if run.model]
        assert len(asked) == sum(span.op in MODEL_OPS for span in spans) == len(models)
        for run in models:
            span = asked[f"model-{run.number}"]
            assert span.attributes.get("langchain_stream.chunks", 0) == run.chunks
            outcome = span.attributes["langchain_stream.outcome"]
            assert outcome == run.outcome if run.outcome else outcome in ("cancelled", "abandoned")
        pipelines = [span for span in spans if span.op == "function"]
        tops = {run.together if run.model else run for run in self.seen if run.parent is None}
        assert len(pipelines) == len([top for top in tops if isinstance(top, Seen) or self.active is None])
        known = {span.span_id for span in spans}
        assert all(span.parent_id in known or span.is_root for span in spans)
        failed = [run for run in self.seen if run.raised and run.parent is None and not run.named_parent]
        alone = [run for run in failed if [each.together for each in self.seen].count(run.together) == 1]
        assert len(alone) <= len(self.captured.events) <= len(failed)


@pytest.mark.usefixtures("lenient")
def test_whatever_fails_spans_are_finished_once_and_always() -> None:
    """In any order of events, with any part failing at any time, no hook raises and no run or span is left behind."""
    run_state_machine_as_test(FaultyEvents, settings=settings(SETTINGS, max_examples=300))


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_whatever_the_order_what_is_sent_is_what_was_seen(shape: str) -> None:
    """In any order of events, Sentry gets one span per model run, with its own outcome, below its own pipeline."""
    machine = type("RealEvents", (RealEvents,), {"shape": shape})
    run_state_machine_as_test(machine, settings=settings(SETTINGS, max_examples=100))


@pytest.mark.parametrize("live", [False, True], ids=["ended", "live"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_refused_start_leaves_no_trace_in_later_calls(shape: str, live: bool) -> None:
    """Of two prompts one came under an id in use; a later call whose parameters have that address stands alone."""
    handler: Any = SentryStreamHandler()
    answer = LLMResult(generations=[])

    def start(ids: tuple[UUID, ...], parameters: dict[str, float]) -> None:
        for run_id in ids:
            handler.on_chat_model_start({}, [question()], run_id=run_id, invocation_params=parameters, batch_size=2)

    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        handler.on_chat_model_start({}, [question()], run_id=IDS[0])
        first = {"temperature": 0.5}
        address = id(first)
        start((IDS[0], IDS[1]), first)
        if not live:
            handler.on_llm_end(answer, run_id=IDS[1])
        del first
        others = [{"temperature": 0.5} for _ in range(100)]
        start((IDS[2], IDS[3]), next((each for each in others if id(each) == address), others[0]))
        for run_id in IDS[:4]:
            handler.on_llm_end(answer, run_id=run_id)
    pipelines = captured.find_all(op="function")
    assert [len(captured.children(pipeline)) for pipeline in pipelines] == [1, 1, 2]
    for pipeline in pipelines:
        assert all(child.end <= pipeline.end + SLACK for child in captured.children(pipeline))
