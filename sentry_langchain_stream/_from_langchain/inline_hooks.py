"""A base class for handlers whose hooks complete when they return, in sync and async runs."""

from __future__ import annotations

import sys
from collections.abc import Coroutine, Generator
from functools import wraps
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackHandler

from .._runtime import containment
from . import internals

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

    run_inline = True
    """LangChain calls the hooks directly rather than in a separate task or thread. See `_Starting` for the exception.
    """

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


# LangChain asks for one of these properties before each event. To be asked takes as long as much of what we do for a
# token, so they are plain values here. To type checkers they stay properties, which a subclass may override as such.
for _name in ("agent", "chain", "chat_model", "custom_event", "llm", "retriever", "retry"):
    setattr(InlineHandler, f"ignore_{_name}", False)


class _Starting:
    """Stands for one of our handlers while LangChain's async manager starts a completion model.

    Workaround for how it does that (langchain-core 1.0 to 1.8): if any handler is inline, it starts the model for the
    inline handlers alone. So there our handlers are inline exactly if a handler of somebody else is. If they always
    were, the others would lose the run, among them LangChain's own handler for `astream_events`. If they never were,
    they would lose the run themselves beside an inline one: LangSmith's tracer, LangGraph's `stream_mode="messages"`.
    Can go when LangChain starts the model for all handlers.

    Args:
        handler: The handler.
    """

    def __init__(self, handler: InlineHandler) -> None:
        self.handler = handler

    @property
    def run_inline(self) -> bool:
        """Whether it is inline: everywhere but in the method that starts the model, which asks first."""
        return id(sys._getframe(1).f_code) not in internals.COMPLETION_STARTS

    @property  # type: ignore[misc]  # that of `object` can be set
    def __class__(self) -> type:
        return type(self.handler)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.handler, name)


def _started_for_all(start: Any) -> Any:
    """Return a method that starts a completion model, for all handlers."""

    @wraps(start)
    async def on_llm_start(self: Any, *args: Any, **kwargs: Any) -> Any:
        # It is the call's own list, which the managers of its runs get too. So what stands in leaves it again.
        handlers: list[Any] = self.handlers
        others = [each for each in handlers if not isinstance(each, InlineHandler)]
        if not isinstance(handlers, list) or len(others) == len(handlers) or any(each.run_inline for each in others):
            return await start(self, *args, **kwargs)
        # Another call with the same manager may be starting, too: one with several prompts is several calls.
        handlers[:] = [
            _Starting(each) if type(each) is not _Starting and isinstance(each, InlineHandler) else each
            for each in handlers
        ]
        try:
            return await start(self, *args, **kwargs)
        finally:
            handlers[:] = [each.handler if type(each) is _Starting else each for each in handlers]

    return on_llm_start


with containment.contained("completion models"):
    internals.replace_completion_start(_started_for_all)
