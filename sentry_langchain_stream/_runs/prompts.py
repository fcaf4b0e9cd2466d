"""Brings what is known of a prompt to the model call that it is for."""

from __future__ import annotations

from .._content.prompts import FilledPrompt
from .run import Run
from .start import Start


def carry(run: Run, start: Start, parent: Run | None) -> None:
    """Note a prompt that is filled in below this parent, hand it to a chain that follows, or record it on a model.

    A prompt is for the first model call after it in the same chain, also one inside a step of the chain, and for the
    attempts to repeat that call. The prompt of an agent's caller is none of the agent's own calls.

    Args:
        run: The run that starts.
        start: Its start.
        parent: Its parent, if it has one.
    """
    known = start.said.prompt if start.said is not None else {}
    if start.is_prompt:
        if parent is None or not parent.place.recording:
            return
        parent.prompt = FilledPrompt(known)
    elif run.kind == "chain":
        run.prompt = parent.prompt if parent is not None else None
    elif run.kind == "model":
        filled = parent.prompt if parent is not None else None
        again = start.attempt is not None or run.fallback is not None
        if filled is not None and (again or not filled.used):
            filled.used = True
            known = {**known, **filled.attributes} if filled.attributes else known
        if known:
            run.labels = {**run.labels, **known}
