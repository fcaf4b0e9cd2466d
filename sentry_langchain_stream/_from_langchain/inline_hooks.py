"""A handler whose hooks are done when they return, in sync and in async runs alike."""

from __future__ import annotations

import sys
from collections.abc import Coroutine, Generator
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackHandler

from .internals import starts_completion_model

Hook = Coroutine[Any, Any, None]
"""What a hook is declared to return, so that it may stand in for LangChain's `async def` hooks."""


class _Done:
    """An awaitable that is complete. Not a coroutine: LangChain's sync manager starts an event loop for those."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield


DONE = cast(Hook, _Done())
"""What every hook returns."""


class InlineHandler(AsyncCallbackHandler):
    """Every hook is a plain `def` that does its work at once and returns one shared, completed awaitable.

    So one class serves both managers of LangChain: `async def` hooks would cost sync streams an event loop per token,
    and a hook that is not overridden costs the same. Hence the hooks here that do nothing.
    """

    @property
    def run_inline(self) -> bool:  # type: ignore[override]
        """Whether LangChain calls the hooks where it is, rather than in a task or a thread of their own: yes.

        But where its async manager starts a completion model, it leaves out all others if one handler says so
        (langchain-core 1.0 to 1.8), among them its own, without which `astream_events` has no events.
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
