"""The span of a run: opened, made active for what runs inside, and closed with all that is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

from .._content.messages import output_messages
from .._content.policy import Policy
from .._runtime.containment import contain, contained
from .._to_sentry.active_span import Activation
from .._to_sentry.issues import capture_error, first_failed
from .metrics import record_call
from .._to_sentry.span_models import Status
from .._vocabulary import names
from .._vocabulary.keys import AttributeValue
from .._vocabulary.names import SpanKind
from .._vocabulary.providers import Platform
from . import attributes, silent_ends
from .call import Call, Request
from .pricing import Prices
from .run import Agent, Outcome, Retrieval, Run, ToolCall
from .settings import Settings

_STATUS: Mapping[Outcome, Status] = {
    "completed": "ok",
    "cancelled": "cancelled",
    "abandoned": "cancelled",
    "failed": "internal_error",
}


class RunSpans:
    """Opens and closes the spans of runs, under the settings of one handler.

    Args:
        settings: The user's settings.
        now: The monotonic clock, in seconds.
    """

    def __init__(self, settings: Settings, now: Callable[[], float]) -> None:
        self._settings = settings
        self._now = now
        self._prices = Prices() if settings.cost else None

    def open(self, run: Run) -> None:
        """Open the span that stands for a run. Prompts, parsers and other chains have none, unless asked for."""
        if run.call is not None:
            request = run.call.request
            self._open(run, request.operation, request.model, request.platform)
        elif isinstance(run.detail, Agent):
            # To the old monitoring, which knows pipelines and no agents, an agent at the top is the pipeline.
            at_top = run.parent is None and self._settings.dialect == "ai"
            self._open(run, "pipeline" if at_top else "agent", run.detail.name)
        elif isinstance(run.detail, (ToolCall, Retrieval)):
            self._open(run, "tool" if run.kind == "tool" else "retriever", run.detail.name)
        elif run.kind == "pipeline":
            self._open(run, "pipeline", None)
        elif run.kind == "chain" and self._settings.chains:
            self._open(run, "chain", run.name or "chain")
        # A chain may be streamed: then what starts it goes on in between, in the same context. So what runs inside
        # of a chain gets the span above the chain, which is right for both; only a node has a context of its own.
        above = run.parent if run.kind == "chain" and not run.node else None
        run.inside = run.anchor if above is None else above.inside

    def _open(self, run: Run, kind: SpanKind, what: str | None, platform: Platform = "langchain") -> None:
        if not run.recording:
            return
        dialect = self._settings.dialect
        op = names.op(kind, dialect, platform)
        name = names.span_name(kind, dialect, run.pipeline, what)
        try:
            if run.span is not None:
                run.backend.rename(run.span, op=op, name=name)
                return
            run.span = run.backend.start(run.anchor, op=op, name=name)
            if run.backend.recording(run.span):
                run.anchor = run.span
            elif run.anchor is None:
                # The root is not sampled. It is finished all the same, so that the SDK can count it.
                run.recording = False
            # A child that the user's `ignore_spans` left out: what is below it hangs on its parent.
        except Exception as error:
            contain("backend.start", error)

    def activate(self, run: Run, enclosing: UUID | None) -> None:
        """Make a span the active one for what runs inside of a run. Call it where LangChain starts the run.

        Not for what stands at the top, nor for a graph: either may be streamed, and its consumer is not inside. Nor
        for what a consumer starts who may share the context: that of a chain that is not run in a context of its own
        (on Python 3.10 no step of an async chain is), or of a model that does not tell of all its chunks.

        Args:
            run: The run, which has just started.
            enclosing: The run that LangChain's context names as the one we are in.
        """
        if not self._settings.nesting or not run.recording or run.kind in ("agent", "pipeline"):
            return
        above = run.parent
        if above is None and run.kind == "chain":  # what it belonged to has ended meanwhile
            return
        spreads = run.call is None or run.call.request.operation == "chat"
        if run.kind == "chain" and not run.node and above is not None and enclosing != above.id:
            top = run.top()
            spreads = top.task is None or not silent_ends.is_current(top)
        if run.inside is not None:
            with run.tree.lock, contained("nesting"):
                run.activation = Activation(run.inside, spreads=spreads)

    def close(self, run: Run, outcome: Outcome, error: BaseException | None, evicted: str | None) -> None:
        """Close a run's span with all that is known of it, and report its failure if nobody above can recover.

        Args:
            run: The run, which has ended.
            outcome: How.
            error: What it failed with.
            evicted: Why we ended it, if it was not LangChain.
        """
        if run.unwatch is not None:
            run.unwatch()
            run.unwatch = None
        run.deactivate()
        run.outcome, run.evicted = outcome, evicted
        failure = error if outcome == "failed" else None
        if failure is not None:
            run.error_type = type(failure).__name__
            first = first_failed(failure, run.id)
            if first == run.id:
                run.remember({first: run.span or run.anchor})
        if run.call is not None:
            self._complete(run, run.call)
        if run.span is not None:
            told: dict[str, AttributeValue] = {}
            try:
                told = attributes.describe(run, self._settings.dialect)
            except Exception as fault:
                contain("attributes", fault)
            try:
                run.backend.finish(run.span, told, _STATUS[outcome])
            except Exception as fault:
                contain("backend.finish", fault)
        if run.call is not None and self._settings.metrics:
            with contained("metrics"):
                record_call(run, run.call)
        if failure is not None and run.reports and self._settings.capture_errors:
            with contained("capture_errors"):
                capture_error(failure, run.backend, run.failed.get(first, run.span), run.policy)

    def _complete(self, run: Run, call: Call) -> None:
        call.ended = self._now()
        call.finished = run.outcome == "completed"
        if call.response.messages is None and call.text is not None and (arrived := call.text.text()):
            with contained("partial answer"):
                call.response = call.response.saying(_partial(call.request, arrived, run.policy))
        if run.span is not None and self._prices is not None:
            with contained("cost"):
                call.cost = self._prices.cost(call)
        for agent in run.agents():
            with contained("usage of agents"):
                used = call.usage()
                if used is not None:
                    agent.add(used)


def _partial(asked: Request, text: str, policy: Policy) -> str:
    return output_messages([(text, None)], policy.beside(asked.system, asked.tools, asked.messages))
