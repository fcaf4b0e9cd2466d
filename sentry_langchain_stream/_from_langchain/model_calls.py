"""What a model's events mean for the record of its call. `handler.py` hands them on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from langchain_core.outputs import LLMResult

from .._content.gathered import Gathered
from .._content.messages import text_of
from .._content.policy import NOTHING, Policy
from .._content.reading import count
from .._runs.call import Call, Request
from .._runs.live_runs import LiveRuns
from .._runs.run import Outcome, Start
from .._runs.settings import Settings
from .._runs.usage import approximate
from .._runtime.containment import contained, warn_once
from .._to_sentry.other_integrations import warn_of_rival
from . import marks, payloads, stream_events


class ModelRuns:
    """Starts, gathers and ends model runs.

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
        """A model starts.

        Args:
            start: The run's start.
            serialized: LangChain's description of the model, if it gives one.
            kwargs: What else LangChain hands to the start: invocation parameters and call options.
            payload: What was handed over, once for all handlers: the messages or the prompt.
            messages: The messages of a chat model.
            prompts: The prompts of any other model.
        """
        live = self._runs.get(start.id)
        if live is not None:
            # The handler is in the callback list twice: every event of this run is going to fire twice.
            if live.call is not None and live.call.payload == id(payload):
                live.call.echoes += 1
            return

        def call(policy: Policy) -> Call:
            options = {**(kwargs.get("options") or {}), **(kwargs.get("invocation_params") or {})}
            request = Request(operation="chat" if messages is not None else "text_completion")
            provider = None
            with contained("extract.provider"):
                provider = payloads.provider(serialized, start.metadata, options)
                if provider is not None:
                    warn_of_rival(provider.integration)
            with contained("extract.request"):
                request = payloads.request(
                    serialized,
                    messages=messages,
                    prompts=prompts,
                    policy=policy,
                    token_counter=self._token_counter,
                    metadata=start.metadata,
                    options=options,
                    provider=provider,
                    name=start.name,
                )
            gathered = Gathered(policy) if policy.outputs else None
            return Call(request, self._now(), gathered, payload=id(payload), batch=start.batch_size)

        self._runs.start(start, call)

    def gather(self, run_id: UUID, token: object, chunk: Any) -> None:
        """A chunk has arrived. This runs once per token, so it does no more than it must."""
        now = self._now()
        call = self._receiving(run_id)
        if call is None:
            return
        if not call.by_events and ((token and token.__class__ is str) or payloads.has_content(token, chunk)):
            call.add_chunk(now)
            if call.text is not None or self._token_counter is not None:
                call.read(text_of(token), self._token_counter)
        usage = payloads.chunk_usage(chunk)
        if usage is not None:
            call.repeats = call.repeats or usage.repeats(call.reported)
            call.reported = usage

    def gather_event(self, run_id: UUID, event: object) -> None:
        """A v3 stream event has arrived, see `Call.follow_events`. This runs once per token, too."""
        now = self._now()
        call = self._receiving(run_id)
        if call is None:
            return
        if not call.by_events:
            call.follow_events()
        text, has_content, usage = stream_events.read(event)
        if has_content:
            call.add_chunk(now)
            if text:
                call.read(text, self._token_counter)
        if usage is not None and not call.repeats:
            call.reported = usage
        if stream_events.failed(event):
            self.end(run_id, "failed", None)

    def _receiving(self, run_id: UUID) -> Call | None:
        """The call that a chunk or event belongs to, unless it repeats one that was counted."""
        run = self._live(run_id)
        if run is None or (call := run.call) is None:
            return None
        if not call.streamed:
            call.streamed = True
            run.place.deactivate()  # from now on the consumer's code runs in between
        if call.echoes:
            call.events += 1
            if call.events % (call.echoes + 1) != 1:
                return None
        return call

    def end(self, run_id: UUID, how: Outcome, response: Any, error: BaseException | None = None) -> None:
        """A model's run ends, with its answer or what had arrived of it."""
        run = self._runs.get(run_id)
        if run is None:
            return
        if run.call is not None and response is not None:
            with contained("extract.response"):
                # A call that is not recorded is followed for its metrics, which hold no content.
                self._answer(run.call, run.policy if run.place.recording else NOTHING, response, how)
        if error is not None:
            self._runs.end_batch(run_id)
        self._runs.end(run_id, how, error)

    def fail(self, run_id: UUID, error: BaseException, response: object) -> None:
        """A model's run got an error event: it failed, was left or cancelled. There may be a partial answer."""
        answer = response if isinstance(response, LLMResult) else None
        self.end(run_id, marks.outcome(error), answer, error)

    def _answer(self, call: Call, policy: Policy, response: Any, how: Outcome) -> None:
        asked = call.request
        call.response = payloads.response(response, policy.beside(asked.system, asked.tools, asked.messages))
        if payloads.from_cache(response):
            call.from_cache()
            return
        reported = payloads.usage(response)
        if reported is not None and not call.repeats:
            call.reported = reported
        elsewhere = call.batch > 1 and payloads.counted_elsewhere(response)
        if elsewhere or call.reported is not None or how != "completed":
            return
        if call.chunks:
            self._advise(call)
        else:
            text = payloads.answer_text(response)
            counter = self._token_counter or approximate
            with contained("token_counter"):
                call.counted = count(counter(text)) if text else None

    @staticmethod
    def _advise(call: Call) -> None:
        """Say how to get the provider's numbers, where there is a known way."""
        if call.request.platform == "openai":
            warn_once(
                "stream_usage",
                "A streamed answer came without usage, so its tokens are an estimate. By itself ChatOpenAI asks for "
                "usage only where no base URL is set; ChatOpenAI(stream_usage=True) always does.",
            )
