"""What is streamed: a model that does as its prompt says, and applications around it, each made once."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from typing import Any

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel
from langchain_core.tools import StructuredTool

PIECES = ("one ", "two ", "three")


class SoakError(Exception):
    """What a model fails with, or a consumer."""


class SoakModel(BaseChatModel):
    """A model that does as the last message says, after its first piece: `raise`, `wait` for ever, or go on.

    `raise left` fails in the left branch only.
    """

    @property
    def _llm_type(self) -> str:
        return "openai-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": "soak"}

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return {"ls_provider": "openai", "ls_model_name": "soak", "ls_model_type": "chat"}

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        for number, piece in enumerate(PIECES):
            if number == 1:
                _fail(messages)
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))

    async def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        for number, piece in enumerate(PIECES):
            if number == 1:
                await _act(messages)
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        _fail(messages)
        return ChatResult(generations=[ChatGeneration(message=AIMessage("".join(PIECES)))])

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        await _act(messages)
        return ChatResult(generations=[ChatGeneration(message=AIMessage("".join(PIECES)))])


def _fail(messages: Any) -> None:
    text = str(messages[-1].content)
    if text.startswith("raise") and not ("left" in text and text.endswith("right")):
        raise SoakError("told to")


async def _act(messages: Any) -> None:
    _fail(messages)
    await (asyncio.Event().wait() if str(messages[-1].content).startswith("wait") else asyncio.sleep(0))


class _Shelf(BaseRetriever):
    """A retriever that has a model rewrite the query."""

    model: BaseChatModel

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [Document(str(self.model.invoke(query, {"callbacks": run_manager.get_child()}).content))]

    async def _aget_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [Document(str((await self.model.ainvoke(query, {"callbacks": run_manager.get_child()})).content))]


def _ask(question: str) -> str:
    """Ask a model from inside a tool."""
    return str(SoakModel().invoke(question).content)


async def _aask(question: str) -> str:
    """Ask a model from inside a tool."""
    return str((await SoakModel().ainvoke(question)).content)


@cache
def application(name: str) -> Runnable[Any, Any]:
    """An application. Call it once for each before there are threads: LangChain's making of tools is not safe there."""
    model = SoakModel()
    if name == "model":
        return model
    if name == "chain":
        return _chain("chain")
    if name == "parallel":
        return RunnableParallel(left=_chain("left"), right=_chain("right"))
    if name == "tool":
        return StructuredTool.from_function(_ask, coroutine=_aask, name="ask")
    if name == "retriever":
        return _Shelf(model=model)
    if name == "nested":
        # A chain around a tool around a model, beside a retriever around one.
        return RunnableParallel(found=application("retriever"), asked=RunnableLambda(_question) | application("tool"))
    from langchain.agents import create_agent

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return create_agent(model, [])


def _question(given: str) -> dict[str, str]:
    return {"question": given}


def _chain(where: str) -> Runnable[Any, Any]:
    return ChatPromptTemplate.from_template("{question} in the " + where) | SoakModel() | StrOutputParser()


APPLICATIONS = ("model", "chain", "parallel", "tool", "retriever", "nested", "agent")


def given(name: str, question: str) -> Any:
    """The question in the form that an application takes."""
    if name in ("chain", "parallel", "tool"):
        return {"question": question}
    return {"messages": [HumanMessage(question)]} if name == "agent" else question


def pieces(question: str, began: Callable[[], None]) -> Iterator[str]:
    """A plain generator, for `track_stream`, that says when it begins, and does as the question says."""
    began()
    for number, piece in enumerate(PIECES):
        if number == 1:
            _fail([HumanMessage(question)])
        yield piece


async def apieces(question: str, began: Callable[[], None]) -> AsyncIterator[str]:
    """The same, async."""
    began()
    for number, piece in enumerate(PIECES):
        if number == 1:
            await _act([HumanMessage(question)])
        yield piece
