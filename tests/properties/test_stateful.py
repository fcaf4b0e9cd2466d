"""Whatever order LangChain's events come in, and whatever fails meanwhile: runs end once, and always."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Literal
from unittest.mock import patch
from uuid import UUID

import pytest
import sentry_sdk
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult
from sentry_sdk.scope import Scope

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._runs.attributes import describe
from sentry_langchain_stream._runs.numbers import number
from sentry_langchain_stream._runs.run import Run
from sentry_langchain_stream._to_sentry.span_models import SpanBackend, Status
from sentry_langchain_stream._vocabulary.keys import AttributeValue, Dialect
from sentry_langchain_stream.testing import CapturedSpan, capture_spans
from tests.kit.helpers import Clock
from tests.kit.wire import DEFAULT_SHAPE, SLACK, WIRE_SHAPES, active_span, content_allowed, current_span_id

NUMBER = "langchain_stream.metadata.number"
"""Tells which start a span is of."""
IDS = [UUID(int=number) for number in range(1, 9)]
"""Few, so that they are used again, also while they are live."""

FAULTS = (
    "current",
    "recording",
    "start",
    "rename",
    "describe",
    "finish",
    "capture_error",
    "allowed_content",
    "redact",
    "token_counter",
)
"""What can be told to fail while one event is handled."""

Pick = tuple[bool, UUID]
"""An id, and whether to take one that suits instead, if there is one: else most events would meet nobody."""

picks = st.tuples(st.sampled_from((True, True, True, False)), st.sampled_from(IDS))
parents = st.none() | picks | picks | st.just((False, UUID(int=99)))
faults = st.just(frozenset[str]()) | st.frozensets(st.sampled_from(FAULTS))


SETTINGS = settings(
    database=None,
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


class GraphBubbleUp(Exception):
    """Stands for LangGraph's exception of this name, which is known by it."""


class GraphInterrupt(GraphBubbleUp):
    """Stands for the one that says that a graph waits for a human."""


class ParentCommand(GraphBubbleUp):
    """Stands for the one that says that another agent goes on."""


ERRORS: tuple[Callable[[], BaseException], ...] = (
    lambda: ValueError("the model failed"),
    asyncio.CancelledError,
    GeneratorExit,
    GraphBubbleUp,
    GraphInterrupt,
    ParentCommand,
    KeyboardInterrupt,
)
errors = st.sampled_from(ERRORS)


Kind = Literal["chat", "text_completion", "pipeline", "agent", "tool", "retriever", "chain"]
"""What a span stands for."""

HOOKS: dict[str, Kind] = {
    "on_chat_model_start": "chat",
    "on_llm_start": "text_completion",
    "on_tool_start": "tool",
    "on_retriever_start": "retriever",
    "on_chain_start": "chain",
}
"""What a hook starts; of a chain more has to be known."""

GRAPH = {"ls_integration": "langgraph"}
MARKS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "none": ((), {}),
    "graph": ((), GRAPH),
    "node": (("graph:step:1",), {**GRAPH, "langgraph_node": "ask"}),
    "in a node": ((), {**GRAPH, "langgraph_node": "ask"}),
}
"""The tags and the metadata by which LangGraph's runs are known, and those that runs inside of them inherit."""

OPS: dict[Dialect, dict[Kind, str]] = {
    "gen_ai": {
        "chat": "gen_ai.chat",
        "text_completion": "gen_ai.text_completion",
        "pipeline": "function",
        "agent": "gen_ai.invoke_agent",
        "tool": "gen_ai.execute_tool",
        "retriever": "function",
        "chain": "function",
    },
    "ai": {
        "chat": "ai.chat_completions.create.langchain",
        "text_completion": "ai.chat_completions.create.langchain",
        "pipeline": "ai.pipeline.langchain",
        "agent": "ai.agent.langchain",
        "tool": "ai.tool.langchain",
        "retriever": "function",
        "chain": "function",
    },
}


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
    trace_id = span_id = "0"


class FakeSpans:
    """A span model that keeps its spans, and of which every part can fail."""

    queues = False

    def __init__(self, check: Callable[[str], None]) -> None:
        self.check = check
        self.active: FakeSpan | None = None
        self.sampled = True
        self.spans: list[FakeSpan] = []
        self.stray: list[FakeSpan] = []
        """Spans that were started below a span that had been finished."""

    def current(self, scope: object) -> FakeSpan | None:
        self.check("current")
        return self.active

    def start(self, parent: FakeSpan | None, *, op: str, name: str, **facts: Any) -> FakeSpan:
        self.check("start")
        span = FakeSpan(op, parent)
        self.spans.append(span)
        if parent is not None and parent.attempts:
            self.stray.append(span)
        return span

    def recording(self, span: FakeSpan) -> bool:
        self.check("recording")
        return self.sampled

    def forget(self, span: FakeSpan, keys: Any) -> None:
        """Attributes are not looked at."""

    def rename(self, span: FakeSpan, *, op: str, name: str) -> None:
        self.check("rename")
        span.op = op

    def describe(self, span: FakeSpan, attributes: Mapping[str, Any], status: Status) -> None:
        raise AssertionError("no span is shared here")

    def is_late(self, span: FakeSpan) -> bool:
        return False

    def finish(self, span: FakeSpan, attributes: Mapping[str, Any], status: Status, *, is_late: bool = False) -> None:
        span.attempts += 1
        self.check("finish")
        span.attributes, span.status = dict(attributes), status

    def outside(self) -> None:
        return None

    def link(self, scope: Scope, span: FakeSpan) -> None:
        raise NotImplementedError


@dataclass(eq=False)
class Shown:
    """A span that has to be sent.

    Args:
        op: Its op.
        name: Its name.
        above: The span that it hangs on, if there is one.
        apart: Whether it is a root of its own all the same, as the transaction of what it hangs on had been sent.
        of: The runs whose it is. The span of the request is nobody's.
        bare: Whether it is the pipeline above bare calls.
    """

    op: str
    name: str
    above: Shown | None
    apart: bool = False
    of: list[Seen] = field(default_factory=list)
    bare: bool = False

    def root(self) -> Shown:
        return self if self.above is None or self.apart else self.above.root()


@dataclass(eq=False)
class Seen:
    """A run as the test knows it.

    Args:
        id: Its id.
        parent: The run that was live under the parent's id when this one started.
        number: Which start made it.
        kind: What its span stands for, if it has one. A chain may turn out to be an agent.
        name: Its name.
        node: Whether it is a node of a graph.
        alone: Whether it started by itself, rather than in a call of a model with several prompts.
        together: Stands for that call.
        named_parent: Whether its start named a parent, live or not.
        chunks: How many chunks with content arrived.
        outcome: How it was told to end, if it was.
        raised: Whether it was told to end with an exception, rather than to have failed by an event.
        control: How it was told to have handed control upwards, if it was.
        agent: The agent that it is, or that it started in.
        span: Its span.
        anchor: The span that what is below hangs on.
        inside: The span that is active inside of it.
    """

    id: UUID
    parent: Seen | None
    number: int
    kind: Kind
    name: str | None
    node: bool
    alone: bool
    together: object
    named_parent: bool
    chunks: int = 0
    outcome: str | None = None
    raised: bool = False
    control: str | None = None
    agent: str | None = None
    span: Shown | None = None
    anchor: Shown | None = None
    inside: Shown | None = None

    @property
    def model(self) -> bool:
        """Whether it is a model's."""
        return self.kind in ("chat", "text_completion")

    @property
    def chain(self) -> bool:
        """Whether it is what LangChain calls a chain."""
        return self.kind in ("pipeline", "agent", "chain")

    @property
    def bare(self) -> bool:
        """Whether it stands at the top, and is no chain."""
        return self.parent is None and not self.chain

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
        return last is run and self.handler._runs.get(number(run.id)) is not None

    def a_live(self, pick: Pick, wanted: Callable[[Seen], bool] = bool) -> UUID:
        """The id of a live run, or of such a one if there is one, most of the time."""
        live = [run for run in self.seen if self.live(run)]
        return self.one_of([run.id for run in [*filter(wanted, live)] or live], pick)

    def a_free(self, pick: Pick) -> UUID:
        """The id of no live run, most of the time."""
        return self.one_of([each for each in IDS if self.find(each) is None], pick)

    @staticmethod
    def one_of(found: list[UUID], pick: Pick) -> UUID:
        suits, run_id = pick
        return found[IDS.index(run_id) % len(found)] if suits and found else run_id

    def a_parent(self, pick: Pick | None) -> UUID | None:
        return self.a_live(pick) if pick is not None else None

    def find(self, run_id: UUID | None) -> Seen | None:
        """The live run of this id."""
        return next((run for run in reversed(self.seen) if run.id == run_id and self.live(run)), None)

    def started(self, run: Seen, revealed: Seen | None) -> None:
        """A start was accepted, and has revealed that a run above is a graph, if there is one."""

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
        name: str | None = None,
        mark: str = "none",
        **start: Any,
    ) -> None:
        """Call a start hook."""
        again, above = self.find(run_id), self.find(parent)
        self.starts += 1
        tags, marked = MARKS[mark]
        told = {"ls_model_name": f"model-{self.starts}", "pipeline_name": f"pipeline-{self.starts}"}
        self.kept.append(payload)
        self.during(
            failing,
            getattr(self.handler, hook),
            {},
            payload,
            run_id=run_id,
            parent_run_id=parent,
            metadata={**marked, **told, "number": self.starts},
            tags=[*tags],
            name=name,
            **start,
        )
        if again is None and self.handler._runs.get(number(run_id)) is not None:
            if above is not None and not self.live(above):
                above = None  # it was the oldest of too many
            kind, node = HOOKS[hook], mark == "node"
            if kind == "chain" and (mark == "graph" or (name == "LangGraph" and not node)):
                kind = "agent"
            elif kind == "chain" and above is None:
                kind = "pipeline"
            shared, named = together or object(), parent is not None
            run = Seen(run_id, above, self.starts, kind, name, node, together is None, shared, named)
            self.seen.append(run)
            revealed = above if node and above is not None and above.kind in ("chain", "pipeline") else None
            if revealed is not None:
                revealed.kind = "agent"
            self.started(run, revealed)
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
        pick=picks,
        parent=parents,
        hook=st.sampled_from(("on_chain_start", "on_tool_start", "on_retriever_start")),
        name=st.sampled_from((None, "ask", "RunnableWithFallbacks", "LangGraph")),
        mark=st.sampled_from(tuple(MARKS)),
    )
    def run_starts(
        self, failing: frozenset[str], pick: Pick, parent: Pick | None, hook: str, name: str | None, mark: str
    ) -> None:
        self.begin(failing, self.a_free(pick), self.a_parent(parent), hook, "Hi", name=name, mark=mark)

    @rule(failing=faults, pick=picks, parent=picks, mark=st.sampled_from(("node", "node", "graph", "none")))
    def part_of_a_chain_starts(self, failing: frozenset[str], pick: Pick, parent: Pick, mark: str) -> None:
        """Below a chain, most of the time: so that there are graphs within chains within graphs."""
        above = self.a_live(parent, lambda run: run.kind in ("pipeline", "chain"))
        self.begin(failing, self.a_free(pick), above, "on_chain_start", "Hi", name="part", mark=mark)

    @rule(failing=faults, pick=picks, parent=parents, chat=st.booleans())
    def model_starts(self, failing: frozenset[str], pick: Pick, parent: Pick | None, chat: bool) -> None:
        run_id, above = self.a_free(pick), self.a_parent(parent)
        if chat:
            self.begin(failing, run_id, above, "on_chat_model_start", [question()])
        else:
            self.begin(failing, run_id, above, "on_llm_start", [f"Hi {self.starts}"])

    @rule(failing=faults, ids=st.lists(st.sampled_from(IDS), min_size=2, max_size=3, unique=True), parent=parents)
    def models_start_together(self, failing: frozenset[str], ids: list[UUID], parent: Pick | None) -> None:
        """One call of a model with several prompts: a run each, which share their parameters."""
        call: dict[str, Any] = {"together": object(), "invocation_params": {"temperature": 0.5}, "batch_size": len(ids)}
        self.kept.append(call)  # whether a freed address is used again would be a matter of luck
        above = self.a_parent(parent)
        for run_id in ids:
            self.begin(failing, run_id, above, "on_chat_model_start", [question()], **call)

    @rule(failing=faults, pick=picks, text=st.sampled_from(("", "one ", "two ")))
    def token_arrives(self, failing: frozenset[str], pick: Pick, text: str) -> None:
        run_id = self.a_live(pick, lambda run: run.model)
        run = self.find(run_id)
        chunk = ChatGenerationChunk(message=AIMessageChunk(content=text))
        self.during(failing, self.handler.on_llm_new_token, text, chunk=chunk, run_id=run_id)
        if run is not None and run.model:
            run.chunks += bool(text)

    @rule(failing=faults, pick=picks)
    def model_says_that_it_failed(self, failing: frozenset[str], pick: Pick) -> None:
        """The v3 event after which LangChain says nothing more."""
        run_id = self.a_live(pick, lambda run: run.model)
        run = self.find(run_id)
        self.during(failing, self.handler.on_stream_event, {"event": "error", "message": "no"}, run_id=run_id)
        if run is not None and run.model and not self.live(run):
            # With the first event the chunks that come as tokens stop to count, for events bring them too.
            run.outcome, run.chunks = "failed", 0

    @rule(failing=faults, pick=picks, hook=st.sampled_from(("on_chain_end", "on_tool_end", "on_retriever_end")))
    def run_ends(self, failing: frozenset[str], pick: Pick, hook: str) -> None:
        self.finish(failing, self.a_live(pick), getattr(self.handler, hook), "done", outcome="completed")

    @rule(failing=faults, pick=picks)
    def tool_tells_of_its_failure(self, failing: frozenset[str], pick: Pick) -> None:
        """A tool makes a message of its failure, which LangChain takes for an answer."""
        told = ToolMessage("no such city", tool_call_id="1", status="error")
        self.finish(failing, self.a_live(pick), self.handler.on_tool_end, told, outcome="failed")

    @rule(failing=faults, pick=picks)
    def model_ends(self, failing: frozenset[str], pick: Pick) -> None:
        answer = LLMResult(generations=[[ChatGeneration(message=AIMessage("one two"))]])
        self.finish(failing, self.a_live(pick), self.handler.on_llm_end, answer, outcome="completed")

    @rule(
        failing=faults,
        pick=picks,
        make=errors,
        hook=st.sampled_from(("on_chain_error", "on_tool_error", "on_retriever_error", "on_llm_error")),
    )
    def run_fails(self, failing: frozenset[str], pick: Pick, make: Callable[[], BaseException], hook: str) -> None:
        self.fail(failing, self.a_live(pick), make(), hook)

    @rule(failing=faults, pick=picks, make=st.sampled_from((GraphInterrupt, ParentCommand)))
    def run_hands_over(self, failing: frozenset[str], pick: Pick, make: Callable[[], BaseException]) -> None:
        """A part of a graph does, some way below its agent."""
        within = self.a_live(pick, lambda run: run.parent is not None and run.parent.kind == "agent")
        self.fail(failing, within, make(), "on_tool_error")

    def fail(self, failing: frozenset[str], run_id: UUID, error: BaseException, hook: str) -> None:
        """Call a hook that ends a run with an exception."""
        told: dict[type[BaseException], str] = {GeneratorExit: "abandoned", ValueError: "failed"}
        outcome = "completed" if isinstance(error, GraphBubbleUp) else told.get(type(error), "cancelled")
        controls: dict[type[BaseException], str] = {GraphInterrupt: "interrupt", ParentCommand: "handoff"}
        run = self.find(run_id)
        self.finish(failing, run_id, getattr(self.handler, hook), error, outcome=outcome)
        if run is not None:
            run.raised = outcome == "failed"
        if run is None or hook == "on_llm_error":
            return
        run.control = controls.get(type(error))
        agent: Seen | None = run if run.node else None  # a node may catch what is raised below it
        while agent is not None and agent.kind != "agent":
            agent = agent.parent
        if agent is not None and run.control == "interrupt":
            agent.control = "interrupt"

    @rule(seconds=st.sampled_from((0.5, 40.0)))
    def time_passes(self, seconds: float) -> None:
        CLOCK.advance(seconds)

    def nothing_is_current(self) -> None:
        """What is current where no run is live is what was before."""
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
        self.nothing_is_current()

    def teardown(self) -> None:
        with self.stack:
            self.end_all_tops()


class FaultyEvents(Events):
    """The handler over a span model of which every part may fail."""

    faulty = True

    @initialize(
        above=st.booleans(),
        sampled=st.booleans(),
        bounded=st.booleans(),
        dialect=st.sampled_from(("gen_ai", "ai")),
        options=st.fixed_dictionaries({"chains": st.booleans(), "nesting": st.booleans()}),
    )
    def begin_with(self, above: bool, sampled: bool, bounded: bool, dialect: Dialect, options: dict[str, bool]) -> None:
        self.spans = FakeSpans(self.check)
        backend: SpanBackend[Any] = self.spans
        self.spans.active = FakeSpan("http.server", None) if above else None
        self.spans.sampled = sampled
        self.owners: dict[FakeSpan, Seen] = {}
        package = "sentry_langchain_stream._runs"
        self.stack.enter_context(patch(f"{package}.roots.choose_backend", lambda client: backend))
        self.stack.enter_context(patch(f"{package}.roots.allowed_content", self.allowed_content))
        self.stack.enter_context(patch(f"{package}.run_spans.held_issues.hold", self.capture_error))
        self.stack.enter_context(patch(f"{package}.attributes.describe", self.describe))
        self.stack.enter_context(sentry_sdk.isolation_scope())
        limits = {"max_live_runs": 4, "max_idle_seconds": 30.0} if bounded else {}
        self.dialect, self.chains = dialect, options["chains"]
        self.make_handler(dialect=dialect, **options, **limits)

    def allowed_content(self, client: object) -> tuple[bool, bool]:
        self.check("allowed_content")
        return True, True

    def describe(self, run: Run, dialect: Dialect) -> dict[str, AttributeValue]:
        self.check("describe")
        return describe(run, dialect)

    def capture_error(self, *args: Any) -> None:
        self.check("capture_error")

    def op(self, run: Seen) -> str:
        at_top = run.kind == "agent" and run.parent is None and self.dialect == "ai"
        return OPS[self.dialect]["pipeline" if at_top else run.kind]

    def started(self, run: Seen, revealed: Seen | None) -> None:
        fresh = [span for span in self.spans.spans if span not in self.owners]
        self.owners.update(dict.fromkeys(fresh, run))
        allowed = [self.op(each) for each in (run, revealed) if each and (each.kind != "chain" or self.chains)]
        if run.bare:
            allowed.append(OPS[self.dialect]["pipeline"])
        for span in fresh:
            assert span.op in allowed, "a run has one span, of its kind, and one above it if it is bare"
            allowed.remove(span.op)

    def nothing_is_current(self) -> None:
        assert sentry_sdk.get_current_scope()._span is None

    @invariant()
    def what_is_current_is_open(self) -> None:
        current: Any = sentry_sdk.get_current_scope()._span
        assert current is None or not current.attempts

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

    @initialize(
        above=st.booleans(),
        dialect=st.sampled_from(("gen_ai", "ai")),
        options=st.fixed_dictionaries({"chains": st.booleans(), "nesting": st.booleans()}),
    )
    def begin_with(self, above: bool, dialect: Dialect, options: dict[str, bool]) -> None:
        self.dialect, self.chains, self.nesting = dialect, options["chains"], options["nesting"]
        self.make_handler(dialect=dialect, metadata_keys=["number"], **options)
        wire = {**WIRE_SHAPES[self.shape], **content_allowed(True), "default_integrations": False}
        self.captured = self.stack.enter_context(capture_spans(**wire))
        self.request = self.stack.enter_context(ExitStack())
        self.above: Shown | None = None
        if above:
            self.active = self.request.enter_context(active_span(self.shape))
            self.above = Shown("" if self.shape == "stream" else "test", "handle", None)
        self.places: dict[object, Shown] = {}
        """What bare runs hang on, by what they have in common."""
        self.current: list[tuple[str | None, Shown | None]] = []
        """What was current after each step, and what had to be."""

    def started(self, run: Seen, revealed: Seen | None) -> None:
        if revealed is not None:
            revealed.agent = revealed.name or "LangGraph"
            self.show(revealed)
        run.anchor = run.parent.anchor if run.parent else self.place(run)
        run.agent = run.parent.agent if run.parent else None
        if run.kind == "agent":
            run.agent = run.name or "LangGraph"
        self.show(run)

    def place(self, run: Seen) -> Shown | None:
        """What a run at the top hangs on: what is active; a bare one, if nothing is, on a pipeline of its own."""
        active = self.expected_current()
        if not run.bare:
            return active
        if run.together not in self.places:
            above = active
            if above is None or self.is_sent(above):
                above = Shown(
                    OPS[self.dialect]["pipeline"], f"pipeline-{run.number}", active, self.is_sent(active), bare=True
                )
            self.places[run.together] = above
        place = self.places[run.together]
        if place.bare:
            place.of.append(run)
        return place

    def show(self, run: Seen) -> None:
        """Give a run the span that it has to have by now."""
        if run.kind != "chain" or self.chains:
            op, name = self.called(run)
            if run.span is None:
                apart = run.parent is None and not run.bare and self.is_sent(run.anchor)
                run.anchor = run.span = Shown(op, name, run.anchor, apart, [run])
            run.span.op, run.span.name = op, name

    def called(self, run: Seen) -> tuple[str, str]:
        """The op and the name of a run's span."""
        kind, pipeline = run.kind, self.pipeline_of(run)
        if kind == "agent" and run.parent is None and self.dialect == "ai":
            kind = "pipeline"
        names: dict[Kind, str] = {
            "pipeline": pipeline,
            "agent": f"invoke_agent {run.agent}",
            "tool": f"execute_tool {run.name or 'tool'}",
            "retriever": f"retrieve {run.name or 'retriever'}",
            "chain": run.name or "",
        }
        model = pipeline if self.dialect == "ai" else f"{kind} model-{run.number}"
        return OPS[self.dialect][kind], names.get(kind, model)

    def pipeline_of(self, run: Seen) -> str:
        """The name of a run's pipeline: that of the first run at its top."""
        top = run.top()
        first = next(each for each in self.seen if each.parent is None and each.together is top.together)
        return f"pipeline-{first.number}"

    def is_sent(self, span: Shown | None) -> bool:
        """Whether the transaction that a span belongs to was sent."""
        root = span.root() if span is not None else None
        return root is not None and self.shape != "stream" and bool(root.of) and not any(map(self.live, root.of))

    def expected_current(self) -> Shown | None:
        """What was active before: LangChain's context names no run here, so this code is inside none."""
        return self.above

    @invariant()
    def what_is_current_is_noted(self) -> None:
        """Which span an id is of shows in what is sent."""
        self.current.append((current_span_id(), self.expected_current()))

    def teardown(self) -> None:
        with self.stack:
            self.end_all_tops()
            self.request.close()
            self.compare()

    def compare(self) -> None:
        """What was sent is what was seen."""
        spans = {span.span_id: span for span in self.captured.spans}
        assert len(spans) == len(self.captured.spans)
        assert all(span.parent_id in spans or span.is_root for span in spans.values())
        by_number = {span.attributes[NUMBER]: span for span in spans.values() if NUMBER in span.attributes}
        sent = {run.span: by_number[str(run.number)] for run in self.seen if run.span is not None}
        assert len(sent) == len(by_number)
        if self.above is not None and self.active is not None:
            sent[self.above] = spans[self.active]
        for place in self.places.values():
            if place.bare:
                sent[place] = spans[str(sent[place.of[0].span].parent_id)]  # type: ignore[index]
        assert {span.span_id for span in sent.values()} == spans.keys()
        assert len(sent) == len(spans), "one span stands for two"

        for shown, span in sent.items():
            assert span.op == shown.op
            assert span.name == shown.name or not shown.name, "only a chain that LangChain gave no name may be nameless"
            assert span.parent_id == (sent[shown.above].span_id if shown.above is not None else None)
        for run in self.seen:
            if run.span is not None:
                self.compare_run(run, sent[run.span])
        for place in self.places.values():
            if place.bare and len(place.of) == 1 and place.of[0].span is not None:
                own = sent[place.of[0].span]
                for key in ("langchain_stream.outcome", "gen_ai.pipeline.name"):
                    assert sent[place].attributes[key] == own.attributes[key]
        for found, expected in self.current:
            assert found == (sent[expected].span_id if expected is not None else None)

        failed = [run for run in self.seen if run.raised and run.parent is None and not run.named_parent]
        alone = [run for run in failed if [each.together for each in self.seen].count(run.together) == 1]
        assert len(alone) <= len(self.captured.events) <= len(failed)

    def compare_run(self, run: Seen, span: CapturedSpan) -> None:
        """A run's own span tells of it."""
        told = span.attributes
        outcome = told["langchain_stream.outcome"]
        assert outcome == run.outcome if run.outcome else outcome in ("cancelled", "abandoned")
        assert told.get("langchain_stream.control") == run.control
        assert told["gen_ai.pipeline.name"] == self.pipeline_of(run)
        assert told.get("gen_ai.agent.name") == run.agent
        assert told.get("gen_ai.request.model") == (f"model-{run.number}" if run.model else None)
        assert told.get("langchain_stream.chunks", 0) == run.chunks


@pytest.mark.usefixtures("lenient")
def test_whatever_fails_spans_are_finished_once_and_always() -> None:
    """In any order of events, with any part failing at any time, no hook raises and no run or span is left behind."""
    run_state_machine_as_test(FaultyEvents, settings=SETTINGS)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_whatever_the_order_what_is_sent_is_what_was_seen(shape: str) -> None:
    """In any order of events each run has its span, with its own outcome, where it belongs, and active while inside."""
    machine = type("RealEvents", (RealEvents,), {"shape": shape})
    some = SETTINGS.max_examples if shape == DEFAULT_SHAPE else SETTINGS.max_examples // 2
    run_state_machine_as_test(machine, settings=settings(SETTINGS, max_examples=some))


@pytest.mark.parametrize("live", [False, True], ids=["ended", "live"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_refused_start_leaves_no_trace_in_later_calls(shape: str, live: bool) -> None:
    """Of two prompts one came under an id in use; a later call whose parameters have that address stands alone."""
    handler: Any = SentryStreamHandler(nesting=False)  # or the later calls would be inside of the first
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
