"""The model run around a stream that is not LangChain's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid4

from .._content.gathered import Gathered
from .._content.policy import NOTHING, Policy
from .._from_langchain import inside, marks
from .._runs import known_runs, labelling, silent_ends
from .._runs.call import Call, Request
from .._runs.kinds import Outcome
from .._runs.live_runs import LiveRuns
from .._runs.numbers import number
from .._runs.run import Run
from .._runs.run_info import RunInfo
from .._runs.settings import Settings
from .._runs.start import Start
from .._runtime import interpreter
from .._runtime.containment import contained
from .._to_sentry import active_span, forks, joining, model_integrations, other_integrations
from .._to_sentry.asking import is_asking
from .._to_sentry.client import current_client
from .._to_sentry.pulled_streams import Pull
from .._vocabulary import providers
from . import pulls, readers
from .answer import Answer
from .requests import Given
from .stated import Said, stated_response, stated_usage

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The checked arguments of `track_stream`, which documents them."""

    name: str | None
    request: Request
    given: Given
    text: Callable[[Any], str] | None
    conversation_id: str | None
    metadata: Mapping[str, Any]
    settings: Settings


def _integrations_own(client: Any) -> Settings | None:
    """The settings of the client's `SentryStreamIntegration`, which speak for all model calls of the process."""
    return getattr(other_integrations.own_handler(client), "_settings", None)


class Tracked(Generic[T]):
    """The common base of the sync and the async stream: one model run, which starts with the first item requested."""

    clock: Callable[[], float] = staticmethod(time.perf_counter)
    """The monotonic clock for all durations, in seconds."""

    def __init__(self, options: Options) -> None:
        self._options = options
        ours, settings = _integrations_own(current_client()), options.settings
        if ours is not None and (ours.metrics or ours.cost):  # which are meant for every model call
            settings = replace(settings, metrics=ours.metrics, cost=ours.cost)
        self._runs = LiveRuns(settings, type(self).clock, others=_integrations_own)
        self._id: UUID | None = None
        self._is_live = False
        self._call: Call | None = None
        self._said = Said(NOTHING)
        self._info: RunInfo | None = None
        self._pulling: Pull | None = None
        self._requests: list[None] = []  # as long as there are requests in progress: a number that threads may share
        self._reader: readers.Reader | None = None

    def set_usage(
        self,
        usage: object = None,
        /,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_tokens: int | None = None,
        cache_creation_tokens: int | None = None,
        reasoning_tokens: int | None = None,
    ) -> None:
        """Set the usage that the provider reported, before the stream ends. The last call that has numbers wins.

        It takes precedence over the usage in the chunks. Input or output tokens that are left out are estimated, and so
        is an output of 0 where items have come: some servers write that where they do not count.

        Args:
            usage: The provider's usage object or mapping, or an answer or a chunk that has it: of OpenAI, Anthropic,
                Gemini, Bedrock, Ollama or LangChain. `None`, which many chunks have as their usage, changes nothing.
            input_tokens: Tokens of the prompt, including the cached ones.
            output_tokens: Tokens of the answer, including the reasoning.
            cached_tokens: Tokens of the prompt that were read from the provider's cache.
            cache_creation_tokens: Tokens of the prompt that were written to the provider's cache.
            reasoning_tokens: Tokens of the answer that are reasoning.

        Raises:
            TypeError: There is both a usage and a number, the usage is a number or a text, or a number is neither an
                `int` nor `None`.
            ValueError: A number is negative, or more than 2**53.
        """
        stated = stated_usage(
            usage,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cached_tokens=cached_tokens,
            cache_creation_tokens=cache_creation_tokens,
            reasoning_tokens=reasoning_tokens,
        )
        self._said.usage = stated or self._said.usage

    def set_response(
        self, *, model: str | None = None, id: str | None = None, finish_reason: str | None = None
    ) -> None:
        """Set facts of the provider's response, before the stream ends. What is left out stays as it was.

        Args:
            model: The model that answered. It takes precedence over the one that the chunks name.
            id: The id of the response.
            finish_reason: Why the answer ended. With it the usage is taken for final, also if the consumer then leaves.

        Raises:
            TypeError: An argument is neither a `str` nor `None`.
        """
        said = self._said
        said.response = stated_response(said.response, model=model, id=id, finish_reason=finish_reason)

    # -- the run ----------------------------------------------------------------------------------------------

    def _pull(self) -> pulls.Pulled:
        """The consumer requests the next item: from now on the source is running."""
        with contained("track_stream"):
            if self._id is None and not is_asking():  # the text is not redacted yet
                self._id = uuid4()
                around = inside.innermost()
                run = self._runs.start(self._start(self._id, around), partial(self._record, around))
                if run is not None:
                    self._started(run, around)
        return self._run_source()

    def _run_source(self) -> pulls.Pulled:
        """From now on the source is running in this context."""
        self._requests.append(None)
        return pulls.begin(self, self._pulling)

    def _pause(self, pulled: pulls.Pulled) -> None:
        """The source has returned or raised: from now on the consumer is running."""
        self._requests.pop()
        pulls.pause(pulled)

    def _start(self, id: UUID, around: Run | None) -> Start:
        options = self._options
        start = Start(id, None, "model", options.name, metadata=options.metadata)
        start.conversation_id = options.conversation_id
        if around is not None:
            start.pipeline_name = around.pipeline
            start.conversation_id = start.conversation_id or around.conversation
        start.operation, start.model = options.request.operation, options.request.model
        return start

    def _started(self, run: Run, around: Run | None) -> None:
        self._is_live = True
        self._call = run.call  # of an unsampled run there is no record
        if around is not None:
            run.policy, run.agent = around.policy.and_(run.policy), around.agent
            labelling.inherit(run, around)
        if run.place.anchor is not None:
            self._pulling = Pull(run.place.anchor)

    @property
    def run_info(self) -> RunInfo | None:
        """What is known of the run so far, or when it has ended: ids, outcome, tokens. `None` before the first pull."""
        if self._id is None:
            return None
        run = self._runs.get(number(self._id))
        if run is not None:
            return known_runs.info(run, type(self).clock())
        self._info = self._info or known_runs.find(self._id)
        return self._info

    def _record(self, around: Run | None, policy: Policy) -> Call:
        options = self._options
        if around is not None:  # what may not be recorded of that run, may not be of this one, which is inside it
            policy = around.policy.and_(policy)
        self._said.policy = policy
        request = options.given.complete(options.request, policy, options.settings.token_counter)
        gathered = Gathered(policy) if policy.outputs else None
        return Call(request, type(self).clock(), gathered, assumes_model=False, complete=self._said.complete)

    def _resolved(self, source: object) -> None:
        """The source has been awaited, which may show the provider."""
        call = self._call
        if call is not None and call.request.provider is None:
            with contained("provider"):
                self._provided_by(call, readers.provider_of(source))

    def _arrived(self, item: T) -> None:
        """The source has returned an item."""
        call = self._call
        if call is None:
            return
        with contained("track_stream"):
            call.streamed = True
            if self._reader is None:
                self._recognise(item, call)
            if self._reader is None or item.__class__ is str:
                self._count(call, item)
            elif self._said.answer is not None:
                self._read(self._reader, self._said.answer, item, call)

    def _count(self, call: Call, item: object) -> None:
        """Count an item that is no chunk of a client library. How long it is, a text says, or what `text` returns."""
        now, text = type(self).clock(), self._options.text
        if text is None or isinstance(item, str):
            call.add_chunk(now, item if isinstance(item, str) else "")
            self._read_text(call, text or str, item)
            return
        item_text: Any = ""
        try:
            item_text = text(item)
        finally:  # also if the user's function fails
            call.add_chunk(now, item_text if isinstance(item_text, str) else "")
        self._read_text(call, lambda _: item_text, item)

    def _recognise(self, item: object, call: Call) -> None:
        """Find out whether the items are the chunks of a client library that is known."""
        self._reader = readers.find(item)
        if self._reader is None:
            return
        self._said.answer = Answer(NOTHING if self._options.text is not None else self._said.policy)
        if call.request.provider is None:
            self._provided_by(call, self._reader.provider)

    @staticmethod
    def _provided_by(call: Call, name: str | None) -> None:
        known = providers.find(name) if name is not None else None
        if known is not None:
            call.request = call.request._replace(provider=known.name)

    def _read(self, reader: readers.Reader, answer: Answer, item: T, call: Call) -> None:
        answer.begin()
        reader.read(item, answer)
        call.named = answer.model
        if answer.usage is not None:
            if answer.usage_adds:
                call.add_report(answer.usage)
            else:
                call.reported = answer.usage
        if answer.has_content:
            call.add_chunk(type(self).clock(), answer.fresh)
            text = self._options.text
            fresh = answer.fresh
            self._read_text(call, (lambda _: fresh) if text is None else text, item)

    def _read_text(self, call: Call, text: Callable[[Any], str], item: object) -> None:
        counter = self._options.settings.token_counter
        if call.text is not None or counter is not None:
            call.read(text(item), counter)

    def _end(self, outcome: Outcome, error: BaseException | None = None) -> None:
        """End the run. Only the first call has an effect."""
        pulling, self._pulling = self._pulling, None
        if pulling is not None:
            pulling.end()
        call, self._call = self._call, None
        is_live, self._is_live = self._is_live, False
        if not is_live or self._id is None:
            return
        # Without the stream itself, which may be about to go.
        said, runs, id = self._said, self._runs, self._id
        self._said = Said(NOTHING)

        def finish() -> None:
            try:
                if call is not None:
                    call.take_what_was_said()  # here, not as the run ends: `redact` is called without the tree's lock
            finally:  # Ctrl-C or a time limit may arrive while `redact` runs
                failed = outcome == "completed" and said.answer is not None and said.answer.failed
                runs.end(id, "failed" if failed else outcome, error)

        with contained("track_stream"):
            # `redact` is the user's code, which must not run while garbage is collected.
            if not (interpreter.is_collecting() and silent_ends.do_aside(finish, current_client())):
                finish()
                self._info = known_runs.find(id)

    def _failed(self, error: BaseException) -> None:
        self._end(marks.outcome(error), error)

    def _left(self, error: BaseException | None) -> None:
        """The consumer leaves, or fails. Only what cancels its task cancels the stream; else it was abandoned."""
        outcome = marks.outcome(error) if error is not None else "abandoned"
        self._end(outcome if outcome == "cancelled" else "abandoned")

    def __del__(self) -> None:
        # The consumer left without closing the stream.
        if getattr(self, "_is_live", False):
            self._end("abandoned")


def policy_of(stream: Tracked[Any]) -> Policy:
    """What may be recorded of a stream with the current client."""
    return stream._runs.policy(current_client())


with contained("other integrations"):
    if not other_integrations.is_installed():  # without the handler, whose rules are more
        model_integrations.silence_during(active_span.is_calling)
        other_integrations.install()
    joining.watch()
    forks.watch()
