"""`SentryStreamIntegration`: traces every LangChain run of the process, without passing callbacks."""

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
    """Adds a `SentryStreamHandler` to every LangChain and LangGraph run, including runs in third-party code.

    Pass it in `sentry_sdk.init(integrations=[SentryStreamIntegration(pipeline_name=...)])`. Leave Sentry's own
    LangchainIntegration enabled, because it keeps the integrations of the providers off. A handler in a run's callbacks
    takes precedence. Runs under a client without this integration are not changed.

    Args:
        pipeline_name: As for `SentryStreamHandler`.
        **settings: The other arguments of `SentryStreamHandler`.

    Raises:
        ImportError: As for `SentryStreamHandler`.
        TypeError: An argument has the wrong type or is unknown.
        ValueError: An argument has a value that is not allowed.
    """

    identifier = INTEGRATION
    origin = "auto.ai.langchain_stream"

    def __init__(self, pipeline_name: str | None = None, **settings: Any) -> None:
        self.handler = SentryStreamHandler(pipeline_name, **settings)

    @staticmethod
    def setup_once() -> None:
        """Add the handler to LangChain's callback managers from now on. Sentry calls this once per process."""
        if langchain_internals.configure is None:
            raise DidNotEnable("this version of langchain-core makes its callback managers in another way")
        manager._configure = _with_handler(manager._configure)


def _with_handler(configure: Callable[..., Any]) -> Callable[..., Any]:
    # Sentry's LangchainIntegration wraps the same function to add its own handler. Which wrapper is the outer one
    # depends on the order of `init`. Both return the same callback manager, so ours replaces Sentry's handler there.
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
    """Add the handler to a new callback manager, unless the application has passed another one."""
    for theirs in [each for each in callbacks.handlers if is_sentrys_handler(each)]:
        if not isinstance(theirs, SentryStreamHandler):
            callbacks.remove_handler(theirs)
    present = [each for each in callbacks.handlers if isinstance(each, SentryStreamHandler)]
    if not present:
        callbacks.add_handler(handler, inherit=True)
    elif any(each is not handler for each in present) and handler in present:
        callbacks.remove_handler(handler)  # inherited from a parent run, but the application passed another one here
