"""Canaries: unique words in every place of a run that holds content, to be looked for in what leaves the process."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any
from uuid import uuid4

import httpx
from langchain.agents import create_agent
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import LLM, BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolCall, ToolMessage
from langchain_core.output_parsers import PydanticOutputParser, StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, GenerationChunk
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough
from langchain_core.tools import StructuredTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from sentry_langchain_stream import SentryStreamHandler, track_stream
from tests.trees import ways

IN = frozenset({"in"})
"""What goes into a run: prompts, tool definitions and arguments, queries, tags and metadata."""
OUT = frozenset({"out"})
"""What comes out of it: answers, reasoning, tool calls, results of tools, documents."""
BOTH = IN | OUT
"""What comes out of one run and goes into the next: told if either is allowed."""
FRAME = frozenset({"frame"})
"""Variables of stack frames, which may be anything: told if all is allowed and nothing is redacted."""
MESSAGE = frozenset({"message"})
"""The message of an exception: told by the issue, through `redact`, and by no span."""
NOWHERE: frozenset[str] = frozenset()
"""What is never told."""


class Canaries(dict[str, str]):
    """A word of its own for each place that is asked for. It is made at run time, as issues quote source code."""

    def __missing__(self, place: str) -> str:
        word = self[place] = f"canary{uuid4().hex}"
        return word

    def redact(self, text: str) -> str:
        """Take the canaries out of a text, if they are there as a whole."""
        return re.sub(r"canary[0-9a-f]{32}", "[redacted]", text)


@dataclass(frozen=True)
class Scene:
    """Something that runs, with canaries in it.

    Args:
        name: What it is called in the tests.
        make: Makes the runnable and its input.
        planted: Which places there are, and what they are.
        ways: How it is run.
        options: More of the call's configuration.
    """

    name: str
    make: Callable[[Canaries], tuple[Runnable[Any, Any], Any]]
    planted: Mapping[str, frozenset[str]]
    ways: tuple[Callable[[Any, Any, Any], Awaitable[None]], ...] = ways.ANY
    options: Callable[[Canaries], dict[str, Any]] = field(default=lambda canaries: {})

    def __str__(self) -> str:
        return self.name

    async def play(self, way: Any, canaries: Canaries, **settings: Any) -> None:
        """Run it, whatever becomes of it."""
        handler = SentryStreamHandler(metadata_keys=["tenant"], **settings)
        app, question = self.make(canaries)
        with suppress(Exception, asyncio.CancelledError):
            await way(app, question, {**self.options(canaries), "callbacks": [handler]})
        await ways.settled(handler)
        assert handler.live_runs == 0


# -- Models, tools and retrievers ------------------------------------------------------------------------------

Line = AIMessage | Exception


class Speaker(BaseChatModel):
    """A model that says its lines, text and reasoning in two halves each; it can be given tools."""

    model_name: str = "speaker"
    lines: Iterator[Line]
    fails_in: Exception | None = None
    """What it fails with in the middle of its answer."""
    hold: bool = False
    """Whether it hangs in the middle of its answer."""

    @property
    def _llm_type(self) -> str:
        return "openai-chat"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[Any, Any]:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools])

    def _next(self) -> AIMessage:
        line = next(self.lines)
        if isinstance(line, Exception):
            raise line
        return line

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        line = self._next()
        self._fail(line)
        return ChatResult(generations=[ChatGeneration(message=line)])

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        line = self._next()
        for chunk in self._chunks(line):
            yield chunk
        self._fail(line)

    async def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        line = self._next()
        for chunk in self._chunks(line):
            yield chunk
        if self.hold:
            await asyncio.Event().wait()
        self._fail(line)

    def _fail(self, line: AIMessage) -> None:
        variable = str(line.content)
        if self.fails_in is not None and variable:
            raise self.fails_in

    @staticmethod
    def _chunks(line: AIMessage) -> Iterator[ChatGenerationChunk]:
        blocks: list[Any] = line.content if isinstance(line.content, list) else [{"type": "text", "text": line.content}]
        for index, block in enumerate(blocks):
            name = "reasoning" if block["type"] == "reasoning" else "text"
            said = block[name]
            for half in (said[: len(said) // 2], said[len(said) // 2 :]):
                yield ChatGenerationChunk(
                    message=AIMessageChunk(content=[{"type": name, name: half, "index": index}])
                )
        for index, call in enumerate(line.tool_calls):
            part: Any = {**call, "args": json.dumps(call["args"]), "index": index, "type": "tool_call_chunk"}
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[part]))


class Writer(LLM):
    """A model of the kind that completes a text."""

    text: str

    @property
    def _llm_type(self) -> str:
        return "writer"

    def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
        return self.text

    def _stream(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        for half in (self.text[:9], self.text[9:]):
            if run_manager is not None:
                run_manager.on_llm_new_token(half)
            yield GenerationChunk(text=half)


class Shelf(BaseRetriever):
    """A retriever that finds what it holds, or fails."""

    holds: Document | None

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        if self.holds is None:
            variable = query.upper()
            raise LookupError(f"nothing found, {len(variable)}")
        return [self.holds]


def speaker(*lines: Line, **options: Any) -> Speaker:
    """A model with these lines, said again and again."""
    return Speaker(lines=cycle(lines), **options)


def reply(canaries: Canaries) -> AIMessage:
    """An answer with reasoning."""
    return AIMessage(
        [
            {"type": "reasoning", "reasoning": f"Let me see: {canaries['reasoning']}."},
            {"type": "text", "text": f"It is {canaries['answer']}."},
        ]
    )


def calling(canaries: Canaries) -> AIMessage:
    """An answer that calls the tool."""
    args = {"subject": canaries["tool call"], "deep": {"list": [canaries["deep argument"]]}}
    return AIMessage("", tool_calls=[ToolCall(name="look", args=args, id="call-1", type="tool_call")])


def look(canaries: Canaries, fails: Exception | None = None) -> StructuredTool:
    """A tool with a definition and a result, or a failure."""

    class Wanted(BaseModel):
        subject: str
        deep: dict[str, Any] = {"default": canaries["definition's default"]}

    def find(subject: str, deep: dict[str, Any]) -> Any:
        variable = canaries["variable"]
        if fails is not None and variable:
            raise fails
        return {"found": canaries["tool result"]}

    return StructuredTool.from_function(
        find, name="look", description=f"Looks up {canaries['definition']}.", args_schema=Wanted
    )


def prompt(canaries: Canaries) -> list[Any]:
    """What a chat model is asked."""
    return [SystemMessage(f"Be {canaries['system']}."), HumanMessage(f"What is {canaries['prompt']}?")]


def labels(canaries: Canaries) -> dict[str, Any]:
    """Tags and metadata, chosen and not."""
    return {
        "tags": [canaries["tag"]],
        "metadata": {"tenant": canaries["metadata"], "other": canaries["other metadata"]},
    }


# -- Scenes ----------------------------------------------------------------------------------------------------

ASKED = {"system": IN, "prompt": IN}
ANSWERED = {"reasoning": OUT, "answer": OUT}
LABELLED = {"tag": IN, "metadata": IN, "other metadata": NOWHERE}
DEFINED = {"definition": IN, "definition's default": IN}
CALLED = {"tool call": BOTH, "deep argument": BOTH}


def _model(canaries: Canaries) -> Any:
    return speaker(reply(canaries)), prompt(canaries)


def _text_model(canaries: Canaries) -> Any:
    return Writer(text=f"It is {canaries['answer']}."), f"What is {canaries['prompt']}?"


def _calling_model(canaries: Canaries) -> Any:
    return speaker(calling(canaries)).bind_tools([look(canaries)]), prompt(canaries)


def _history(canaries: Canaries) -> Any:
    messages = [
        *prompt(canaries),
        calling(canaries),
        ToolMessage(canaries["tool result"], tool_call_id="call-1", artifact=canaries["artifact"]),
        HumanMessage([{"type": "text", "text": "And?"}, {"type": "image", "base64": canaries["image"]}]),
    ]
    return speaker(reply(canaries)), messages


def _chain(canaries: Canaries) -> Any:
    asked = ChatPromptTemplate.from_messages([("system", f"Be {canaries['system']}."), ("user", "What is {it}?")])
    return asked | speaker(reply(canaries)) | StrOutputParser(), {"it": canaries["prompt"]}


def _rag(canaries: Canaries) -> Any:
    found = Document(canaries["document"], id="1", metadata={"source": canaries["document's metadata"]})
    asked = ChatPromptTemplate.from_messages([("system", "Answer from {found}."), ("user", "{question}")])
    chain = {"found": Shelf(holds=found), "question": RunnablePassthrough()} | asked | speaker(reply(canaries))
    return chain | StrOutputParser(), canaries["query"]


def _retriever(canaries: Canaries) -> Any:
    found = Document(canaries["document"], id="1", metadata={"source": canaries["document's metadata"]})
    return Shelf(holds=found), canaries["query"]


def _tool(canaries: Canaries) -> Any:
    return look(canaries), {"subject": canaries["tool argument"], "deep": {"list": [canaries["deep argument"]]}}


def _agent(canaries: Canaries) -> Any:
    model = speaker(calling(canaries), reply(canaries))
    agent = create_agent(model, [look(canaries)], system_prompt=f"Be {canaries['system']}.", name="scout")
    return agent, {"messages": [HumanMessage(f"What is {canaries['prompt']}?")]}


def _agent_in_a_chain(canaries: Canaries) -> Any:
    agent, asked = _agent(canaries)
    return RunnableLambda(lambda text: asked) | agent | RunnableLambda(lambda state: state["messages"][-1].text), "?"


def _agent_in_a_tool(canaries: Canaries) -> Any:
    agent, asked = _agent(canaries)

    def ask(question: str) -> str:
        """Ask the agent."""
        return str(agent.invoke(asked)["messages"][-1].text)

    return StructuredTool.from_function(ask), {"question": canaries["question"]}


def _broken_model(canaries: Canaries) -> Any:
    error = RuntimeError(f"The model says {canaries['message']}.")
    error.add_note(f"Note {canaries['note']}.") if hasattr(error, "add_note") else None
    return speaker(reply(canaries), fails_in=error), prompt(canaries)


def _broken_chain(canaries: Canaries) -> Any:
    model, messages = _broken_model(canaries)
    return RunnableLambda(lambda text: messages) | model | StrOutputParser(), "?"


def _broken_tool(canaries: Canaries) -> Any:
    tool, asked = _tool(canaries)
    failing = look(canaries, ValueError(f"The tool says {canaries['message']}."))
    return RunnableLambda(lambda text: asked) | failing, "?"


def _broken_retriever(canaries: Canaries) -> Any:
    return Shelf(holds=None), canaries["query"]


def _broken_agent(canaries: Canaries) -> Any:
    failing = look(canaries, ValueError(f"The tool says {canaries['message']}."))
    model = speaker(calling(canaries), reply(canaries))
    agent = create_agent(model, [failing], system_prompt=f"Be {canaries['system']}.", name="scout")
    return agent, {"messages": [HumanMessage(f"What is {canaries['prompt']}?")]}


class Forecast(BaseModel):
    """What a parser wants."""

    degrees: int


def _unreadable_answer(canaries: Canaries) -> Any:
    model = speaker(AIMessage(json.dumps({"degrees": canaries["answer"]})))
    return model | PydanticOutputParser(pydantic_object=Forecast), canaries["prompt"]


def _refused_argument(canaries: Canaries) -> Any:
    return look(canaries), {"subject": {"no text": canaries["tool argument"]}}


def _http_error(canaries: Canaries) -> Any:
    def refuse(request: httpx.Request) -> httpx.Response:
        error = {"message": f"No: {canaries['body']}", "type": "invalid_request_error", "code": None}
        return httpx.Response(400, json={"error": error}, headers={"x-request-id": canaries["header"]})

    transport = httpx.MockTransport(refuse)
    model = ChatOpenAI(
        model="gpt-4o-mini",
        base_url="http://openai.test/v1",
        api_key=SecretStr("none"),
        max_retries=0,
        http_client=httpx.Client(transport=transport),
        http_async_client=httpx.AsyncClient(transport=transport),
    )
    return model, prompt(canaries)


MESSAGES = {"message": MESSAGE}

SCENES = (
    Scene("model", _model, ASKED | ANSWERED | LABELLED, ways.V3, labels),
    Scene("text model", _text_model, {"prompt": IN, "answer": OUT} | LABELLED, options=labels),
    Scene(
        "model that calls a tool",
        _calling_model,
        ASKED | DEFINED | {"tool call": OUT, "deep argument": OUT},
        ways.ANY,
    ),
    Scene(
        "history",
        _history,
        ASKED | ANSWERED | {"tool call": IN, "deep argument": IN, "tool result": IN, "artifact": NOWHERE, "image": NOWHERE},
        ways.V3,
    ),
    Scene("chain", _chain, ASKED | ANSWERED | LABELLED, options=labels),
    Scene(
        "rag",
        _rag,
        ANSWERED | LABELLED | {"query": IN, "document": BOTH, "document's metadata": BOTH},
        options=labels,
    ),
    Scene("retriever", _retriever, {"query": IN, "document": OUT, "document's metadata": OUT} | LABELLED, ways.WHOLE, labels),
    Scene(
        "tool",
        _tool,
        {"definition": IN, "tool argument": IN, "deep argument": IN, "tool result": OUT} | LABELLED,
        ways.WHOLE,
        labels,
    ),
    Scene(
        "agent",
        _agent,
        ASKED | ANSWERED | DEFINED | CALLED | LABELLED | {"tool result": BOTH},
        ways.V3,
        labels,
    ),
    Scene("agent in a chain", _agent_in_a_chain, ASKED | ANSWERED | DEFINED | CALLED | {"tool result": BOTH}),
    Scene(
        "agent in a tool",
        _agent_in_a_tool,
        ASKED | DEFINED | CALLED | {"reasoning": OUT, "answer": OUT, "tool result": BOTH, "question": IN},
        (ways.invoke,),
    ),
    Scene("broken model", _broken_model, ASKED | ANSWERED | MESSAGES | {"note": MESSAGE}, ways.V3),
    Scene("broken chain", _broken_chain, ASKED | ANSWERED | MESSAGES | {"note": MESSAGE}),
    Scene(
        "broken tool",
        _broken_tool,
        {"definition": IN, "tool argument": IN, "deep argument": IN, "variable": FRAME} | MESSAGES,
    ),
    Scene("broken retriever", _broken_retriever, {"query": IN}, ways.WHOLE),
    Scene("broken agent", _broken_agent, ASKED | DEFINED | CALLED | MESSAGES | {"variable": FRAME}, ways.V3),
    Scene("unreadable answer", _unreadable_answer, {"prompt": IN, "answer": OUT}),
    Scene("refused argument", _refused_argument, {"definition": IN, "tool argument": IN}, ways.WHOLE),
    Scene("http error", _http_error, ASKED | {"header": FRAME, "body": MESSAGE}),
)
