"""Adds up what model calls have used: in their agents, and in their trees."""

from __future__ import annotations

from .._runtime.containment import contain
from .._vocabulary import providers
from .call import Call, TextsCall
from .details import Agent
from .run import Run
from .usage import Usage

_MOST_WITHIN = 64


def settle(run: Run, call: Call) -> None:
    """Settle the usage of a call that has ended, and add it to every agent that the call belongs to.

    Embedded texts are no part of it. Neither is the usage of a model that calls others in its own method if it reports
    theirs as its own, or is nothing but an estimate beside theirs: of a class that no provider is known of.
    """
    try:
        used = call.settled = call.usage()
        if used is None or isinstance(call, TextsCall):
            return
        call.repeats_others = bool(call.within) and _is_repetition(call, used)
        around, caller = run.parent, None
        while around is not None:
            if caller is None and around.call is not None:
                caller = around.call
                caller.within = (*caller.within[1 - _MOST_WITHIN :], used)
            if not call.repeats_others and isinstance(around.detail, Agent):
                around.detail.add(used)
            around = around.parent
    except Exception as error:
        contain("usage", error)


def _is_repetition(call: Call, used: Usage) -> bool:
    if used.source == "estimate":
        return call.request.provider not in providers.NAMES
    summed = Usage.together(call.within)
    return any(each is not None and each[:_NUMBERS] == used[:_NUMBERS] for each in (*call.within, summed))


_NUMBERS = Usage._fields.index("total") + 1


def count(run: Run, call: Call) -> None:
    """Add a model call that has ended to the numbers of its tree."""
    tree = run.tree
    tree.calls += 1
    if call.repeats_others:
        return
    if call.cost is not None:
        tree.cost = (tree.cost or 0.0) + call.cost.whole
    used = None if isinstance(call, TextsCall) else call.settled
    if used is not None:
        tree.usage = used if tree.usage is None else Usage.together((tree.usage, used))
