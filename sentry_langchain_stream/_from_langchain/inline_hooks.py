"""A base class for handlers whose hooks complete when they return, in sync and async runs."""

from __future__ import annotations

import sys
from collections.abc import Coroutine, Generator
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackHandler

from .._runtime import containment
from .internals import COMPLETION_STARTS, has_other_inline_handler

Hook = Coroutine[Any, Any, None]
"""The declared return type of a hook, so that it can override LangChain's `async def` hooks."""


class _Done:
    """A completed awaitable. It is not a coroutine, because LangChain's sync manager starts an event loop for those."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield


DONE = cast(Hook, _Done())
"""The return value of every hook."""


class InlineHandler(AsyncCallbackHandler):
    """A callback handler in which every hook is a plain `def` that returns a shared, completed awaitable.

    So one class serves both of LangChain's callback managers. With `async def` hooks the sync manager would start an
    event loop per token. A hook that is not overridden has the same cost, so the unused hooks are overridden here.
    """

    @property
    def run_inline(self) -> bool:  # type: ignore[override]
        """Whether LangChain calls the hooks directly rather than in a separate task or thread. Normally `True`.

        Workaround for how LangChain's async manager starts a completion model (langchain-core 1.0 to 1.8): if any
        handler is inline, it starts the model for the inline handlers alone. So there this handler is inline exactly if
        a handler of somebody else is. If it always were, the others would lose the run, among them LangChain's own
        handler for `astream_events`. If it never were, it would lose the run itself beside an inline one: LangSmith's
        tracer, LangGraph's `stream_mode="messages"`. Can go when LangChain starts the model for all handlers.
        """
        asking = sys._getframe(1)
        # Asked several times for each event.
        return id(asking.f_code) not in COMPLETION_STARTS or has_other_inline_handler(asking, InlineHandler)

    @property
    def raise_error(self) -> bool:
        """Whether LangChain raises what a hook has just raised. It asks while it handles the exception.

        What a signal handler raises while a hook runs is meant for the application: see `is_from_signal`.
        """
        error = sys.exc_info()[1]
        return self._raises or (error is not None and containment.is_from_signal(error))

    @raise_error.setter
    def raise_error(self, raises: bool) -> None:
        self._raises = raises

    _raises = False

    def on_text(self, text: str, **kwargs: Any) -> Hook:
        """Nothing to do."""
        return DONE

    def on_retry(self, retry_state: Any, **kwargs: Any) -> Hook:
        """Nothing to do."""
        return DONE

    def on_agent_action(self, action: Any, **kwargs: Any) -> Hook:
        """Nothing to do."""
        return DONE

    def on_agent_finish(self, finish: Any, **kwargs: Any) -> Hook:
        """Nothing to do."""
        return DONE

    def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> Hook:
        """Nothing to do."""
        return DONE
