"""What holds for a run because one of the handlers that see it says so, whatever else is allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce

from .._content.policy import Policy
from .._to_sentry.client import current_client
from .run import Keeper


def redact_of(keepers: Iterable[Keeper]) -> Callable[[str], str] | None:
    """Return the `redact` of everybody who sees a run, one after another, or `None` if nobody has one.

    Args:
        keepers: The live runs of the handlers that see it, in the order in which they have seen its start.
    """
    settings = [
        each
        for keeper in keepers
        for each in (keeper.others(current_client()) if keeper.others is not None else None, keeper.settings)
        if each is not None
    ]
    return reduce(Policy.and_, (Policy(redact=each.redact) for each in settings), Policy()).redact
