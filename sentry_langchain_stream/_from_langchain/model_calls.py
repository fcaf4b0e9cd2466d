"""Updates the record of a model call from LangChain's events. `hooks` passes them on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from langchain_core.outputs import LLMResult

from .._content.gathered import Gathered
from .._content.messages import text_of
from .._content.policy import NOTHING, Policy
from .._runs.call import Call, Operation, Request
from .._runs.estimates import of_text
from .._runs.kinds import Outcome
from .._runs.live_runs import LiveRuns
from .._runs.numbers import number
from .._runs.settings import Settings
from .._runs.start import Start
from .._runs.usage import Usage
from .._runtime.containment import contain, contained, warn_once
from . import answer_texts, answers, decisions, inside, left_streams, marks, requests, same_ids, stream_events
from .described import Descriptions
from .prompts import METADATA_KEYS, of_metadata


class ModelRuns:
    """Starts and ends model runs, and counts their chunks.

    Args:
        runs: The live runs.
        settings: The user's settings.
        now: The monotonic clock, in seconds.
    """

    def __init__(self, runs: LiveRuns, settings: Settings, now: Callable[[], float]) -> None:
        self._runs = runs
        self._live = runs.get
        self._token_counter = settings.token_counter
        self._now = now
        self._descriptions = Descriptions()

    def start(
        self,
        start: Start,
        serialized: object,
        kwargs: Mapping[str, Any],
        *,
        payload: object,
        messages: Sequence[Any] | None = None,
        prompts: Sequence[str] | None = None,
    ) -> None:
        """Start a model run.

        Args:
            start: The start of the run.
            serialized: LangChain's description of the model, if there is one.
            kwargs: LangChain's other arguments of the start event: invocation parameters and call options.
            payload: The messages or the prompt. It is the same object for all handlers.
            messages: The messages of a chat model.
            prompts: The prompts of any other model.
        """
        operation: Operation = "chat" if messages is not None else "text_completion"
        start.operation = operation
        if not METADATA_KEYS.isdisjoint(start.metadata):
            with contained("prompt"):
                start.prompt = of_metadata(start.metadata)

        made: Call | None = None

        def call(policy: Policy) -> Call:
            nonlocal made
            options = _options(kwargs)
            try:
                request = requests.request(
                    self._descriptions.of(serialized, start.metadata, options),
                    messages=messages,
                    prompts=prompts,
                    policy=policy,
                    token_counter=self._token_counter,
                    options=options,
                    name=start.name,
                )
            except Exception as error:
                contain("extract.request", error)
                request = Request(operation)
            gathered = Gathered(policy) if policy.outputs else None
            made = Call(request, self._now(), gathered, start.batch_size, id(payload))
            return made

        run = self._runs.start(start, call)
        if run is None:
            return
        if run.call is made:
            inside.started(run)
        elif run.call is not None and run.call.payload == id(payload):
            # It has started before: the handler is in the callback list twice, so every event of it will fire twice.
            run.call.echoes += 1
            self._runs.no_longer_plain(run)

    def start_decision(self, start: Start, serialized: object, inputs: object) -> None:
        """Start the run of a decision model, see `decisions`.

        Args:
            start: The start of the run.
            serialized: LangChain's description of the model, if there is one.
            inputs: The state and the questions.
        """
        start.operation = "evaluate"

        def call(policy: Policy) -> Call:
            described = self._descriptions.of(serialized, start.metadata, {})
            return Call(decisions.request(described, inputs, policy, start.name), self._now())

        self._runs.start(start, call)

    def gather(self, run_id: UUID, token: object, chunk: Any) -> None:
        """Count a chunk that has arrived, whatever it is. Most are counted by the handler itself: `LiveRuns.plain`."""
        now = self._now()
        run = self._live(number(same_ids.own(run_id)))
        if run is None or (call := run.call) is None or (call.echoes and self._is_repetition(call)):
            return
        call.streamed = True
        if not call.by_events and answer_texts.has_content(token, chunk):
            text = text_of(token)
            call.add_chunk(now, text or answer_texts.other_text(chunk))
            call.read(text, self._token_counter)
            if not call.echoes and self._token_counter is None:
                self._runs.make_plain(run, call)
                if same_ids.again and run_id in same_ids.again:  # the other call may have started just now
                    self._runs.no_longer_plain(run)
        self.gather_facts(call, getattr(chunk, "message", None))

    @staticmethod
    def gather_facts(call: Call, message: object) -> None:
        """Read what a chunk says besides its text: the model, and the usage."""
        if call.named is None and (metadata := getattr(message, "response_metadata", None)):
            call.named = answers.named_in(metadata)
        reported = getattr(message, "usage_metadata", None)
        if reported is not None and (usage := Usage.reported(reported)) is not None:
            call.add_report(usage)

    def gather_event(self, run_id: UUID, event: object) -> None:
        """Count a v3 stream event, see `Call.follow_events`. This also runs once per token."""
        now = self._now()
        run = self._live(number(same_ids.own(run_id) if same_ids.again else run_id))
        if run is None or (call := run.call) is None or (call.echoes and self._is_repetition(call)):
            return
        call.streamed = True
        if not call.by_events:
            call.follow_events()
            self._runs.no_longer_plain(run)
        if call.named is None:
            call.named = stream_events.model(event)
        text, has_content, usage = stream_events.read(event)
        if has_content:
            call.add_chunk(now, text)
            if text:
                call.read(text, self._token_counter)
        if usage is not None and not call.repeats:
            call.reported = usage.over(call.reported)
        if stream_events.failed(event):
            self.end(run_id, "failed", None)

    @staticmethod
    def _is_repetition(call: Call) -> bool:
        """Whether an event of a call that fires each event several times has fired before."""
        call.events += 1
        return call.events % (call.echoes + 1) != 1

    def end(self, run_id: UUID, outcome: Outcome, response: Any, error: BaseException | None = None) -> None:
        """End a model run, with its whole or partial answer."""
        run = self._live(number(same_ids.own(run_id) if same_ids.again else run_id))
        if run is None:
            return
        if run.call is not None and response is not None:
            try:
                # A call that is not recorded may still be followed for its metrics, which have no content.
                self._answer(run_id, run.call, run.policy if run.place.recording else NOTHING, response, outcome)
            except Exception as failure:
                contain("extract.response", failure)
            if outcome == "completed" and run.call.streamed and left_streams.is_left(run):
                run.call.finished, outcome = True, "abandoned"
        if error is not None:
            self._runs.end_batch(run.id)
        self._runs.end_run(run, outcome, error)

    def fail(self, run_id: UUID, error: BaseException, response: object) -> None:
        """End a model run that got an error event: it failed, was cancelled, or its consumer left."""
        answer = None
        with contained("partial answer"):
            answer = response if isinstance(response, LLMResult) else None
        self.end(run_id, marks.outcome(error), answer, error)

    def _answer(self, run_id: UUID, call: Call, policy: Policy, response: Any, outcome: Outcome) -> None:
        request = call.request
        known = answers.metadata(response)
        answer = answers.response(response, policy.beside(request.system, request.tools, request.messages), known)
        call.response = answer.from_model(call.named) if call.streamed else answer
        if answers.from_cache(response, run_id, call.streamed):
            call.from_cache()
            return
        if call.within_ids:
            call.hands_on = not {answer.id, answers.run_of(response)}.isdisjoint(call.within_ids)
        reported = answers.usage(response, known)
        if reported is not None and not call.repeats:
            call.reported = reported.over(call.reported) if call.by_events else reported
        counted_elsewhere = call.batch > 1 and answers.counted_elsewhere(response)
        used = call.reported
        is_reported = used is not None and (used.output or not used.has_no_answer)
        if counted_elsewhere or is_reported or outcome != "completed":
            return
        if call.chunks:
            if used is None:
                self._advise(call, known)
        else:
            text = answer_texts.answer_text(response)
            call.counted = of_text(text, self._token_counter) if text else None

    @staticmethod
    def _advise(call: Call, metadata: Mapping[str, Any]) -> None:
        """Log how to get the provider's usage, if there is a known way.

        OpenAI's chat completions report it if they are asked to, after the finish reason. A stream without a reason was
        cut off before that. The Responses API need not be asked.
        """
        if call.request.platform != "openai" or not call.response.finish_reasons:
            return
        if metadata.get("object") != "response":
            warn_once(
                "stream_usage",
                "A streamed answer had no usage, so its tokens are estimated. By default ChatOpenAI requests usage "
                "only if no base URL is set. Pass ChatOpenAI(stream_usage=True) to always request it.",
            )


def _options(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the invocation parameters of the model and the options of the call, which win where they have a value."""
    merged: dict[str, Any] = {**(kwargs.get("invocation_params") or {})}
    for name, value in (kwargs.get("options") or {}).items():
        if value is not None:
            merged[name] = value
    return merged
