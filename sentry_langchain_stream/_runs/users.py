"""The user that a run is for, from its metadata."""

from __future__ import annotations

from .._content.labels import user_id
from .._to_sentry.client import has_user
from .._vocabulary.keys import USER
from .run import Run
from .settings import Settings
from .start import Start


def name(run: Run, start: Start, settings: Settings) -> None:
    """Record the user of a run that starts, unless the application has set one with `sentry_sdk.set_user`.

    Args:
        run: The run.
        start: Its start.
        settings: The settings of its handler, with `user_key`.
    """
    key = settings.user_key
    if key is None or key not in start.metadata or not run.place.recording or has_user():
        return
    found = user_id(start.metadata, key, settings.redact)
    if found is None:
        return
    run.labels = {**run.labels, USER: found}
    parent = run.parent
    # The pipeline around a call without a parent has no metadata of its own. And a chain may have been started with
    # less than LangChain hands to its children, see `labelling.complete`.
    if parent is None or USER in parent.labels:
        return
    if not parent.implicit:
        own = user_id(start.configured, key, settings.redact) if parent.id == start.configured_by else None
        if own is None:
            return
        found = own
    parent.labels = {**parent.labels, USER: found}
