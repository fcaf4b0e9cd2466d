"""The trees of chains: (what runs) x (way to run it) x (wire shape), with a span of the application around or not."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_core.tools import StructuredTool

from tests.kit.async_context import is_async, needs_async_context
from tests.kit.trees import ways
from tests.kit.trees.case import Case, around, each, play
from tests.kit.trees.script import Line, Shelf, Tool, Writer, actor
from tests.kit.wire import WIRE_SHAPES

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

PROMPT = ChatPromptTemplate.from_template("{question}")


def chain(*lines: Line, name: str = "small") -> Runnable[Any, Any]:
    return PROMPT | actor(*(lines or ("An answer.",)), name=name) | StrOutputParser()


def joined(documents: list[Document]) -> str:
    return "\n".join(document.page_content for document in documents)


def rag() -> Runnable[Any, Any]:
    found = itemgetter("question") | Shelf() | joined
    return RunnablePassthrough.assign(context=found) | chain()


def rag_in_parallel() -> Runnable[Any, Any]:
    question = itemgetter("question")
    found: Any = {"red": question | Shelf(name="Red"), "green": question | Shelf(name="Green"), "question": question}
    return RunnableParallel(found) | chain()


def parallel() -> Runnable[Any, Any]:
    return RunnableParallel(left=chain(name="left"), right=chain(name="right"))


def calling() -> Runnable[Any, Any]:
    """A lambda that calls a model and, twice, a chain, with the config handed on as LangChain wants it."""
    model, below = actor("An answer."), chain(name="large")

    def ask(question: Any, config: RunnableConfig) -> Any:
        answer = model.invoke("Hi", config)
        below.invoke(question, config)
        below.invoke(question, config)
        return answer

    return RunnableLambda(ask)


def chain_in_a_tool() -> Tool:
    below = chain()
    return Tool(name="ask", does=lambda subject: below.invoke({"question": subject}))


def tool_that_hands_on_its_config() -> Runnable[Any, Any]:
    """LangChain gives a tool the config that it was itself called with, which names the run above it."""
    shelf, below = Shelf(), chain()

    def ask(subject: str, config: RunnableConfig) -> Any:
        """Ask."""
        shelf.invoke(subject, config)
        return below.invoke({"question": subject}, config)

    return itemgetter("question") | StructuredTool.from_function(ask)


CASES = (
    Case(
        "prompt, model, parser",
        chain,
        """
        function  demo
          gen_ai.chat  chat small
        """,
        ai="""
        ai.pipeline.langchain  demo
          ai.chat_completions.create.langchain  demo
        """,
    ),
    Case(
        "rag",
        rag,
        """
        function  demo
          function  retrieve Shelf
          gen_ai.chat  chat small
        """,
        ai="""
        ai.pipeline.langchain  demo
          function  retrieve Shelf
          ai.chat_completions.create.langchain  demo
        """,
    ),
    Case(
        "rag with parallel retrievers",
        rag_in_parallel,
        """
        function  demo
          function  retrieve Green &
          function  retrieve Red &
          gen_ai.chat  chat small
        """,
    ),
    Case(
        "parallel",
        parallel,
        """
        function  demo
          gen_ai.chat  chat left &
          gen_ai.chat  chat right &
        """,
    ),
    Case(
        "a lambda that calls models",
        calling,
        """
        function  demo
          gen_ai.chat  chat small
          gen_ai.chat  chat large
          gen_ai.chat  chat large
        """,
    ),
    Case(
        "retries",
        lambda: (
            PROMPT | actor(ValueError("busy"), ValueError("busy"), "Yes.").with_retry(wait_exponential_jitter=False)
        ),
        """
        function  demo
          gen_ai.chat  chat small [failed]
          gen_ai.chat  chat small [failed]
          gen_ai.chat  chat small
        """,
        ways=ways.WHOLE,  # streams are not retried
    ),
    Case(
        "retries of a chain",
        lambda: chain(ValueError("busy"), "Yes.").with_retry(wait_exponential_jitter=False),
        """
        function  demo
          gen_ai.chat  chat small [failed]
          gen_ai.chat  chat small
        """,
        ways=ways.WHOLE,
    ),
    Case(
        "fallbacks",
        lambda: (
            PROMPT | actor(ValueError("busy")).with_fallbacks([chain_of(ValueError("full")), actor("Yes.", name="c")])
        ),
        """
        function  demo
          gen_ai.chat  chat small [failed]
          gen_ai.chat  chat b [failed]
          gen_ai.chat  chat c
        """,
    ),
    Case(
        "bare fallbacks",
        lambda: actor(ValueError("busy")).with_fallbacks([actor("Yes.", name="large")]),
        """
        function  demo
          gen_ai.chat  chat small [failed]
          gen_ai.chat  chat large
        """,
        asked=("Hi",),
    ),
    Case(
        "a failure",
        lambda: chain(ValueError("busy")),
        """
        function  demo [failed]
          gen_ai.chat  chat small [failed]
        """,
        raises="busy",
    ),
    Case(
        "a bare model",
        lambda: actor("An answer."),
        """
        function  demo
          gen_ai.chat  chat small
        """,
        ai="""
        ai.pipeline.langchain  demo
          ai.chat_completions.create.langchain  demo
        """,
        asked=("Hi",),
        ways=ways.V3,
        bare=True,
    ),
    Case(
        "a bare completion",
        Writer,
        """
        function  demo
          gen_ai.text_completion  text_completion quill
        """,
        asked=("Hi",),
        bare=True,
    ),
    Case(
        "a bare tool",
        lambda: Tool(name="look"),
        """
        function  demo
          gen_ai.execute_tool  execute_tool look
        """,
        ai="""
        ai.pipeline.langchain  demo
          ai.tool.langchain  execute_tool look
        """,
        asked=("Hi",),
        bare=True,
    ),
    Case(
        "a bare retriever",
        Shelf,
        """
        function  demo
          function  retrieve Shelf
        """,
        asked=("Hi",),
        bare=True,
    ),
    Case(
        "a chain in a tool",
        chain_in_a_tool,
        """
        function  demo
          gen_ai.execute_tool  execute_tool ask
            gen_ai.chat  chat small
        """,
        asked=("Hi",),
        bare=True,
    ),
    Case(
        "a tool that hands on its config",
        tool_that_hands_on_its_config,
        """
        function  demo
          gen_ai.execute_tool  execute_tool ask
            function  retrieve Shelf
            gen_ai.chat  chat small
        """,
    ),
    Case(
        "batch",
        chain,
        """
        function  demo
          gen_ai.chat  chat small
        function  demo
          gen_ai.chat  chat small
        function  demo
          gen_ai.chat  chat small
        """,
        asked=([{"question": "1"}, {"question": "2"}, {"question": "3"}],),
        ways=ways.BATCH,
    ),
)


INSIDE_ASYNC = {"a chain in a tool", "a tool that hands on its config", "bare fallbacks"}
"""What calls others inside an async run without a config."""


def chain_of(*lines: Line) -> Runnable[Any, Any]:
    return PROMPT | actor(*lines, name="b")


@pytest.mark.parametrize(("case", "way", "shape", "active"), around(CASES))
@needs_async_context(lambda case, way: case.name in INSIDE_ASYNC and is_async(way))
async def test_the_tree(case: Case, way: ways.Run, shape: str, active: bool) -> None:
    """A run makes this tree, whichever way it is run and its spans are sent, below the active span if there is one."""
    await play(case, way, shape, active)


@pytest.mark.parametrize(("case", "way", "shape"), each((case for case in CASES if case.ai), list(WIRE_SHAPES)))
async def test_the_tree_in_the_old_dialect(case: Case, way: ways.Run, shape: str) -> None:
    """In dialect `ai` the tree has the same shape, and the names by which the old monitoring joins."""
    await play(case, way, shape, dialect="ai")


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize("way", ways.ANY)
async def test_every_chain_has_a_span_if_asked_for(way: ways.Run, shape: str) -> None:
    """With `chains` the chains inside, prompts and parsers among them, have spans of their own."""
    case = Case(
        "nested chains",
        lambda: chain().with_config(run_name="inner") | RunnableLambda(str.upper).with_config(run_name="loud"),
        """
        function  demo
          function  inner
            function  ChatPromptTemplate
            gen_ai.chat  chat small
            function  StrOutputParser
          function  loud
        """,
    )
    await play(case, way, shape, chains=True)
