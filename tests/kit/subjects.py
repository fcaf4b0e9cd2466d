"""What the tests of endings run: the shapes of application that a model call stands in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, RunnableParallel
from langchain_core.tools import StructuredTool


@dataclass(frozen=True)
class Subject:
    """A shape of application.

    Args:
        name: What it is called in the tests.
        make: Builds it around a model.
        question: Its input.
        streams: Whether the model is streamed when it is.
        calls: Model calls in one run of it.
    """

    name: str
    make: Callable[[BaseChatModel], Runnable[Any, Any]]
    question: Any
    streams: bool = True
    calls: int = 1

    def __str__(self) -> str:
        return self.name


def _chain(model: BaseChatModel) -> Runnable[Any, Any]:
    return ChatPromptTemplate.from_template("{question}") | model | StrOutputParser()


def _parallel(model: BaseChatModel) -> Runnable[Any, Any]:
    return RunnableParallel(left=_chain(model), right=_chain(model))


def _tool(model: BaseChatModel) -> Runnable[Any, Any]:
    def ask(question: str) -> str:
        """Ask the model."""
        return str(model.invoke(question).content)

    async def aask(question: str) -> str:
        """Ask the model."""
        return str((await model.ainvoke(question)).content)

    return StructuredTool.from_function(ask, coroutine=aask, name="ask")


class _Retriever(BaseRetriever):
    """A retriever that has the model rewrite the query."""

    model: BaseChatModel

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        answer = self.model.invoke(query, config={"callbacks": run_manager.get_child()})
        return [Document(str(answer.content))]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        answer = await self.model.ainvoke(query, config={"callbacks": run_manager.get_child()})
        return [Document(str(answer.content))]


def _graph(model: BaseChatModel) -> Runnable[Any, Any]:
    from langgraph.graph import END, START, MessagesState, StateGraph

    def ask(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"], config)]}

    async def aask(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"], config)]}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", RunnableLambda(ask, aask))
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    return graph.compile()


def _agent(model: BaseChatModel) -> Runnable[Any, Any]:
    from langchain.agents import create_agent

    return create_agent(model, [])


SUBJECTS = (
    Subject("model", lambda model: model, "Hi"),
    Subject("chain", _chain, {"question": "Hi"}),
    Subject("parallel", _parallel, {"question": "Hi"}, calls=2),
    Subject("tool", _tool, {"question": "Hi"}, streams=False),
    Subject("retriever", lambda model: _Retriever(model=model), "Hi", streams=False),
    Subject("graph", _graph, {"messages": [HumanMessage("Hi")]}, streams=False),
    Subject("agent", _agent, {"messages": [HumanMessage("Hi")]}, streams=False),
)
