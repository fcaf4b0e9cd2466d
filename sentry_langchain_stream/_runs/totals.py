"""Adds up what model calls have used: in their agents, and in their trees."""

from __future__ import annotations

from .._runtime.containment import contain
from .._vocabulary import providers
from .call import Call
from .details import Agent
from .run import Run
from .texts_call import TextsCall
from .usage import Usage

_MOST_WITHIN = 64


def settle(run: Run, call: Call) -> None:
    """Settle the usage of a call that has ended, and add it to every agent that the call belongs to.

    Embedded texts are no part of it. Neither is the usage of a model that calls others in its own method if it reports
    theirs as its own, or is nothing but an estimate beside theirs. A model of a provider that is known has used tokens
    itself, unless it hands on the answer of one of the others.
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
                _add_within(caller, run, call, used)
            if not call.repeats_others and isinstance(around.detail, Agent):
                around.detail.add(used)
            around = around.parent
    except Exception as error:
        contain("usage", error)


def _is_repetition(call: Call, used: Usage) -> bool:
    if call.request.provider in providers.NAMES and not call.hands_on:
        return False
    if used.source == "estimate":
        return True
    summed = Usage.together(call.within)
    return any(each is not None and each[:_NUMBERS] == used[:_NUMBERS] for each in (*call.within, summed))


_NUMBERS = Usage._fields.index("total") + 1


def _add_within(caller: Call, run: Run, call: Call, used: Usage) -> None:
    """Add a call to those that a model has made in its own method. Whoever hands it on hands on what it repeats."""
    own_ids = (str(run.given_id or run.id), *filter(None, (call.response.id,)))
    repeated_ids = call.within_ids if call.repeats_others else ()
    numbers = call.within if call.repeats_others and used.source == "estimate" else (used,)
    caller.within = (*caller.within, *numbers)[-_MOST_WITHIN:]
    caller.within_ids = (*caller.within_ids, *repeated_ids, *own_ids)[-_MOST_WITHIN:]


def count(run: Run, call: Call) -> None:
    """Add a model call that has ended to the numbers of its tree."""
    tree = run.tree
    tree.calls += 1
    if call.repeats_others:
        return
    used = call.settled
    if call.cost is not None:
        tree.cost = (tree.cost or 0.0) + call.cost.whole
    elif (used is not None and used.total) or (call.request.operation == "rerank" and call.finished):
        tree.unpriced = True  # a reranker has no tokens, but its calls have a price
    if used is not None and not isinstance(call, TextsCall):
        tree.usage = used if tree.usage is None else Usage.together((tree.usage, used))
