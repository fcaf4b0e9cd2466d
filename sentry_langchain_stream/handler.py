"""`SentryStreamHandler`: its arguments, and what it knows of its runs. What LangChain calls is in its base class."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, cast
from uuid import UUID

from ._from_langchain import followed
from ._from_langchain import internals as langchain_internals
from ._from_langchain.graphs import graph_handlers, joined
from ._from_langchain.hooks import Hooks
from ._runtime.containment import contained
from ._to_sentry import forks
from ._to_sentry import internals as sentry_internals

P = ParamSpec("P")

if TYPE_CHECKING:
    from ._content.policy import Limits
    from ._runs.run_info import RunInfo
    from ._runs.watches import WatchedRuns
    from ._vocabulary.keys import Dialect


def _with_environment(init: Callable[Concatenate[Any, P], None]) -> Callable[Concatenate[Any, P], None]:
    """Complete the arguments of the constructor with those in the environment."""

    @wraps(init)
    def completed(self: Any, *args: P.args, **settings: P.kwargs) -> None:
        from ._runs.environment import with_environment

        given = {**settings, **dict(zip(("pipeline_name",), args, strict=False))}
        complete: Any = {name: value for name, value in with_environment(given).items() if name not in given}
        init(self, *args, **complete, **settings)

    return cast(Callable[Concatenate[Any, P], None], completed)


class SentryStreamHandler(Hooks):
    """Turns the runs of LangChain chains, agents and models into Sentry spans.

    Make one instance for the whole process. Pass it as `config={"callbacks": [handler]}` to any runnable, sync or
    async, or to a model's constructor. Without a Sentry client the handler does nothing. An argument that is left out
    may come from the environment: `SENTRY_LANGCHAIN_PIPELINE_NAME`, `SENTRY_LANGCHAIN_INCLUDE_PROMPTS`, and so on.

    Args:
        pipeline_name: Name of the pipeline. If it is left out, the name is the first of these that is set: the run
            metadata's `pipeline_name`, Sentry's own pipeline name, the name of the root run, `"langchain"`.
        dialect: `"gen_ai"` for current Sentry, `"ai"` for the LLM Monitoring convention of 2024 and older self-hosted
            Sentry. It selects the span ops and names. Most attributes of both dialects are always sent.
        include_prompts: `False` turns off the recording of prompts and answers. With `True` they are recorded only if
            the Sentry client allows it too (`data_collection` or `send_default_pii`).
        redact: Called with each whole text before it is recorded. The text that it returns is recorded instead. If it
            raises, the text is dropped.
        token_counter: Counts the tokens of a text. It is used for the estimate if the provider reports no usage, and is
            called with the answer chunk by chunk.
        capture_errors: Link the issue of a failed run to its span, and report a failure that nobody else reports. With
            `False` issues are left alone.
        max_live_runs: The maximum number of live runs. When it is reached, the oldest ones are ended.
        max_idle_seconds: A run without an event for this long is ended, because LangChain does not signal every end.
        cost: Record the cost of each call in USD, for a Sentry that does not compute costs. Needs the extra `cost`.
        metrics: Record each call as metrics too, even if its trace is not sampled.
        chains: Give every chain a span, not only the root: prompts, parsers, lambdas, the nodes of a graph.
        nesting: Make a run's span the active one for the code inside the run, so that Sentry's http and db spans, and
            your own spans, become its children.
        memory: Record reads and writes of LangGraph stores in the runs of this handler. Needs `langgraph`.
        checkpoints: Record saves and loads of LangGraph checkpointers in the runs of this handler. Needs `langgraph`.
        metadata_keys: The keys of a run's metadata to record, as `langchain_stream.metadata.<key>`. They are recorded
            only if inputs may be.
        user_key: The key of a run's metadata whose value is the user's id, such as `"user_id"`. It becomes `user.id` of
            the run's spans where `sentry_sdk.set_user` was not called, whether or not content may be recorded.
        prompt_variables: The variables of prompts to record on the model's span, as `gen_ai.prompt.variable.<name>`.
            They are recorded only if inputs may be.
        limits: How much content is recorded. The default is `Limits()`.

    Raises:
        ImportError: `cost` is set, and its extra is not installed; or `memory` or `checkpoints` is set, and
            `langgraph` is not.
        TypeError: An argument has the wrong type.
        ValueError: An argument has a value that is not allowed.
    """

    _made_from: type[SentryStreamHandler]

    clock: Callable[[], float] = staticmethod(time.perf_counter)
    """The monotonic clock for all durations, in seconds."""

    def __new__(cls, *args: Any, **kwargs: Any) -> SentryStreamHandler:
        """Make an instance that hears of LangGraph's interrupts."""
        made = cast(SentryStreamHandler, super().__new__(joined(cast(Any, cls), *graph_handlers())))
        made._made_from = cls
        return made

    @_with_environment
    def __init__(
        self,
        pipeline_name: str | None = None,
        *,
        dialect: Dialect = "gen_ai",
        include_prompts: bool = True,
        redact: Callable[[str], str] | None = None,
        token_counter: Callable[[str], float] | None = None,
        capture_errors: bool = True,
        max_live_runs: int = 50_000,
        max_idle_seconds: float = 3_600.0,
        cost: bool = False,
        metrics: bool = False,
        chains: bool = False,
        nesting: bool = True,
        memory: bool = False,
        checkpoints: bool = False,
        metadata_keys: Collection[str] = (),
        user_key: str | None = None,
        prompt_variables: Collection[str] = (),
        limits: Limits | None = None,
    ) -> None:
        # Most modules of this package are imported here, with the first handler: see "Import" in docs/performance.md.
        from ._from_langchain.engine import Engine
        from ._runs.settings import Settings

        before = frozenset(vars(self)) - {"_made_from"}  # a subclass may set attributes first
        settings = Settings(
            pipeline_name=pipeline_name,
            dialect=dialect,
            include_prompts=include_prompts,
            redact=redact,
            token_counter=token_counter,
            capture_errors=capture_errors,
            max_live_runs=max_live_runs,
            max_idle_seconds=max_idle_seconds,
            cost=cost,
            metrics=metrics,
            chains=chains,
            nesting=nesting,
            memory=memory,
            checkpoints=checkpoints,
            metadata_keys=metadata_keys,
            user_key=user_key,
            prompt_variables=prompt_variables,
            limits=limits,
        )
        sentry_internals.report_missing()
        langchain_internals.report_missing()
        if memory:
            from ._from_langchain import memory as stores

            stores.install()
        if checkpoints:
            from ._from_langchain import checkpoints as checkpointers

            checkpointers.install()
        self._settings = settings
        self._hand_to(Engine(settings, type(self).clock))
        self._own = frozenset({*vars(self), "_own"} - before)

    def __copy__(self) -> SentryStreamHandler:
        """Return the handler itself, because a copy would not know the live runs."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> SentryStreamHandler:
        """Return the handler itself, see `__copy__`."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings, and the attributes that a subclass has added. Live runs are not pickled.

        As usual in Python, unpickling does not call the subclass's own `__init__`, and a subclass chooses with
        `__getstate__` and `__setstate__` which of its attributes are pickled.
        """
        # Settings may refer to the handler: `redact=self.scrub`. So they are a part of the state, and no argument.
        state = self._settings.as_arguments(), self.__getstate__()
        return _remake, (self._made_from,), state, None, None, _restore

    def __getstate__(self) -> Any:
        """Return the attributes that are not this class's own."""
        return {name: value for name, value in vars(self).items() if name not in self._own}

    def __setstate__(self, state: Any) -> None:
        """Restore these attributes."""
        vars(self).update(state)

    @property
    def live_runs(self) -> int:
        """The number of runs that have started and not ended."""
        return len(self._runs)

    def watch(self) -> WatchedRuns:
        """Watch the root runs of a block that this handler follows. Use it with `with`, see `watch_runs`."""
        from ._runs.watches import WatchedRuns

        return WatchedRuns(self._runs)

    def run_info(self, run_id: UUID | str) -> RunInfo | None:
        """Return what is known of a run: of a live one, or of one of the latest 200 root runs that have ended.

        Args:
            run_id: LangChain's run id, which you can choose: `config={"run_id": uuid4(), ...}`. Or the text of it, as
                from a header.

        Returns:
            What is known, or `None` if the run is not known.

        Raises:
            TypeError: `run_id` is neither.
            ValueError: `run_id` is a text that is no UUID.
        """
        if isinstance(run_id, str):
            try:
                run_id = UUID(run_id.strip())
            except ValueError:
                raise ValueError(f"run_id must be a UUID, not {run_id!r}") from None
        elif not isinstance(run_id, UUID):
            raise TypeError(f"run_id must be a UUID or the text of one, not {type(run_id).__name__}")
        from ._from_langchain import same_ids
        from ._runs import known_runs
        from ._runs.numbers import number

        run = self._runs.get(number(same_ids.enclosing_own(run_id)))
        return known_runs.find(run_id) if run is None else known_runs.info(run, type(self).clock())


# `inspect` asks `__new__` first, whose arguments are those of `__init__`.
SentryStreamHandler.__new__.__signature__ = signature(SentryStreamHandler.__init__)  # type: ignore[attr-defined]


def _remake(cls: type[SentryStreamHandler]) -> SentryStreamHandler:
    return cls.__new__(cls)


def _restore(made: SentryStreamHandler, state: tuple[dict[str, Any], Any]) -> None:
    settings, own = state
    SentryStreamHandler.__init__(made, **settings)
    if own:
        made.__setstate__(own)


with contained("other integrations"):
    followed.silence_integrations(SentryStreamHandler)
forks.watch()
