"""The user that a run is for, from its metadata."""

from __future__ import annotations

from collections.abc import Callable

from .._content.labels import short, user_id
from .._content.policy import Policy
from .._to_sentry.client import has_user
from .._vocabulary.keys import USER
from .run import Run
from .start import Said, Start

Redact = Callable[[str], str] | None


def read(start: Start, key: str | None, redact: Redact, above: Run | None) -> tuple[str | None, str | None]:
    """Return the user of a run that is about to start, and what its config says of the user of the run around it.

    There is none if the application has set one with `sentry_sdk.set_user`.

    Args:
        start: The start of the run.
        key: The key of the metadata under which the user is.
        redact: That of everybody who sees the run.
        above: The run around it, if the config says something of that.
    """
    if key is None or key not in start.metadata or has_user():
        return None, None
    is_asked = above is not None and USER not in above.labels
    return user_id(start.metadata, key, redact), user_id(start.configured, key, redact) if is_asked else None


def read_again(run: Run, redact: Redact) -> str | None:
    """Return the user of a run that another handler takes over, which knows no key of it but has a `redact`."""
    found = run.labels.get(USER)
    return short(found, Policy(redact=redact)) if isinstance(found, str) and redact is not None else None


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
