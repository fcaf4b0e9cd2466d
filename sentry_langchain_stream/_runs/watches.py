"""Who watches the runs of a block, and which runs have ended: what the application may ask for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import reduce
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload
from uuid import UUID

from .._content.policy import Policy
from .._to_sentry.client import current_client
from . import enclosing
from .call import TextsCall
from .numbers import Number, number
from .run_info import RunInfo, Terms, made
from .usage import Usage

if TYPE_CHECKING:
    from .call import Call
    from .run import Run

_MOST = 200
"""How many runs that have ended are remembered, to be found by their id."""


class WatchedRuns(Sequence[RunInfo]):
    """The root runs that have ended in a block, in the order of their ends. Made by `watch_runs`.

    Runs in threads and tasks that the block starts are among them if their context is a copy of the block's, as it is
    for asyncio's tasks and for LangChain's own threads. Runs that end after the block are not.
    """

    def __init__(self, keeper: object = None) -> None:
        self._keeper = keeper
        self._runs: list[RunInfo] = []
        self._open = False

    def __enter__(self) -> WatchedRuns:
        self._open = True
        _watches.set((*_watches.get(), self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        _watches.set(tuple(each for each in _watches.get() if each is not self))

    def _add(self, run: Run, found: RunInfo) -> None:
        # Without a lock: garbage collection may end a run in the midst of this, and a fork would copy a held lock.
        if self._open and self._keeper in (None, run.keeper, *run.seen_by):
            self._runs.append(found)

    @overload
    def __getitem__(self, index: int) -> RunInfo: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[RunInfo]: ...
    def __getitem__(self, index: Any) -> Any:
        return self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[RunInfo]:
        return iter(list(self._runs))

    def __repr__(self) -> str:
        return f"<{len(self)} runs, {self.model_calls} model calls, {self.total_tokens} tokens>"

    @property
    def model_calls(self) -> int:
        """How many model calls have ended in these runs."""
        return sum(each.model_calls for each in self)

    @property
    def input_tokens(self) -> int | None:
        """Their input tokens, or `None` if no run has any."""
        return _sum([each.input_tokens for each in self])

    @property
    def output_tokens(self) -> int | None:
        """Their output tokens, or `None` if no run has any."""
        return _sum([each.output_tokens for each in self])

    @property
    def total_tokens(self) -> int | None:
        """Their tokens, or `None` if no run has any."""
        return _sum([each.total_tokens for each in self])

    @property
    def cost(self) -> float | None:
        """What they cost in USD, or `None` if no run has a cost."""
        known = [each.cost for each in self if each.cost is not None]
        return sum(known) if known else None


_watches: ContextVar[tuple[WatchedRuns, ...]] = ContextVar("sentry_langchain_stream_watches", default=())
current = _watches.get
"""Returns who watches the runs that start here."""

_Known = tuple[tuple[Any, ...], Policy, "Callable[[str], str] | None"]
"""What a `RunInfo` is made of, which is seldom asked for, and what else it holds."""

_ended: OrderedDict[Number, _Known] = OrderedDict()


def watch_runs() -> WatchedRuns:
    """Watch the root runs of a block, whichever handler follows them. Use it with `with`.

    ```python
    with watch_runs() as runs:
        chain.invoke(question)
    print(runs.total_tokens, runs[0].url("https://acme.sentry.io"))
    ```
    """
    return WatchedRuns()


def count(run: Run, call: Call) -> None:
    """Add a model call that has ended to the numbers of its tree."""
    tree = run.tree
    tree.calls += 1
    if call.cost is not None:
        tree.cost = (tree.cost or 0.0) + call.cost.whole
    used = None if isinstance(call, TextsCall) else call.settled
    if used is not None:
        tree.usage = used if tree.usage is None else Usage.together((tree.usage, used))


def ended(run: Run, now: float) -> None:
    """Tell who watches a root run that it has ended, and remember it for `find`."""
    if run.implicit:
        return
    own = run.number if run.given_id is None else number(run.given_id)
    known = _known(run, now, is_live=False)
    _ended.pop(own, None)  # an id that is used again would keep its place among the oldest
    _ended[own] = known
    try:
        while len(_ended) > _MOST:
            _ended.popitem(last=False)
    except KeyError:  # another thread has emptied it
        pass
    if run.tree.watches:
        found = made(*known)
        for watch in run.tree.watches:
            watch._add(run, found)


def find(run_id: UUID) -> RunInfo | None:
    """Return what is known of one of the latest root runs that have ended, or `None`."""
    known = _ended.get(number(run_id))
    return made(*known) if known is not None else None


def info(run: Run, now: float) -> RunInfo:
    """Return what is known of a run that is still running.

    Args:
        run: The run.
        now: The time, in seconds of the handler's clock.
    """
    return made(*_known(run, now, is_live=True))


def _known(run: Run, now: float, *, is_live: bool) -> _Known:
    call, tree, ending = run.call, run.tree, run.ending
    model = seconds = usage = cost = None
    calls = 0
    if call is not None:
        model = call.response.model or call.named or call.request.model  # `answered_by` is one call more per root run
        seconds, calls = now - call.started, int(not is_live)
        usage = None if isinstance(call, TextsCall) else call.usage()
        cost = call.cost.whole if call.cost is not None else None
    elif run.parent is None or run.parent.implicit:
        seconds, calls, usage, cost = monotonic() - tree.started, tree.calls, tree.usage, tree.cost
    span, keeper = run.place.span if run.place.recording else None, run.keeper
    known = (
        run.given_id or run.id,
        run.kind,
        run.name,
        run.pipeline,
        run.conversation,
        model,
        None if span is None else (span.trace_id, span.span_id),
        None if is_live else ending.outcome,
        ending.error_type,
        seconds,
        calls,
        usage,
        cost,
    )
    is_alone = not run.seen_by and keeper.others is None
    return known, run.policy, keeper.settings.redact if is_alone else _redact(run)


def _redact(run: Run) -> Callable[[str], str] | None:
    """The `redact` of everybody who sees a run, one after another, whatever the client allows."""
    if run.policy.redact is not None:  # which is that of all of them, and that of a run around it
        return run.policy.redact
    keepers = (*run.seen_by, run.keeper)
    others = [each.others(current_client()) for each in keepers if each.others is not None]
    every = [*filter(None, others), *(each.settings for each in keepers)]
    return reduce(Policy.and_, [Policy(redact=each.redact) for each in every]).redact


def terms_of(info: RunInfo) -> Terms | None:
    """Return what may be recorded of a run, or `None` if that is not known.

    That is so in another process, and later of one that was pickled or made by `dataclasses.replace`.
    """
    policy: Policy | None = getattr(info, "policy_", None)
    redact = getattr(info, "redact_", None)
    if policy is None:
        own = number(info.run_id)
        if (known := _ended.get(own)) is not None:
            _, policy, redact = known
        elif (run := enclosing.get(own)) is not None:
            policy, redact = run.policy, _redact(run)
        else:
            return None
    return Terms(policy.outputs, redact, policy.limits)


def _sum(numbers: list[int | None]) -> int | None:
    known = [each for each in numbers if each is not None]
    return sum(known) if known else None
