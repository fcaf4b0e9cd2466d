"""Models that say what they are told to, and tools for them to call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import LLM, BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolCall
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, GenerationChunk
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field

Line = str | tuple[ToolCall, ...] | Exception
"""What a model says: a text, the calls of tools, or that it cannot."""

USAGE: Any = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
"""What every call of an `Actor` uses."""


class Actor(BaseChatModel):
    """A model that says its lines, and then begins anew. Like OpenAI's it can be given tools."""

    model_name: str
    lines: tuple[Line, ...]
    calls: Iterator[int] = Field(default_factory=count)

    @property
    def _llm_type(self) -> str:
        return "openai-chat"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[Any, Any]:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools])

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        line = self._line(messages)
        message = AIMessage(line) if isinstance(line, str) else AIMessage("", tool_calls=list(line))
        message.usage_metadata = USAGE
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        line = self._line(messages)
        for word in line.split() if isinstance(line, str) else ():
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))
        for index, call in enumerate(line if isinstance(line, tuple) else ()):
            part: Any = {**call, "args": json.dumps(call["args"]), "index": index, "type": "tool_call_chunk"}
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[part]))
        yield ChatGenerationChunk(message=AIMessageChunk(content="", usage_metadata=USAGE))

    def _line(self, messages: list[BaseMessage]) -> str | tuple[ToolCall, ...]:
        # What was said in this conversation tells the line: several may go on at once. What fails leaves no trace.
        said = sum(message.type == "ai" for message in messages)
        moody = any(isinstance(line, Exception) for line in self.lines)
        line = self.lines[(next(self.calls) if moody else said) % len(self.lines)]
        if isinstance(line, Exception):
            raise line
        return line


def actor(*lines: Line, name: str = "small") -> Actor:
    """A model of this name with these lines."""
    return Actor(model_name=name, lines=lines)


def calls(*tools: str, **arguments: Any) -> tuple[ToolCall, ...]:
    """What a model says to call these tools at once, each with these arguments."""
    return tuple(
        ToolCall(name=tool, args=arguments, id=f"call-{number}", type="tool_call")
        for number, tool in enumerate(tools, start=1)
    )


class Writer(LLM):
    """A model of the kind that completes a text."""

    model_name: str = "quill"

    @property
    def _llm_type(self) -> str:
        return "writer"

    def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
        return "An answer."

    def _stream(
        self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[GenerationChunk]:
        for text in ("An ", "answer."):
            if run_manager is not None:
                run_manager.on_llm_new_token(text)
            yield GenerationChunk(text=text)


class Shelf(BaseRetriever):
    """A retriever that always finds the same two documents."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [Document("red"), Document("green")]


class Tool(BaseTool):
    """A tool that does what it is told to, wherever it is called from."""

    name: str
    description: str = "Looks something up."
    does: Callable[[str], Any] = str.upper

    def _run(self, subject: str) -> Any:
        return self.does(subject)
