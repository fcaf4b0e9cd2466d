"""Brings what is known of a prompt to the model call that it is for."""

from __future__ import annotations

from .._content.prompts import FilledPrompt, prompt_attributes
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
    if start.is_prompt:
        if parent is None or not parent.place.recording:
            return
        known = prompt_attributes(start.prompt, parent.policy) if start.prompt is not None else {}
        parent.prompt = FilledPrompt(known)
    elif run.kind == "chain":
        run.prompt = parent.prompt if parent is not None else None
    elif run.kind == "model":
        filled = parent.prompt if parent is not None else None
        known = prompt_attributes(start.prompt, run.policy) if start.prompt is not None else {}
        again = start.attempt is not None or run.fallback is not None
        if filled is not None and (again or not filled.used):
            filled.used = True
            known = {**known, **filled.attributes} if filled.attributes else known
        if known:
            run.labels = {**run.labels, **known}
