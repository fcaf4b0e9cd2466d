"""What is known of runs: of live ones, and of the latest that have ended."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from uuid import UUID

from .._content.policy import Policy
from . import enclosing, watches
from .kinds import Outcome, RunKind
from .numbers import Number, number
from .run import Run
from .run_info import RunInfo, Terms
from .texts_call import TextsCall
from .usage import Usage
from .vetoes import redact_of

_MOST = 200
"""How many runs that have ended are remembered, to be found by their id."""

_Values = tuple[
    UUID,
    RunKind,
    str | None,
    str,
    str | None,
    str | None,
    tuple[str, str] | None,
    Outcome | None,
    str | None,
    float | None,
    int,
    Usage | None,
    float | None,
]
"""What the fields of a `RunInfo` are made of, in the order in which `_made` names them.

It is a plain tuple, because one is made for each root run that ends, while a `RunInfo` is seldom asked for: no function
is called to make a plain tuple, unlike a `NamedTuple`.
"""

_Known = tuple[_Values, Policy, Callable[[str], str] | None]
"""These values, what may be recorded of the run, and the `redact` of everybody who sees it."""

_ended: OrderedDict[Number, _Known] = OrderedDict()


def ended(run: Run, now: float) -> None:
    """Remember a root run that has ended for `find`, and add it to the blocks that watch it."""
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
        watches.add(_made(*known), (run.keeper, *run.seen_by), run.tree.watches, is_priced=not run.tree.unpriced)


def find(run_id: UUID) -> RunInfo | None:
    """Return what is known of one of the latest root runs that have ended, or `None`."""
    known = _ended.get(number(run_id))
    return _made(*known) if known is not None else None


def info(run: Run, now: float) -> RunInfo:
    """Return what is known of a run that is still running.

    Args:
        run: The run.
        now: The time, in seconds of the handler's clock.
    """
    return _made(*_known(run, now, is_live=True))


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
        seconds, calls, usage = monotonic() - tree.started, tree.calls, tree.usage
        cost = None if tree.unpriced else tree.cost  # a part would look like all
    place, keeper = run.place, run.keeper
    span = place.span if place.recording and place.span is place.anchor else None  # else `ignore_spans` has dropped it
    values = (
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
    return values, run.policy, keeper.settings.redact if is_alone else _redact(run)


def _made(values: _Values, policy: Policy, redact: Callable[[str], str] | None) -> RunInfo:
    run_id, kind, name, pipeline, conversation, model, span, outcome, error_type, seconds, calls, usage, cost = values
    trace_id, span_id = span or (None, None)
    found = RunInfo(
        run_id=run_id,
        kind=kind,
        name=name,
        pipeline=pipeline,
        conversation_id=conversation,
        model=model,
        trace_id=trace_id,
        span_id=span_id,
        outcome=outcome,
        error_type=error_type,
        seconds=seconds,
        model_calls=calls,
        input_tokens=usage.input if usage is not None else None,
        output_tokens=usage.output if usage is not None else None,
        total_tokens=usage.total if usage is not None else None,
        usage_source=usage.source if usage is not None else None,
        cost=cost,
    )
    object.__setattr__(found, "policy_", policy)  # the class is frozen
    object.__setattr__(found, "redact_", redact)
    return found


def _redact(run: Run) -> Callable[[str], str] | None:
    """The `redact` of everybody who sees a run, one after another, whatever the client allows."""
    policy = run.policy
    if policy.redact is not None and (policy.inputs or policy.outputs):
        return policy.redact  # that of all of them, and that of a run around it
    return redact_of((*run.seen_by, run.keeper))


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
