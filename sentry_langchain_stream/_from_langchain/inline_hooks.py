"""A base class for handlers whose hooks complete when they return, in sync and async runs."""

from __future__ import annotations

import sys
from collections.abc import Coroutine, Generator
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackHandler

from .internals import starts_completion_model

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

        Workaround: it is `False` while LangChain's async manager starts a completion model. If any handler is inline
        there, LangChain skips all handlers that are not, including its own for `astream_events`, which then yields no
        events (langchain-core 1.0 to 1.8). Can go when LangChain calls the other handlers too.
        """
        return not starts_completion_model(sys._getframe(1))

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
