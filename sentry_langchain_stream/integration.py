"""`SentryStreamIntegration`: every LangChain run of the process is covered, without callbacks to pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import sentry_sdk
from langchain_core.callbacks import BaseCallbackManager, manager
from sentry_sdk.integrations import DidNotEnable, Integration

from ._from_langchain import internals as langchain_internals
from ._runtime.containment import contained
from ._to_sentry.other_integrations import INTEGRATION, is_sentrys_handler
from .handler import SentryStreamHandler


class SentryStreamIntegration(Integration):
    """A `SentryStreamHandler` for every LangChain and LangGraph run, also in code that one does not own.

    Pass it in `sentry_sdk.init(integrations=[SentryStreamIntegration(pipeline_name=...)])`, and leave Sentry's own
    LangchainIntegration enabled, which keeps the integrations of the providers off. A handler that is passed by hand
    wins over it, and a client without the integration is left alone.

    Args:
        pipeline_name: As for `SentryStreamHandler`.
        **settings: The other arguments of `SentryStreamHandler`.

    Raises:
        ImportError: As for `SentryStreamHandler`.
        TypeError: An argument has the wrong type, or is none of the handler's.
        ValueError: An argument has a value that is not allowed.
    """

    identifier = INTEGRATION
    origin = "auto.ai.langchain_stream"

    def __init__(self, pipeline_name: str | None = None, **settings: Any) -> None:
        self.handler = SentryStreamHandler(pipeline_name, **settings)

    @staticmethod
    def setup_once() -> None:
        """Have LangChain's callback managers take the handler. Sentry calls this once in a process."""
        if langchain_internals.configure is None:
            raise DidNotEnable("this version of langchain-core makes its callback managers in another way")
        manager._configure = _with_handler(manager._configure)


def _with_handler(configure: Callable[..., Any]) -> Callable[..., Any]:
    # Sentry's LangchainIntegration wraps the same function, to add a handler of its own. Which of the two is outside
    # depends on the order of `init`; what has been made is the same, so that is where ours takes the place of theirs.
    @wraps(configure)
    def configured(*args: Any, **kwargs: Any) -> Any:
        made = configure(*args, **kwargs)
        with contained("integration"):
            integration = sentry_sdk.get_client().get_integration(SentryStreamIntegration)
            if integration is not None and isinstance(made, BaseCallbackManager):
                _take(made, integration.handler)
        return made

    return configured


def _take(callbacks: BaseCallbackManager, handler: SentryStreamHandler) -> None:
    """Have a callback manager, which was just made, take the handler, unless there is one that was passed by hand."""
    for theirs in [each for each in callbacks.handlers if is_sentrys_handler(each)]:
        if not isinstance(theirs, SentryStreamHandler):
            callbacks.remove_handler(theirs)
    present = [each for each in callbacks.handlers if isinstance(each, SentryStreamHandler)]
    if not present:
        callbacks.add_handler(handler, inherit=True)
    elif any(each is not handler for each in present) and handler in present:
        callbacks.remove_handler(handler)  # it came from a run above, and here somebody has passed another one
