"""Living with Sentry's own integrations: exactly one model span per call."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from importlib.util import find_spec
from inspect import iscoroutinefunction
from typing import Any

import sentry_sdk
from sentry_sdk.integrations import DidNotEnable

from .._runtime.containment import warn_once


def warn_of_rival(integration: str | None) -> None:
    """Warn, once, if a Sentry integration traces this provider's client library besides us.

    Sentry's LangchainIntegration, on by default, keeps some of these off; with it disabled they are back.
    """
    if integration not in sentry_sdk.get_client().integrations or not traces_models(integration):
        return
    warn_once(
        f"rival {integration}",
        "Sentry's %r integration is active too, so model calls appear twice in Sentry, and their tokens and cost count "
        "twice. Pass it in disabled_integrations=[...] to sentry_sdk.init; or, if it is openai, anthropic or "
        "google_genai, leave Sentry's LangchainIntegration enabled, which keeps it off.",
        integration,
    )


@cache
def traces_models(integration: str | None) -> bool:
    """Whether the Sentry integration of a provider's client library makes spans of model calls.

    That of boto3 made spans of its HTTP requests alone, until it became a package with a file for Bedrock.
    """
    if integration != "boto3":
        return integration is not None
    found = find_spec("sentry_sdk.integrations.boto3")
    return found is not None and found.submodule_search_locations is not None


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


INTEGRATION = "langchain_stream"
"""The identifier of our own integration."""


def has_integration() -> bool:
    """Whether the client has our own integration, which follows every run."""
    return INTEGRATION in sentry_sdk.get_client().integrations


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


@cache
def quiet_langgraph(followed: Callable[[Any, Any], bool]) -> None:
    """Keep Sentry's LanggraphIntegration from opening a span of its own around graphs that a handler of ours follows.

    It wraps `invoke` and `ainvoke` of every graph in a span that hangs on whatever is current: the agent would appear
    twice, with messages that the user's `redact` never saw. Its wrapper is only called for graphs of others now.

    Args:
        followed: Whether a handler of ours is going to follow the call of a graph with a config.
    """
    try:
        from sentry_sdk.integrations import langgraph
    except (ImportError, DidNotEnable):
        return  # there are no graphs
    pregel: Any = getattr(langgraph, "Pregel", None)  # the class of every graph
    ways = {"invoke": "_wrap_pregel_invoke", "ainvoke": "_wrap_pregel_ainvoke"}
    if pregel is None or not all(hasattr(langgraph, wrap) for wrap in ways.values()):
        warn_once(
            "langgraph",
            "This version of Sentry's LanggraphIntegration is unknown; agents may appear twice in Sentry. "
            "Pass it in disabled_integrations=[...] to sentry_sdk.init.",
        )
        return
    for way, wrap in ways.items():
        # The integration wraps when it is set up, which may have been or is yet to come.
        setattr(langgraph, wrap, _choosing(getattr(langgraph, wrap), followed))
        present = getattr(pregel, way)
        if present.__code__.co_filename == langgraph.__file__:
            setattr(pregel, way, _either(present, present.__wrapped__, followed))


def _choosing(wrap: Callable[[Any], Any], followed: Callable[[Any, Any], bool]) -> Callable[[Any], Any]:
    return lambda original: _either(wrap(original), original, followed)


def _either(theirs: Any, original: Any, followed: Callable[[Any, Any], bool]) -> Any:
    """A method that is the integration's for some graphs, and the original for those that we follow."""

    def chosen(graph: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        config = kwargs["config"] if "config" in kwargs else args[1] if len(args) > 1 else None
        return original if followed(graph, config) else theirs

    if iscoroutinefunction(original):

        @wraps(original)
        async def arun(self: Any, *args: Any, **kwargs: Any) -> Any:
            return await chosen(self, args, kwargs)(self, *args, **kwargs)

        return arun

    @wraps(original)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        return chosen(self, args, kwargs)(self, *args, **kwargs)

    return run
