"""Living with Sentry's own integrations: exactly one model span per call."""

from __future__ import annotations

from functools import cache
from typing import Any

import sentry_sdk
from sentry_sdk.integrations import DidNotEnable

from ..containment import warn_once

LANGGRAPH = "auto.ai.langgraph"
"""The origin of the spans of Sentry's LanggraphIntegration."""


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


def is_sentrys_handler(handler: object) -> bool:
    """Whether a handler is one that Sentry's LangchainIntegration takes for its own."""
    base = deduplication_base()
    return base is not None and isinstance(handler, base)


@cache
def deduplicated(cls: type) -> type:
    """A handler's class, mixed with Sentry's handler class where there is one."""
    base = deduplication_base()
    if base is None or issubclass(cls, base):
        return cls
    return type(cls.__name__, (cls, base), {"__module__": cls.__module__, "__doc__": cls.__doc__})


def opened_by_langgraph(span: Any) -> bool:
    """Whether a span is the one that Sentry's LanggraphIntegration opens around the `invoke` of a graph."""
    if getattr(span, "origin", None) == LANGGRAPH:
        return bool(getattr(span, "op", None) == "gen_ai.invoke_agent")
    attributes = getattr(span, "_attributes", None) or {}
    return attributes.get("sentry.origin") == LANGGRAPH


def take_over(span: Any) -> None:
    """Take the messages that the integration has recorded off its span: we record them, under our policy."""
    for key in _CONTENT:
        if hasattr(span, "remove_attribute"):
            span.remove_attribute(key)
        else:
            span._data.pop(key, None)


def seal(span: Any) -> None:
    """Keep a span as we have left it; the integration, which ends it, would state its own view after ours.

    It would record the answer without the user's `redact`, the usage a second time, and an error where a run was
    cancelled. Instances of the SDK's span classes have no room for a method, so the span gets another class.
    """
    sealed: Any = _sealed(span.__class__)
    span.__class__ = sealed


_CONTENT = ("gen_ai.request.messages", "gen_ai.response.text", "gen_ai.response.tool_calls")


@cache
def _sealed(cls: Any) -> type:
    def open_to(key: str) -> bool:
        return not key.startswith("gen_ai.") or key == "gen_ai.conversation.id"

    def keep(name: str) -> Any:
        original = getattr(cls, name)

        def set_one(self: Any, key: str, value: Any) -> None:
            if open_to(key):
                original(self, key, value)

        return set_one

    def keep_all(name: str) -> Any:
        original = getattr(cls, name)

        def set_all(self: Any, values: Any) -> None:
            original(self, {key: value for key, value in values.items() if open_to(key)})

        return set_all

    members: dict[str, Any] = {"__slots__": (), "set_status": lambda self, value: None}
    for name in ("set_data", "set_attribute"):
        if hasattr(cls, name):
            members[name] = keep(name)
    for name in ("update_data", "set_attributes"):
        if hasattr(cls, name):
            members[name] = keep_all(name)
    if isinstance(getattr(cls, "status", None), property):
        members["status"] = property(lambda self: self._status, lambda self, value: None)
    return type(cls.__name__, (cls,), members)
