"""Who watches the runs of a block."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import Any, overload

from .run_info import RunInfo


class WatchedRuns(Sequence[RunInfo]):
    """The root runs that have ended in a block, in the order of their ends. Made by `watch_runs`.

    Runs in threads and tasks that the block starts are among them if their context is a copy of the block's, as it is
    for asyncio's tasks and for LangChain's own threads. Runs that end after the block are not.
    """

    def __init__(self, keeper: object = None) -> None:
        self._keeper = keeper
        self._runs: list[RunInfo] = []
        self._is_priced = True
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

    def _add(self, found: RunInfo, keepers: Collection[object], is_priced: bool) -> None:
        # Without a lock: garbage collection may end a run in the midst of this, and a fork would copy a held lock.
        if self._open and (self._keeper is None or self._keeper in keepers):
            self._runs.append(found)
            self._is_priced = self._is_priced and is_priced

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
        """What they cost in USD, or `None` if that is not known of all that used tokens: a part would look like all."""
        known = [each.cost for each in self if each.cost is not None]
        return sum(known) if known and self._is_priced else None


_watches: ContextVar[tuple[WatchedRuns, ...]] = ContextVar("sentry_langchain_stream_watches", default=())
current = _watches.get
"""Returns who watches the runs that start here."""


def watch_runs() -> WatchedRuns:
    """Watch the root runs of a block, whichever handler follows them. Use it with `with`.

    ```python
    with watch_runs() as runs:
        chain.invoke(question)
    print(runs.total_tokens, runs[0].url("https://acme.sentry.io"))
    ```
    """
    return WatchedRuns()


def add(found: RunInfo, keepers: Collection[object], watching: Iterable[WatchedRuns], *, is_priced: bool) -> None:
    """Add a root run that has ended to the blocks that watch it.

    Args:
        found: What is known of the run.
        keepers: The live runs of each handler that has seen it.
        watching: The blocks in which its tree started.
        is_priced: Whether the price is known of all that its tree has used.
    """
    for each in watching:
        each._add(found, keepers, is_priced)


def _sum(numbers: list[int | None]) -> int | None:
    known = [each for each in numbers if each is not None]
    return sum(known) if known else None
