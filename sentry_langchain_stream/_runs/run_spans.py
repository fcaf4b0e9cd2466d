"""The span of a run: opened, made active for what runs inside, and closed with all that is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from uuid import UUID

from .._content.messages import output_messages
from .._content.policy import Policy
from .._runtime.containment import contained
from .._runtime.interpreter import Caller
from .._to_sentry import internals
from .._to_sentry.active_span import Activation
from .._to_sentry.issues import capture_error, first_failed
from .._to_sentry.span_models import Status
from .._vocabulary import names
from .._vocabulary.keys import AttributeValue
from .._vocabulary.names import SpanKind
from .._vocabulary.providers import Platform
from . import attributes, silent_ends
from .call import Call, Request
from .run import Agent, Outcome, Retrieval, Run, ToolCall
from .settings import Settings

if TYPE_CHECKING:
    from .pricing import Prices

FindCaller = Callable[[], Caller | None]
"""Finds the call that starts a run, if one is on the stack."""

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
        find_caller: Finds the call that starts a run.
    """

    def __init__(self, settings: Settings, now: Callable[[], float], find_caller: FindCaller) -> None:
        self._settings = settings
        self._now = now
        self._find_caller = find_caller
        self._prices: Prices | None = None
        if settings.cost:
            from .pricing import Prices

            self._prices = Prices()

    # -- open -------------------------------------------------------------------------------------------------

    def open(self, run: Run) -> None:
        """Open the span of a run. Prompts, parsers and other chains have none, unless asked for."""
        if run.call is not None:
            request = run.call.request
            self._open(run, request.operation, request.model, request.platform)
        elif isinstance(run.detail, Agent):
            # The monitoring of 2024 knows pipelines and no agents: there, a root agent is the pipeline.
            is_pipeline = run.parent is None and self._settings.dialect == "ai"
            self._open(run, "pipeline" if is_pipeline else "agent", run.detail.name)
        elif isinstance(run.detail, (ToolCall, Retrieval)):
            self._open(run, "tool" if run.kind == "tool" else "retriever", run.detail.name)
        elif run.kind == "pipeline":
            self._open(run, "pipeline", None)
        elif run.kind == "chain" and self._settings.chains:
            self._open(run, "chain", run.name or "chain")
        # A chain may be streamed: then what starts it goes on in between, in the same context. So the user's code in a
        # chain gets the span of the chain's parent, which is right for both. A node has a context of its own.
        parent = run.parent if run.kind == "chain" and not run.is_node else None
        run.place.inside = run.place.anchor if parent is None else parent.place.inside

    def _open(self, run: Run, kind: SpanKind, what: str | None, platform: Platform = "langchain") -> None:
        place = run.place
        if not place.recording:
            return
        dialect = self._settings.dialect
        op = names.op(kind, dialect, platform)
        name = names.span_name(kind, dialect, run.pipeline, what)
        with contained("backend.start"):
            if place.span is not None:
                place.backend.rename(place.span, op=op, name=name)
                return
            place.span = place.backend.start(place.anchor, op=op, name=name)
            if place.backend.recording(place.span):
                place.anchor = place.span
            elif place.anchor is None:
                # The root is not sampled. It is finished all the same, so that the SDK can count it.
                place.recording = False
            # Else the user's `ignore_spans` left this child out: its children become its parent's.

    def activate(self, run: Run, enclosing_id: UUID | None) -> None:
        """Make a span the active one for what runs inside of a run. Call it where LangChain starts the run.

        Not for a root or a graph: either may be streamed, and its consumer is not inside. And not for what a consumer
        starts who may share the context: that of a chain that does not run in a context of its own (on Python 3.10
        no step of an async chain does), or of a model that does not report all its chunks.

        Args:
            run: The run, which has just started.
            enclosing_id: The run that LangChain's context names as the one that encloses this code.
        """
        if not self._settings.nesting or not run.place.recording or run.kind in ("agent", "pipeline"):
            return
        parent = run.parent
        if parent is None and run.kind == "chain":  # what it belonged to has ended meanwhile
            return
        spreads = run.call is None or run.call.request.operation == "chat"
        if run.kind == "chain" and not run.is_node and parent is not None and enclosing_id != parent.id:
            root = run.root()
            spreads = root.task is None or not silent_ends.is_current(root)
        if run.place.inside is not None and internals.can_nest:
            with run.tree.lock, contained("nesting"):
                run.place.activation = Activation(run.place.inside, self._find_caller(), spreads=spreads)

    # -- close ------------------------------------------------------------------------------------------------

    def close(self, run: Run, outcome: Outcome, error: BaseException | None, evicted: str | None) -> None:
        """Close a run's span with all that is known of it, and report its failure if no parent can recover.

        The order of the steps matters: an answer counts towards its agents before their spans are finished, and an
        issue is linked to a span that has its final attributes.

        Args:
            run: The run, which has ended.
            outcome: How.
            error: What it failed with.
            evicted: Why we ended it, if it was not LangChain.
        """
        self._detach(run)
        failure = error if outcome == "failed" else None
        first = self._note_ending(run, outcome, failure, evicted)
        if run.call is not None:
            self._complete_call(run, run.call)
            self._price(run, run.call)
            self._add_to_agents(run, run.call)
        self._finish_span(run)
        if run.call is not None and self._settings.metrics:
            with contained("metrics"):
                from .metrics import record_call  # needed by few, so not imported by all

                record_call(run, run.call)
        if failure is not None and run.reports and self._settings.capture_errors:
            with contained("capture_errors"):
                failed = run.ending.failed.get(first, run.place.span)
                capture_error(failure, run.place.backend, failed, run.policy)

    @staticmethod
    def _detach(run: Run) -> None:
        """Take the run out of its task and its context."""
        if run.unwatch is not None:
            run.unwatch()
            run.unwatch = None
        run.place.deactivate()

    @staticmethod
    def _note_ending(run: Run, outcome: Outcome, failure: BaseException | None, evicted: str | None) -> UUID:
        """Note how it ended, and return the id of the run that first failed with the same exception."""
        ending = run.ending
        ending.outcome, ending.evicted = outcome, evicted
        if failure is None:
            return run.id
        ending.error_type = type(failure).__name__
        first = first_failed(failure, run.id)
        if first == run.id:
            ending.remember({first: run.place.span or run.place.anchor})
        return first

    def _complete_call(self, run: Run, call: Call) -> None:
        """Note when the call ended; of an answer that was cut short, what had arrived is the answer."""
        call.ended = self._now()
        call.finished = run.ending.outcome == "completed"
        if call.response.messages is None and call.text is not None and (arrived := call.text.text()):
            with contained("partial answer"):
                call.response = call.response.saying(_partial(call.request, arrived, run.policy))

    def _price(self, run: Run, call: Call) -> None:
        if run.place.span is not None and self._prices is not None:
            with contained("cost"):
                call.cost = self._prices.cost(call)

    @staticmethod
    def _add_to_agents(run: Run, call: Call) -> None:
        """Add the usage of a call to every agent that it belongs to."""
        with contained("usage of agents"):
            for agent in run.agents():
                used = call.usage()
                if used is not None:
                    agent.add(used)

    def _finish_span(self, run: Run) -> None:
        """Set the attributes and finish the span. It is finished even if no attribute can be worked out."""
        if run.place.span is None:
            return
        described: dict[str, AttributeValue] = {}
        with contained("attributes"):
            described = attributes.describe(run, self._settings.dialect)
        with contained("backend.finish"):
            run.place.backend.finish(run.place.span, described, _STATUS[run.ending.outcome])


def _partial(asked: Request, text: str, policy: Policy) -> str:
    return output_messages([(text, None)], policy.beside(asked.system, asked.tools, asked.messages))
