"""A chat model that answers at once, so that what is measured is what stands around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field

MODEL = "gpt-bench"
PROMPT = "A question about the ferry"
"""Begins every prompt, so that it can be told whether prompts are recorded."""

PIECE = "word "
INPUT_TOKENS = 73_215_501
"""A number that is found nowhere else, so that it can be told whether tokens are recorded."""

_USAGE: Any = {"input_tokens": INPUT_TOKENS, "output_tokens": 34, "total_tokens": INPUT_TOKENS + 34}
_OF_EACH: dict[str, Any] = {"model_provider": "openai"}
"""What `ChatOpenAI` says with each chunk."""

_ENDING: dict[str, Any] = {**_OF_EACH, "finish_reason": "stop", "model_name": MODEL}


class FakeChatOpenAI(BaseChatModel):
    """Tells of itself what `ChatOpenAI` tells, and streams `pieces` chunks, the last with usage and a finish reason.

    Offered tools it calls the first of them once, and answers when there is a result.
    """

    model_name: str = MODEL
    pieces: int = 10
    pause: Callable[[], Any] | None = Field(default=None, exclude=True)
    """Awaited after each chunk of an async stream, so that many streams take turns."""

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """It is described to handlers with its arguments."""
        return True

    @property
    def _llm_type(self) -> str:
        return "openai-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model_name, "model_name": self.model_name, "temperature": 0.5}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return LangSmithParams(
            ls_provider="openai", ls_model_name=self.model_name, ls_model_type="chat", ls_temperature=0.5
        )

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """The model with tools that it may call."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools])

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        if kwargs.get("tools") and not isinstance(messages[-1], ToolMessage):
            name = kwargs["tools"][0]["function"]["name"]
            calls: Any = [{"name": name, "args": {"place": "harbour"}, "id": f"call-{len(messages)}"}]
            message = AIMessage(content="", tool_calls=calls, usage_metadata=_USAGE, response_metadata=dict(_ENDING))
        else:
            message = AIMessage(content=PIECE * 10, usage_metadata=_USAGE, response_metadata=dict(_ENDING))
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return self._generate(messages, **kwargs)

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for _ in range(self.pieces - 1):
            yield ChatGenerationChunk(message=AIMessageChunk(content=PIECE, response_metadata=dict(_OF_EACH)))
        yield self._last()

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        for _ in range(self.pieces - 1):
            yield ChatGenerationChunk(message=AIMessageChunk(content=PIECE, response_metadata=dict(_OF_EACH)))
            if self.pause is not None:
                await self.pause()
        yield self._last()

    def _last(self) -> ChatGenerationChunk:
        last = AIMessageChunk(content=PIECE, usage_metadata=_USAGE, response_metadata=dict(_ENDING))
        return ChatGenerationChunk(message=last)
