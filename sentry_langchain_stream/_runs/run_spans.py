"""Opens the span of a run, and closes it with its attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from .._content import error_texts
from .._content.messages import output_messages
from .._content.policy import Policy
from .._runtime.containment import contain, contained
from .._to_sentry import held_issues, issues
from .._to_sentry.client import current_client
from .._to_sentry.failures import Failure
from .._to_sentry.sentrys_hooks import unfollowed
from .._to_sentry.span_models import AnySpan, Status
from .._vocabulary import names
from .._vocabulary.keys import AttributeValue
from .._vocabulary.names import SpanKind
from .._vocabulary.providers import Platform
from . import attributes, enclosing, known_runs, totals
from .call import Call, Request
from .details import Agent, Checkpoint, Handoff, Memory, Retrieval, ToolCall
from .kinds import Later, Outcome
from .run import Run
from .settings import Settings

if TYPE_CHECKING:
    from .pricing import Prices

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
        self._prices: Prices | None = None
        if settings.cost:
            from .pricing import Prices

            self._prices = Prices()

    # -- open -------------------------------------------------------------------------------------------------

    def open(self, run: Run) -> None:
        """Open the span of a run. Prompts, parsers and other chains get one only with `chains=True`."""
        if not run.place.recording:
            return
        if run.kind == "chain":
            if self._settings.chains:
                self._open(run, "chain", run.name or "chain")
        elif run.call is not None:
            request = run.call.request
            self._open(run, request.operation, request.model, request.platform)
        elif isinstance(run.detail, Agent):
            # The LLM Monitoring of 2024 has pipelines but no agents, so in dialect "ai" a root agent is a pipeline.
            is_pipeline = run.parent is None and self._settings.dialect == "ai"
            self._open(run, "pipeline" if is_pipeline else "agent", run.detail.name)
        elif isinstance(run.detail, (ToolCall, Retrieval)):
            self._open(run, "tool" if run.kind == "tool" else "retriever", run.detail.name)
        elif isinstance(run.detail, Handoff):
            self._open(run, "handoff", run.detail.name)
        elif isinstance(run.detail, (Memory, Checkpoint)):
            self._open(run, "memory" if run.kind == "memory" else "checkpoint", run.detail.name)
        elif run.kind == "pipeline":
            self._open(run, "pipeline", None)

    def _open(self, run: Run, kind: SpanKind, subject: str | None, platform: Platform = "langchain") -> None:
        place = run.place
        dialect = self._settings.dialect
        op = names.op(kind, dialect, platform)
        name = names.span_name(kind, dialect, run.pipeline, subject)
        try:
            if place.span is not None:
                place.backend.rename(place.span, op=op, name=name)
                return
            known = attributes.at_start(run, dialect) if place.anchor is None or place.backend.queues else {}
            place.span = place.backend.start(
                place.anchor, op=op, name=name, attributes=known, sampling=run.tree.sampling
            )
            if place.anchor is None:
                run.tree.root = place.span
            if place.backend.recording(place.span):
                place.anchor, place.is_ours = place.span, True
            elif place.anchor is None:
                # The root is not sampled. It is still finished, so that the SDK counts it in its client reports. And it
                # is active inside its run, so that what happens there is not sampled either, here and elsewhere.
                place.recording = False
                place.anchor, place.is_ours = place.span, True
            # Otherwise the user's `ignore_spans` dropped this span: its children become children of its parent.
        except Exception as error:
            contain("backend.start", error)

    # -- close ------------------------------------------------------------------------------------------------

    def ask(self, call: Call, policy: Policy) -> None:
        """Ask the user's functions what has to be known of a call that ends, while the tree's lock is free.

        What arrives of its answer after that is not recorded.
        """
        if call.complete is not None:
            call.take_what_was_said()
        if self._settings.token_counter is not None:
            with contained("usage"):
                call.count_prompt()
        if policy.redact is not None and call.partial is None and call.response.messages is None:
            self._read_partial(call, policy)

    @staticmethod
    def _read_partial(call: Call, policy: Policy) -> None:
        if call.text is not None and (arrived := call.text.text()):
            with contained("partial answer"):
                call.partial = _partial(call.request, arrived, policy)

    def close(
        self,
        run: Run,
        outcome: Outcome,
        error: BaseException | None,
        evicted: str | None,
        later: Later | None = None,
    ) -> None:
        """Set the attributes of a run's span, close it, and report the run's failure if no parent can recover.

        The order of the steps matters: usage is added to the agents before their spans are finished, and an issue is
        linked to a span that has its final attributes.

        Args:
            run: The run, which has ended.
            outcome: How it ended.
            error: The exception that it failed with.
            evicted: Why this package ended the run, if LangChain did not.
            later: Takes what is to be done when the tree's lock is free, if the caller has it: what may call
                `before_send_span`, `before_send_transaction` or `before_send_metric`.
        """
        if run.task_watch is not None:
            self.detach(run)
        run.call_watch = None
        failure = error if outcome == "failed" else None
        is_inner = run.parent is not None and not run.parent.implicit
        if is_inner and failure is None and run.call is None and run.place.span is None:
            # As most chains: nothing is sent of it, and nothing of it is counted.
            run.ending.outcome, run.ending.evicted = outcome, evicted
            return
        first = run.id
        try:
            run.ending.outcome, run.ending.evicted = outcome, evicted
            if failure is not None:
                first = self._note_failure(run, failure)
            if run.call is not None:
                self._complete_call(run, run.call)
                if run.call.request.model is None:
                    self._name_model(run, run.call)
                totals.settle(run, run.call)
                if self._prices is not None:  # of unsampled calls too: who watches the run adds them up
                    self._price(run.call, self._prices)
        finally:  # Ctrl-C or a time limit may arrive in any of these, for example while `redact` runs
            if run.place.span is not None:
                self._finish_span(run, run.place.span, later)
        if run.call is not None and self._settings.metrics:
            if later is not None:
                later.append(partial(self._measure, run, run.call))
            else:
                self._measure(run, run.call)
        try:
            if run.call is not None:
                totals.count(run, run.call)
            if not is_inner:
                known_runs.ended(run, self._now())
        except Exception as raised:
            contain("watches", raised)
        if failure is not None and run.reports and self._settings.capture_errors:
            if later is not None:
                later.append(partial(self._hold, run, failure, first))
            else:
                self._hold(run, failure, first)

    @staticmethod
    def _hold(run: Run, error: BaseException, first: UUID) -> None:
        with contained("capture_errors"):
            failure = Failure(
                run_id=run.id,
                first=first,
                backend=run.place.backend,
                span=run.ending.failed.get(first, run.place.anchor) or run.tree.outside,
                scopes=run.tree.scopes,
                client=current_client(),
                started=run.tree.started,
                policy=run.policy,
                has_company=partial(enclosing.any_beside, run.tree),
            )
            held_issues.hold(error, failure, run.task() if run.task is not None else None)

    @staticmethod
    def detach(run: Run) -> None:
        """Stop watching the run's task and its call."""
        if run.task_watch is not None:
            run.task_watch.stop()
            run.task_watch = None
        run.call_watch = None

    @staticmethod
    def _note_failure(run: Run, failure: BaseException) -> UUID:
        """Record that the run failed. Return the id of the run that failed first with the same exception."""
        ending = run.ending
        ending.error_type = type(failure).__name__
        known: list[UUID] = []
        with contained("runs of an exception"):  # whatever its attributes do, the span is finished
            known = [each.run_id for each in reversed(issues.passed(failure)) if each.run_id in ending.failed]
            caused = (each.run_id for part in error_texts.chain(failure) for each in issues.passed(part))
            ending.counted = any(ending.failed.get(each, run.place.anchor) is not run.place.anchor for each in caused)
        if known:
            return known[0]
        ending.remember({run.id: run.place.anchor})  # its own span, unless `ignore_spans` has dropped that
        return run.id

    def _complete_call(self, run: Run, call: Call) -> None:
        """Record when the call ended. If it was cut short, the text that arrived becomes the answer."""
        call.ended = self._now()
        if call.complete is not None:
            call.take_what_was_said()
        call.finished = call.finished or run.ending.outcome == "completed"
        if call.response.messages is None and call.text is not None:
            if call.partial is None:
                self._read_partial(call, run.policy)
            if call.partial is not None:
                call.response = call.response.with_messages(call.partial)

    def _name_model(self, run: Run, call: Call) -> None:
        """If the request names no model, take the one that answered, and name the span after it."""
        if call.answered_by is not None:
            call.request = call.request.with_model(call.answered_by)
            if run.place.span is not None:
                self.open(run)  # which renames the span

    @staticmethod
    def _measure(run: Run, call: Call) -> None:
        with contained("metrics"):
            from .metrics import record_call  # imported only if metrics are on

            unfollowed(record_call, run, call)

    @staticmethod
    def _price(call: Call, prices: Prices) -> None:
        with contained("cost"):
            call.cost = prices.cost(call)

    def _finish_span(self, run: Run, span: AnySpan, later: Later | None) -> None:
        """Set the attributes and finish the span. The span is finished even if `describe` fails.

        A span in a transaction is finished at once, which calls nobody: it must not end after its transaction, which
        another thread may be ending. One that is late is sent by itself.
        """
        described: dict[str, AttributeValue] = {}
        try:
            described = attributes.describe(run, self._settings.dialect)
        except Exception as error:
            contain("attributes", error)
        finally:
            backend, status = run.place.backend, _STATUS[run.ending.outcome]
            tree = run.tree
            is_late = tree.is_over or backend.is_late(span)
            tree.is_over = tree.is_over or span is tree.root
            if later is not None and (backend.queues or span is tree.root or is_late):
                later.append(partial(backend.finish, span, described, status, is_late=is_late))
            else:
                try:
                    backend.finish(span, described, status, is_late=is_late)
                except Exception as error:
                    contain("backend.finish", error)


def _partial(request: Request, text: str, policy: Policy) -> str:
    return output_messages([(text, None)], policy.beside(request.system, request.tools, request.messages))
