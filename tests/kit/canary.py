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

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.callbacks import AsyncCallbackHandler, CallbackManagerForRetrieverRun
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
from langgraph.pregel import Pregel
from pydantic import BaseModel, SecretStr

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.demo.serve import Elsewhere
from tests.kit import endings
from tests.kit.trees import ways

IN = frozenset({"in"})
"""What goes into a run: prompts, tool definitions and arguments, queries, tags and metadata."""
OUT = frozenset({"out"})
"""What comes out of it: answers, reasoning, tool calls, results of tools, documents."""
BOTH = IN | OUT
"""What comes out of one run and goes into the next: told if either is allowed."""
FRAME = frozenset({"frame"})
"""Variables of stack frames, which may be anything: told if all is allowed and nothing is redacted."""
MESSAGE = frozenset({"message"})
"""What is filled into the message of an exception: told by the issue if all is allowed, and by no span."""
NOWHERE: frozenset[str] = frozenset()
"""What is never told."""


def perhaps(kinds: frozenset[str]) -> frozenset[str]:
    """What may be told wherever these kinds of content are, but need not be."""
    return frozenset(f"{kind}?" for kind in kinds)


class Canaries(dict[str, str]):
    """A word of its own for each place that is asked for. It is made at run time, as issues quote source code.

    Args:
        url: Where the server is that refuses everything.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

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
        handler = SentryStreamHandler(metadata_keys=["tenant"], metrics=True, **settings)
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
    """What it fails with at the end of its answer."""
    hangs: bool = False
    """Whether it hangs at the end of its answer."""

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
        yield from self._chunks(line)
        self._fail(line)

    async def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        line = self._next()
        for chunk in self._chunks(line):
            yield chunk
        if self.hangs:
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
                yield ChatGenerationChunk(message=AIMessageChunk(content=[{"type": name, name: half, "index": index}]))
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
        HumanMessage(
            [{"type": "text", "text": "And?"}, {"type": "image", "base64": canaries["image"], "mime_type": "image/png"}]
        ),
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
    return speaker(reply(canaries), fails_in=error), prompt(canaries)


def _broken_chain(canaries: Canaries) -> Any:
    model, messages = _broken_model(canaries)
    return RunnableLambda(lambda text: messages) | model | StrOutputParser(), "?"


def _broken_tool(canaries: Canaries) -> Any:
    _, asked = _tool(canaries)
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


def _unreadable_structure(canaries: Canaries) -> Any:
    call = ToolCall(name="Forecast", args={"degrees": canaries["answer"]}, id="call-1", type="tool_call")
    wanted = ToolStrategy(Forecast, handle_errors=False)
    agent = create_agent(speaker(AIMessage("", tool_calls=[call])), [], response_format=wanted)
    return agent, {"messages": [HumanMessage(canaries["prompt"])]}


def _refused_argument(canaries: Canaries) -> Any:
    return look(canaries), {"subject": [canaries["tool argument"]]}


def _http_error(canaries: Canaries) -> Any:
    told = {"x-body": canaries["body"], "x-header": canaries["header"]}
    model = ChatOpenAI(
        model="gpt-4o-mini",
        base_url=f"{canaries.url}/v1",
        api_key=SecretStr(canaries["key"]),
        default_headers=told,
        max_retries=0,
    )
    return model, prompt(canaries)


def refusing() -> FastAPI:
    """A server that refuses everything, with the words that it is asked to refuse it with."""
    app = Elsewhere()

    @app.post("/v1/chat/completions")
    async def refuse(request: Request) -> JSONResponse:
        error = {"message": f"No: {request.headers['x-body']}", "type": "invalid_request_error", "code": None}
        return JSONResponse({"error": error}, 400, headers={"x-request-id": request.headers["x-header"]})

    return app


def _hanging_model(canaries: Canaries) -> Any:
    return speaker(reply(canaries), hangs=True), prompt(canaries)


def _hanging_chain(canaries: Canaries) -> Any:
    model, messages = _hanging_model(canaries)
    return RunnableLambda(lambda text: messages) | model | StrOutputParser(), "?"


def _hanging_agent(canaries: Canaries) -> Any:
    model, _ = _hanging_model(canaries)
    agent = create_agent(model, [look(canaries)], system_prompt=f"Be {canaries['system']}.")
    return agent, {"messages": [HumanMessage(f"What is {canaries['prompt']}?")]}


def _several(app: Any, question: Any) -> Any:
    return app, [question, question]


class Watch(AsyncCallbackHandler):
    """Says when an answer has arrived, of a model that hangs then."""

    run_inline = True

    def __init__(self) -> None:
        self.tokens = 0
        self.arrived = asyncio.Event()

    async def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens += 1
        if self.tokens == 4:  # two halves of reasoning, two of text
            self.arrived.set()


def _watched(app: Any, config: Any) -> tuple[Watch, Any, dict[str, Any]]:
    watch = Watch()
    options = {"stream_mode": "messages"} if isinstance(app, Pregel) else {}
    return watch, {**config, "callbacks": [*config["callbacks"], watch]}, options


async def left(app: Any, question: Any, config: Any) -> None:
    """Leave an async stream when the answer is there."""
    watch, config, options = _watched(app, config)
    await endings.close(app.astream(question, config, **options), watch.arrived.is_set)


async def left_sync(app: Any, question: Any, config: Any) -> None:
    """Leave a sync stream when the answer is there."""
    watch, config, options = _watched(app, config)
    endings.close_sync(app.stream(question, config, **options), watch.arrived.is_set)


async def cancelled(app: Any, question: Any, config: Any) -> None:
    """Cancel the task that reads a stream when the answer is there."""
    watch, config, options = _watched(app, config)
    await endings.cancel(app.astream(question, config, **options), watch.arrived.is_set)


LEFT = (left, left_sync, cancelled)
MESSAGES = {"message": MESSAGE}
PARTIAL = {"answer": OUT, "reasoning": perhaps(OUT)}
STREAMS = (ways.stream, ways.astream, ways.astream_events_v2)
V3_STREAMS = tuple(way for way in ways.V3 if way not in ways.ANY)

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
        ASKED
        | ANSWERED
        | {"tool call": IN, "deep argument": IN, "tool result": IN, "artifact": NOWHERE, "image": NOWHERE},
        ways.V3,
    ),
    Scene("chain", _chain, ASKED | ANSWERED | LABELLED, options=labels),
    Scene(
        "rag",
        _rag,
        ANSWERED | LABELLED | {"query": IN, "document": BOTH, "document's metadata": BOTH},
        options=labels,
    ),
    Scene(
        "retriever",
        _retriever,
        {"query": IN, "document": OUT, "document's metadata": OUT} | LABELLED,
        ways.WHOLE,
        labels,
    ),
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
    Scene("broken model", _broken_model, ASKED | MESSAGES, ways.WHOLE),
    Scene("broken model that streams", _broken_model, ASKED | ANSWERED | MESSAGES, STREAMS),
    Scene("broken model in v3", _broken_model, ASKED | PARTIAL | MESSAGES, V3_STREAMS),
    Scene("broken chain", _broken_chain, ASKED | MESSAGES, ways.WHOLE),
    Scene("broken chain that streams", _broken_chain, ASKED | ANSWERED | MESSAGES, (ways.stream, ways.astream)),
    Scene(
        "broken tool",
        _broken_tool,
        {"definition": IN, "tool argument": IN, "deep argument": IN, "variable": FRAME} | MESSAGES,
    ),
    Scene("broken retriever", _broken_retriever, {"query": IN}, ways.WHOLE),
    Scene("broken agent", _broken_agent, ASKED | DEFINED | CALLED | MESSAGES | {"variable": FRAME}, ways.V3),
    Scene("unreadable answer", _unreadable_answer, {"prompt": IN, "answer": OUT}),
    Scene("unreadable structure", _unreadable_structure, {"prompt": IN, "answer": OUT}, ways.V3),
    Scene("refused argument", _refused_argument, {"definition": IN, "tool argument": IN}, ways.WHOLE),
    Scene("http error", _http_error, ASKED | {"header": perhaps(FRAME), "body": MESSAGE, "key": perhaps(FRAME)}),
    Scene("abandoned model", _hanging_model, ASKED | PARTIAL, LEFT),
    Scene("abandoned chain", _hanging_chain, ASKED | PARTIAL, LEFT),
    Scene("abandoned agent", _hanging_agent, ASKED | DEFINED | PARTIAL, (left, cancelled)),
    Scene("batch", lambda canaries: _several(*_chain(canaries)), ASKED | ANSWERED | LABELLED, ways.BATCH, labels),
)
