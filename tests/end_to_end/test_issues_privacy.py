"""Without content, an issue has no variables, and of a message only what stands in source code or is the system's."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sentry_sdk
from langchain_core.embeddings import Embeddings
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser, StrOutputParser
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import tool
from pydantic import BaseModel, ValidationError

from sentry_langchain_stream import SentryStreamHandler, SentryStreamIntegration
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.absent import needs
from tests.kit.wire import ScriptedModel, content_allowed

ANSWER = f"a very private answer {uuid4().hex}"
"""Made at run time: what stands in source code may be sent."""
EMPTY: dict[str, str] = {}
HANDLED: Any = {"callbacks": [SentryStreamHandler()]}


def after_the_answer(step: Callable[[str], Any]) -> Runnable[Any, Any]:
    """A chain whose step gets the private answer."""
    return ScriptedModel(pieces=(ANSWER,)) | StrOutputParser() | RunnableLambda(lambda text: step(str(text)))


class Parsed(BaseModel):
    """What the answer is not."""

    number: int


def quotes(text: str) -> None:
    raise ValueError(f"no such order: {text!r}, line {12}")


def repeats(text: str) -> None:
    try:
        quotes(text)
    except ValueError as error:
        raise RuntimeError(f"it failed with {error!r}") from error


def repeats_a_part(text: str) -> None:
    try:
        quotes(text)
    except ValueError as error:
        raise RuntimeError(str(error)[:40].splitlines()[0]) from None


def notes(text: str) -> None:
    error = ValueError("something went wrong")
    error.__notes__ = [f"the answer was {text}"]  # type: ignore[attr-defined, unused-ignore]
    raise error


def notes_the_answer(text: str) -> None:
    error = ValueError("something went wrong")
    error.__notes__ = [text]  # type: ignore[attr-defined, unused-ignore]
    raise error


def groups(text: str) -> None:
    raise ExceptionGroup("many of them", [ValueError(f"bad {text}"), KeyError(text)])  # type: ignore[name-defined, unused-ignore]  # noqa: F821


def refuses(text: str) -> None:
    from langchain_openai.chat_models.base import OpenAIRefusalError

    raise OpenAIRefusalError(text)


def _graph(node: Callable[[Any], Any]) -> Runnable[Any, Any]:
    from langgraph.graph import START, MessagesState, StateGraph

    graph: Any = StateGraph(MessagesState)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    app: Runnable[Any, Any] = graph.compile()
    return app | RunnableLambda(str)


def _unanswered_call() -> Runnable[Any, Any]:
    from langchain.agents import create_agent

    call = {"name": "look", "args": {"for": ANSWER}, "id": "1", "type": "tool_call"}
    model = GenericFakeChatModel(messages=iter([AIMessage("", tool_calls=[call])]))

    def bad(_: Any) -> Any:
        raise ValueError(f"Found AIMessages with tool_calls that have no ToolMessage: {call}")

    return create_agent(model, []) | RunnableLambda(bad)


FAILURES: dict[str, Any] = {
    "json": lambda: ScriptedModel(pieces=(ANSWER,)) | JsonOutputParser(),
    "pydantic": lambda: ScriptedModel(pieces=(ANSWER,)) | PydanticOutputParser(pydantic_object=Parsed),
    "quotes": lambda: after_the_answer(quotes),
    "repeats": lambda: after_the_answer(repeats),
    "repeats a part": lambda: after_the_answer(repeats_a_part),
    "notes": lambda: after_the_answer(notes),
    "a note": lambda: after_the_answer(notes_the_answer),
    "int": lambda: after_the_answer(int),
    "a key": lambda: after_the_answer(lambda text: EMPTY[text]),
    "a file": lambda: after_the_answer(open),
    "an attribute": lambda: after_the_answer(lambda text: getattr(text, text)),
    "refusal": lambda: after_the_answer(refuses),
    "update": lambda: _graph(lambda state: ANSWER),
    "message": lambda: _graph(lambda state: {"messages": [{"content": ANSWER}]}),
    "tool call": _unanswered_call,
}
if sys.version_info >= (3, 11):
    FAILURES["group"] = lambda: after_the_answer(groups)


def swallowed(error: Exception) -> None:
    """The issue is ours."""


def logged(error: Exception) -> None:
    """The issue is the logging integration's, whose message is a text that is filled in."""
    logging.getLogger("application").exception(f"it failed with {error!r}")


REPORTS = (swallowed, sentry_sdk.capture_exception, logged)


def issue(app: Runnable[Any, Any], report: Callable[[Exception], Any] = swallowed, **client: Any) -> dict[str, Any]:
    """The one event of a failure, without breadcrumbs, which are the application's."""
    captured: Captured
    with capture_spans(**client) as captured:
        try:
            app.invoke("Hi", HANDLED)
        except Exception as error:
            report(error)
        (event,) = captured.events
    event.pop("breadcrumbs", None)
    return event


def ask(name: str, report: Callable[[Exception], Any], **client: Any) -> dict[str, Any]:
    app = FAILURES[name]()
    given: Any = {"messages": []} if name in ("update", "message", "tool call") else "Hi"
    return issue(RunnableLambda(lambda _: given) | app, report, **client)


@needs("langchain_openai", "langgraph", "langchain")
@pytest.mark.parametrize("report", REPORTS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("client", [{}, content_allowed(False)], ids=["default", "denied"])
def test_no_exception_quotes_content(name: str, report: Callable[[Exception], Any], client: dict[str, Any]) -> None:
    """Whatever an exception quotes, as a whole or in part, and whoever reports it, no word of the answer leaves."""
    event = ask(name, report, **client)
    sent = json.dumps(event)
    assert ANSWER not in sent
    assert ANSWER[-32:] not in sent
    assert ANSWER[-32:-24] not in sent
    frames = [
        frame for each in event["exception"]["values"] for frame in (each.get("stacktrace") or {}).get("frames", ())
    ]
    assert frames
    assert not any("vars" in frame for frame in frames)


@pytest.mark.parametrize("report", REPORTS, ids=lambda each: each.__name__)
def test_the_words_of_the_source_code_are_sent(report: Callable[[Exception], Any]) -> None:
    """What the developer wrote stays readable, with a mark where something was filled in."""
    event = ask("quotes", report)
    assert event["exception"]["values"][-1]["value"] == "no such order: [Filtered]"


@pytest.mark.parametrize("report", REPORTS, ids=lambda each: each.__name__)
def test_a_note_that_is_the_answer_is_filtered(report: Callable[[Exception], Any]) -> None:
    """A note with nothing of the source code in it leaves as a mark, below the exception's own message."""
    event = ask("a note", report)
    assert event["exception"]["values"][-1]["value"] == "something went wrong\n[Filtered]"


@tool
def count(number: int) -> str:
    """Count."""
    return ""


def _tool_nodes() -> tuple[Any, Any]:
    try:  # LangChain 1.0 had a node of its own
        from langchain.tools.tool_node import ToolInvocationError, _ToolNode  # type: ignore[attr-defined, unused-ignore]
    except ImportError:
        from langgraph.prebuilt.tool_node import ToolInvocationError
        from langgraph.prebuilt.tool_node import ToolNode as _ToolNode
    return _ToolNode, ToolInvocationError


def _tool_node() -> Runnable[Any, Any]:
    ToolNode, _ = _tool_nodes()
    call = {"name": "count", "args": {"number": ANSWER}, "id": "1", "type": "tool_call"}
    node: Any = ToolNode([count], handle_tool_errors=False)
    return RunnableLambda(lambda _: {"messages": [AIMessage("", tool_calls=[call])]}) | _graph(node)


def refuses_its_own_words(_: str) -> None:
    try:
        count.invoke({"number": "words of the source code"})
    except ValidationError as error:
        raise error.with_traceback(None) from None


def refuses_its_own_call(_: str) -> None:
    _, ToolInvocationError = _tool_nodes()
    error: Any = ValidationError.from_exception_data("count", [])
    raise ToolInvocationError("count", error, {"number": "words of the source code"})


REFUSED_ARGUMENTS: dict[str, Any] = {
    "ValidationError": lambda: RunnableLambda(lambda _: {"number": ANSWER}) | count,
    "ToolInvocationError": _tool_node,
    "ValidationError of known words": lambda: after_the_answer(refuses_its_own_words),
    "ToolInvocationError of known words": lambda: after_the_answer(refuses_its_own_call),
}


@needs("langgraph")
@pytest.mark.parametrize("report", REPORTS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("name", REFUSED_ARGUMENTS)
def test_an_exception_that_quotes_arguments_is_an_input(name: str, report: Callable[[Exception], Any]) -> None:
    """With outputs allowed and inputs not, it has no message, not even words of it that stand in the source code."""
    event = issue(REFUSED_ARGUMENTS[name](), report, data_collection={"gen_ai": {"inputs": False, "outputs": True}})
    values = {each["type"]: each["value"] for each in event["exception"]["values"]}
    assert values[name.split()[0]] is None
    assert set(values.values()) == {None}
    assert ANSWER[-32:] not in json.dumps(event)


@pytest.mark.parametrize("report", REPORTS, ids=lambda each: each.__name__)
def test_with_content_allowed_nothing_is_removed(report: Callable[[Exception], Any]) -> None:
    """With all content allowed a message is sent as it is, and the variables as well."""
    event = ask("quotes", report, **content_allowed(True))
    (value,) = event["exception"]["values"]
    assert ANSWER in value["value"]
    assert any("vars" in frame for frame in value["stacktrace"]["frames"])


@pytest.mark.parametrize("report", REPORTS, ids=lambda each: each.__name__)
def test_redact_sees_every_message(report: Callable[[Exception], Any]) -> None:
    """With all content allowed and `redact`, messages and log messages are redacted, and there are no variables."""
    handler = SentryStreamHandler(redact=lambda text: text.replace(ANSWER, "***"))
    with capture_spans(**content_allowed(True)) as captured:
        try:
            after_the_answer(quotes).invoke("Hi", {"callbacks": [handler]})
        except ValueError as error:
            report(error)
        (event,) = captured.events
    event.pop("breadcrumbs", None)
    assert ANSWER not in json.dumps(event)
    assert event["exception"]["values"][-1]["value"] == "no such order: '***', line 12"


def refused(_: str) -> None:
    httpx.get("http://127.0.0.1:9/")


def limited(text: str) -> None:
    address = f"http://127.0.0.1/{text[-32:]}"
    httpx.Response(429, request=httpx.Request("GET", address)).raise_for_status()


def limited_by_openai(text: str) -> None:
    import openai

    body = {"message": text, "code": "rate_limit_exceeded"}
    response: Any = httpx.Response(429, request=httpx.Request("POST", "http://127.0.0.1/"))
    raise openai.RateLimitError(f"Error code: {response.status_code} - {body}", response=response, body=body)


def throttled_by_bedrock(text: str) -> None:
    from botocore.exceptions import ClientError  # type: ignore[import-untyped, unused-ignore]

    reason = {"Code": "ThrottlingException", "Message": text}
    raise ClientError({"Error": reason, "ResponseMetadata": {"HTTPStatusCode": 429}}, "ConverseStream")


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (refused, "[Errno 111] Connection refused"),
        (limited, "status 429"),
        (limited_by_openai, "Error code: [Filtered]"),
        (limited_by_openai, "status 429, rate_limit_exceeded"),
        pytest.param(throttled_by_bedrock, "status 429, ThrottlingException", marks=needs("botocore")),
        (lambda _: 1 // 0, "integer division or modulo by zero"),
        (lambda _: None.missing, "'NoneType' object has no attribute 'missing'"),  # type: ignore[attr-defined]
        (lambda _: EMPTY["missing"], "'missing'"),
    ],
)
def test_what_the_system_says_is_readable(step: Callable[[str], Any], expected: str) -> None:
    """A network error, an HTTP status and what the interpreter says can be read."""
    if step is limited_by_openai:
        pytest.importorskip("openai")
    value = issue(after_the_answer(step))["exception"]["values"][-1]["value"]
    if sys.platform != "linux":
        value = value.replace("[Errno 61]", "[Errno 111]")
    assert expected in value or (expected.startswith("integer") and "by zero" in value)
    assert ANSWER[-32:] not in value


@pytest.mark.parametrize("allowed", [True, False])
def test_a_message_of_which_nothing_is_removed_stays_as_it_is(allowed: bool) -> None:
    """An application's own exception with a status has the title that it has without the handler."""

    class NotAvailable(Exception):
        status_code = 502

    with capture_spans(**content_allowed(allowed)) as captured:
        try:
            try:
                after_the_answer(lambda text: 1 // 0).invoke("Hi", HANDLED)
            except ZeroDivisionError as error:
                raise NotAvailable("no answer today") from error
        except NotAvailable as error:
            sentry_sdk.capture_exception(error)
    (event,) = captured.events
    assert event["exception"]["values"][-1]["value"] == "no answer today"


def test_what_is_not_ours_is_left_alone() -> None:
    """An exception that has come through no run of ours is reported as it is."""
    with capture_spans() as captured:
        after_the_answer(str).invoke("Hi", HANDLED)
        try:
            quotes(ANSWER)
        except ValueError as error:
            sentry_sdk.capture_exception(error)
        (event,) = captured.events
    assert ANSWER in event["exception"]["values"][-1]["value"]
    assert any("vars" in frame for frame in event["exception"]["values"][-1]["stacktrace"]["frames"])


def test_each_handler_that_saw_the_run_can_forbid_content() -> None:
    """With one handler inside and one outside, the issue has what both of them allow."""
    inner, outer = SentryStreamHandler(include_prompts=False), SentryStreamHandler()
    with capture_spans(**content_allowed(True)) as captured:
        try:
            after_the_answer(quotes).with_config(callbacks=[outer]).invoke("Hi", {"callbacks": [inner]})
        except ValueError as error:
            sentry_sdk.capture_exception(error)
    (event,) = captured.events
    assert ANSWER not in json.dumps(event, default=str)


class _Refusing(Embeddings):
    """Fails, and quotes what it was to embed."""

    model = "text-embedding-3-small"
    client = object()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise ValueError(f"cannot embed {texts[0]}")

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


@pytest.mark.parametrize("way", ["embed_query", "aembed_query"])
async def test_embeddings_outside_of_runs_are_private_too(way: str) -> None:
    """The event of an embedding that fails has no variables and no texts, though no run of LangChain is around it."""
    with capture_spans(integrations=[SentryStreamIntegration(providers=False)]) as captured:
        try:
            found = getattr(_Refusing(), way)(ANSWER)
            await found
        except ValueError as error:
            sentry_sdk.capture_exception(error)
    (event,) = captured.events
    assert captured.find(op="gen_ai.embeddings").attributes["langchain_stream.outcome"] == "failed"
    assert ANSWER not in json.dumps(event, default=str)
    assert "cannot embed " in event["exception"]["values"][-1]["value"]
