"""Which calls a handler of ours follows, for which Sentry's own integrations are to be silent.

It is imported with the module of our handler, so it imports no more than it needs: what follows runs comes with the
first handler.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import cache
from types import FrameType
from typing import Any

from .._to_sentry import asking, model_integrations, other_integrations
from . import executors, internals

_GRAPH_CALLS = frozenset({"new_invoke", "new_ainvoke"})
"""The functions of LanggraphIntegration that call a graph (sentry-sdk 2.44 to 2.75)."""

_handler_class: type = type(None)


def silence_integrations(handler_class: type) -> None:
    """Keep Sentry's integrations silent in the calls that a handler of this class follows.

    Called once, when the module of our handler is imported: before any graph is called, and for every method that was
    bound before. `other_integrations.uninstall` undoes it.
    """
    global _handler_class
    _handler_class = handler_class
    model_integrations.silence_during(_is_recorded)
    other_integrations.silence("langgraph", _is_followed_graph)
    other_integrations.silence("langchain", _is_followed_call)
    other_integrations.install()


@cache
def follow_text_models() -> None:
    """Follow the calls of embedding models and rerankers, too. Called with the first handler."""
    from . import text_models

    other_integrations.also(text_models.install, text_models.uninstall)
    other_integrations.install()


def _is_recorded(embeds: bool) -> bool:
    """Whether an integration of a client library asks inside a model call that we record, perhaps for embeddings."""
    if asking.is_asking():  # a model that the user's `redact` calls is given the text that is not redacted
        return True
    if _ACTIVE_SPAN not in sys.modules:
        return False  # nothing has been followed yet
    from .._to_sentry import active_span
    from . import inside

    return active_span.is_calling(embeds) or inside.is_handed_over()


_ACTIVE_SPAN = "sentry_langchain_stream._to_sentry.active_span"
_TEXT_MODELS = "sentry_langchain_stream._from_langchain.text_models"


def _is_followed_graph(frame: FrameType) -> bool:
    """Whether LanggraphIntegration asks because a graph is called that we follow.

    Its span would be the agent's second one, with messages that did not pass the user's `redact`.
    """
    return frame.f_code.co_name in _GRAPH_CALLS and _is_followed(frame)


def _is_followed(frame: FrameType) -> bool:
    """Whether we follow the call of a runnable in one of Sentry's wrappers."""
    called = frame.f_locals
    args, kwargs = called.get("args", ()), called.get("kwargs", {})
    config = kwargs["config"] if "config" in kwargs else args[1] if len(args) > 1 else None
    return follows(called.get("self"), config)


def _is_followed_executor(frame: FrameType) -> bool:
    """Whether LangchainIntegration asks because an `AgentExecutor` is called that we follow.

    Its span would be the agent's second one, and with a consumer that leaves its stream that span would stay active.
    """
    executor: Any = frame.f_locals.get("self")
    return executors.is_executor(executor) and (_has_ours(executor.callbacks) or _is_followed(frame))


def _is_given_ours(frame: FrameType) -> bool:
    """Whether LangchainIntegration asks because it would add its own handler to callbacks that have one of ours."""
    called = frame.f_locals
    if not (_has_ours(called.get("local_callbacks")) or _has_ours(called.get("inheritable_callbacks"))):
        return _is_hooked()
    from . import configuring

    configuring.go_around(frame.f_code, _has_ours)
    return True


def _is_followed_embedding(frame: FrameType) -> bool:
    """Whether LangchainIntegration asks because an embedding model is called that we follow."""
    text_models = sys.modules.get(_TEXT_MODELS)
    return text_models is not None and bool(text_models.is_followed(frame))


_CALLS: Mapping[str, Callable[[FrameType], bool]] = {
    "new_configure": _is_given_ours,
    "new_invoke": _is_followed_executor,
    "new_stream": _is_followed_executor,
    "new_embedding_method": _is_followed_embedding,
    "new_async_embedding_method": _is_followed_embedding,
}
"""Functions of LangchainIntegration that make a span or add its handler (sentry-sdk 2.44 to 2.75), and whether we
record the call.

With an answer of "off" everywhere, it would not add its own handler to calls that we do not follow.
"""


def _is_followed_call(frame: FrameType) -> bool:
    """Whether LangchainIntegration asks because a call is made that is ours, and of which it would make a span."""
    rule = _CALLS.get(frame.f_code.co_name)
    return (rule is not None and rule(frame)) or asking.is_asking()


def follows(runnable: Any, config: Any) -> bool:
    """Whether Sentry's integrations leave a call of this runnable to us. The config may be `None`."""
    if asking.is_asking():
        return True
    if other_integrations.has_integration():
        return True
    for source in (config, getattr(runnable, "config", None), internals.enclosing_config()):
        callbacks = source.get("callbacks") if isinstance(source, Mapping) else None
        if callbacks is not None:
            return _has_ours(callbacks) or _is_hooked()
    return _is_hooked()


def _is_hooked() -> bool:
    """Whether a handler of ours comes to every call by LangChain's `register_configure_hook`."""
    return any(isinstance(each, _handler_class) for each in internals.hooked_handlers())


def _has_ours(callbacks: Any) -> bool:
    if callbacks is None:
        return False
    handlers = callbacks if isinstance(callbacks, list) else getattr(callbacks, "handlers", None) or (callbacks,)
    for each in handlers:  # noqa: SIM110 -- asked for each run: a generator costs more than the answer
        if isinstance(each, _handler_class):
            return True
    return False
