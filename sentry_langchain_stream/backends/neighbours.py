"""Living with Sentry's own integrations: exactly one model span per call."""

from __future__ import annotations

from functools import cache

import sentry_sdk
from sentry_sdk.integrations import DidNotEnable

from ..containment import warn_once


def warn_of_rival(integration: str | None) -> None:
    """Warn, once, if a Sentry integration traces this provider's client library besides us.

    Sentry's LangchainIntegration, on by default, keeps some of these off; with it disabled they are back.
    """
    if integration is None or integration not in sentry_sdk.get_client().integrations:
        return
    warn_once(
        f"rival {integration}",
        "Sentry's %r integration is active too, so model calls appear twice in Sentry, and their tokens and cost count "
        "twice. Pass it in disabled_integrations=[...] to sentry_sdk.init; or, if it is openai, anthropic or "
        "google_genai, leave Sentry's LangchainIntegration enabled, which keeps it off.",
        integration,
    )


@cache
def deduplication_base() -> type | None:
    """The class that makes Sentry's own LangchainIntegration leave a call to us.

    The integration adds its own handler to every LangChain call, and with it a second model span, unless an
    instance of its handler class is there already. Ours is one, therefore. Importing it takes 0.4 to 1.4 s,
    because it loads whatever provider packages are installed; `sentry_sdk.init` has done that by default.
    """
    try:
        from sentry_sdk.integrations.langchain import SentryLangchainCallback
    except (ImportError, DidNotEnable):
        warn_once(
            "deduplication",
            "Sentry's LangChain handler class cannot be imported; if Sentry's LangchainIntegration is enabled, "
            "every model call appears twice in Sentry. Disable it in sentry_sdk.init.",
        )
        return None
    return SentryLangchainCallback


@cache
def deduplicated(cls: type) -> type:
    """A handler's class, mixed with Sentry's handler class where there is one."""
    base = deduplication_base()
    if base is None or issubclass(cls, base):
        return cls
    return type(cls.__name__, (cls, base), {"__module__": cls.__module__, "__doc__": cls.__doc__})
