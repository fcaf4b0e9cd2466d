"""The user that a run is for, from its metadata."""

from __future__ import annotations

from .._content.labels import user_id
from .._to_sentry.client import has_user
from .._vocabulary.keys import USER
from .run import Run
from .settings import Settings
from .start import Said, Start


def read(start: Start, settings: Settings, *, is_above: bool) -> tuple[str | None, str | None]:
    """Return the user of a run that is about to start, and what its config says of the user of the run around it.

    There is none if the application has set one with `sentry_sdk.set_user`.

    Args:
        start: The start of the run.
        settings: The settings of its handler.
        is_above: Whether its config says something of the run around it.
    """
    key = settings.user_key
    if key is None or key not in start.metadata or has_user():
        return None, None
    above = user_id(start.configured, key, settings.redact) if is_above else None
    return user_id(start.metadata, key, settings.redact), above


def name(run: Run, said: Said) -> None:
    """Record the user of a run that starts.

    Args:
        run: The run.
        said: What the application says of it, its user too.
    """
    found = said.user
    if found is None:
        return
    run.labels = {**run.labels, USER: found}
    parent = run.parent
    # The pipeline around a call without a parent has no metadata of its own. And a chain may have been started with
    # less than LangChain hands to its children, see `labelling.complete`.
    if parent is None or USER in parent.labels:
        return
    if not parent.implicit:
        if said.user_above is None:
            return
        found = said.user_above
    parent.labels = {**parent.labels, USER: found}
