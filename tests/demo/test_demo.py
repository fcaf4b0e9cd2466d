"""The demo, and the endpoint and servers that it is made of."""

from __future__ import annotations

import asyncio
import io
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import openai
import pytest
from fastapi import FastAPI, Request, Response
from httpx_sse import connect_sse
from langchain_openai import ChatOpenAI
from pydantic import SecretStr
from rich.console import Console
from typer.testing import CliRunner, Result

import sentry_langchain_stream
from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.cli import app as command_line
from sentry_langchain_stream.demo import show, story
from sentry_langchain_stream.demo.endpoint import Answer, Received, ToolCall, create_endpoint
from sentry_langchain_stream.demo.reader import Reading
from sentry_langchain_stream.demo.serve import Elsewhere, serving
from sentry_langchain_stream.demo.verdict import Expected, verdict
from sentry_langchain_stream.testing import CapturedSpan, capture_spans
from tests.kit import HANG
from tests.kit.contrast import contrast

# -- the command ----------------------------------------------------------------------------------------------


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `demo` with some arguments, without a key, a DSN or pauses in the answer."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE", "SENTRY_DSN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(story, "ANSWER", replace(story.ANSWER, pause=0.0))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(command_line, ["demo", *arguments])

    return run


@pytest.mark.parametrize(("dialect", "op"), [("gen_ai", "gen_ai.chat"), ("ai", "ai.chat_completions.create.openai")])
def test_demo_shows_a_right_span(demo: Any, dialect: str, op: str) -> None:
    """The demo shows the answer, the tree and the three attributes, finds every check to hold and exits with 0."""
    result = demo("--dialect", dialect)
    assert result.exit_code == 0, result.output
    assert story.ANSWER.text in result.output
    assert re.search(rf"http\.server  /answer .*\n(.*\n)*.*── {re.escape(op)} ", result.output)
    for current, older, value in (
        ("gen_ai.usage.total_tokens", "ai.total_tokens", story.ANSWER.total_tokens),
        ("gen_ai.request.model", "ai.model_id", "gpt-4o-mini"),
        ("gen_ai.pipeline.name", "pipeline_name", "support-bot"),
    ):
        first, then = (
            re.search(rf"^{key} +{value}\b", result.output, re.MULTILINE) for key in (f" *{current}", f" *★ +{older}")
        )
        assert first is not None
        assert then is not None
        assert first.start() < then.start()
    assert "✗" not in result.output
    assert result.output.count("✓") == 11
    assert "The span is correct." in result.output


def test_demo_is_readable_on_any_background(demo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal words are in its own colour; only the marks have another, visible on white and on black."""
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm-256color"), ("COLORTERM", "truecolor")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    output = demo().output
    assert "\x1b[1m" in output
    styled = re.findall(r"\x1b\[([\d;]+)m([^\x1b]*)", output)
    coloured = [(codes, text) for codes, text in styled if codes not in {"0", "1"}]
    assert {text for _, text in coloured} == {"✓"}
    for style in (show._RIGHT, show._WRONG):
        mark = style.split()[-1]
        assert min(contrast(mark, background) for background in ("#ffffff", "#1e1e1e", "#000000")) >= 3, style


def test_demo_breaks_no_word(demo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the answer is wrapped between words, also if a chunk ends inside a word."""
    text = story.ANSWER.text
    pieces = tuple(text[start : start + 3] for start in range(0, len(text), 3))
    monkeypatch.setattr(story, "ANSWER", replace(story.ANSWER, pieces=pieces))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "50")
    output = demo().output
    answer = output[output.index("\nanswer    ") + 1 :].split("\n\n")[0].removeprefix("answer    ")
    lines = answer.split("\n")
    assert len(lines) > 3
    assert " ".join(line.strip() for line in lines) == text
    assert max(map(len, lines)) < 50


def test_demo_shows_a_word_when_its_end_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """No chunk waits longer than for the end of its word; scripts without spaces, and words too long, do not wait."""
    out = io.StringIO()
    answer = show.StreamedAnswer(Console(file=out, width=30, force_terminal=True, color_system=None))
    seen = []
    for chunk in ("One", " tw", "o ", "東京", "は", "x" * 40, "\nend"):
        answer.add(chunk)
        seen.append(out.getvalue())
    answer.end()
    line = "\n" + " " * 10
    assert seen[:5] == ["", "One", "One two", "One two 東京", "One two 東京は"]
    assert seen[5].endswith("は" + line + "x" * 40)
    assert out.getvalue().endswith("x" + line + "end")


def test_demo_counts_chunks_as_chunks(demo: Any) -> None:
    """What the client counted are chunks; tokens are only what the provider reported."""
    output = demo().output
    assert f"{len(story.ANSWER.words)} chunks of text" in output
    assert "last chunk read at" in output
    verdicts = output[output.index("Verdict") :]
    keys = [line.split()[1] for line in verdicts.splitlines() if "token" in line]
    assert keys == ["gen_ai.usage.total_tokens", "ai.total_tokens,"]


def test_demo_takes_question_model_and_name(demo: Any) -> None:
    """Question, model and pipeline name are the user's to choose; square brackets in them are no markup."""
    result = demo("--question", "What is [bold]?", "--model", "gpt-9[red]", "--pipeline-name", "shop[b]")
    assert result.exit_code == 0, result.output
    assert "What is [bold]?" in result.output
    assert re.search(r"ai\.model_id +gpt-9\[red\]", result.output)
    assert re.search(r"pipeline_name +shop\[b\]", result.output)


@pytest.mark.parametrize(
    "arguments", [("--dialect", "latin"), ("--pipeline-name", " ")], ids=["unknown dialect", "empty name"]
)
def test_demo_refuses_wrong_arguments(demo: Any, arguments: tuple[str, str]) -> None:
    """A wrong argument is a usage error, which has the exit code 2, and names the option."""
    result = demo(*arguments)
    assert result.exit_code == 2
    assert arguments[0] in result.output


def test_demo_fails_with_the_model(demo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the API refuses, the demo shows the issue that Sentry receives, and exits with 1."""
    monkeypatch.setattr(story, "ANSWER", Answer(status=401))
    result = demo()
    assert result.exit_code == 1
    assert re.search(r"issue +\w*AuthenticationError: .*401", result.output)
    assert "✗  the answer arrived" in result.output
    assert "checks failed" in result.output


def test_demo_uses_the_api_if_there_is_a_key(demo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `OPENAI_API_KEY` the model is the one that ChatOpenAI is configured for, asked with that key."""
    api = create_endpoint(Answer("From elsewhere.", prompt_tokens=5, completion_tokens=4))
    with serving(api) as url:
        monkeypatch.setenv("OPENAI_API_KEY", "a-key")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
        result = demo()
    (request,) = received(api)
    assert request.headers["authorization"] == "Bearer a-key"
    assert "From elsewhere." in result.output
    assert re.search(r"★ +ai\.total_tokens +9\b", result.output)


@pytest.mark.parametrize(("status", "exit_code"), [(200, 0), (403, 1)])
def test_demo_sends_if_there_is_a_dsn(demo: Any, monkeypatch: pytest.MonkeyPatch, status: int, exit_code: int) -> None:
    """With `SENTRY_DSN` the envelopes are sent, and the demo says where to look, or that they were refused."""
    sentry = Elsewhere()
    paths: list[str] = []

    @sentry.post("/{path:path}")
    async def ingest(path: str, request: Request) -> Response:
        await request.body()
        paths.append(path)
        return Response(status_code=status)

    with serving(sentry) as url:
        monkeypatch.setenv("SENTRY_DSN", url.replace("://", "://public@") + "/42")
        result = demo()
    assert result.exit_code == exit_code, result.output
    assert {path.strip("/") for path in paths} == {"api/42/envelope"}
    assert re.search(r"trace id [0-9a-f]{32}", result.output)
    assert "Explore > Traces" in result.output
    assert "Insights > AI Agents" in result.output
    assert ("lost: " in result.output) == (status != 200)


def test_demo_refuses_a_wrong_dsn(demo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A DSN that is none is a usage error."""
    monkeypatch.setenv("SENTRY_DSN", "nonsense")
    result = demo()
    assert result.exit_code == 2
    assert "SENTRY_DSN" in result.output


@pytest.mark.parametrize("package", ["typer", "langchain_openai"])
def test_command_names_the_missing_extra(package: str) -> None:
    """Where a package of the extra is missing, the command says how to install it, without a traceback."""
    program = (
        f"import sys; sys.modules[{package!r}] = None; sys.argv = ['python -m sentry_langchain_stream', 'demo'];"
        "from sentry_langchain_stream.__main__ import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert f"{package} is not installed" in result.stderr
    assert "pip install 'sentry-langchain-stream[demo]'" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("argument", "told"), [("--help", "doctor"), ("--version", sentry_langchain_stream.__version__)]
)
def test_help_and_version_need_no_extra(argument: str, told: str) -> None:
    """Without the packages of the extra, both are printed."""
    program = (
        f"import sys; sys.modules['typer'] = None; sys.argv = ['x', {argument!r}];"
        "from sentry_langchain_stream.__main__ import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (result.returncode, told in result.stdout) == (0, True), result.stderr


def test_a_library_that_is_too_old_for_the_doctor_is_named() -> None:
    """If the doctor cannot be imported, it says which versions are installed, and what to install."""
    program = (
        "import sys; sys.modules['sentry_sdk.envelope'] = None; sys.argv = ['x', 'doctor'];"
        "from sentry_langchain_stream.__main__ import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (result.returncode, "Traceback" in result.stderr) == (1, False), result.stderr
    assert "pip install --upgrade 'sentry-sdk>=2.44,<3'" in result.stderr


def test_module_runs_without_warnings() -> None:
    """`python -m sentry_langchain_stream demo --help` works with warnings as errors."""
    command = [sys.executable, "-W", "error", "-m", "sentry_langchain_stream", "demo", "--help"]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONIOENCODING": "utf-8"}
    )
    assert result.returncode == 0, result.stderr
    assert "--dialect" in result.stdout


# -- the verdict ----------------------------------------------------------------------------------------------

ROOT = CapturedSpan(
    op="http.server",
    name="/answer",
    trace_id="1" * 32,
    span_id="a" * 16,
    parent_id=None,
    start=100.0,
    end=110.0,
    status="ok",
    origin="auto.http.fastapi",
    is_root=True,
    attributes={},
    shape="transaction",
)
CALL = replace(
    ROOT,
    op="gen_ai.chat",
    name="chat gpt-4o-mini",
    span_id="b" * 16,
    parent_id=ROOT.span_id,
    start=101.0,
    end=109.0,
    is_root=False,
    attributes={
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.total_tokens": 63,
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.pipeline.name": "support-bot",
        "ai.total_tokens": 63,
        "ai.model_id": "gpt-4o-mini",
        "pipeline_name": "support-bot",
        "langchain_stream.usage_source": "provider",
    },
)
TOOL = replace(CALL, op="gen_ai.execute_tool", attributes={"gen_ai.operation.name": "execute_tool"})
AGENT = replace(CALL, op="gen_ai.invoke_agent", attributes={})
READING = Reading(chunks=["a", "b"], times=[102.0, 108.0])
EXPECTED = Expected("gpt-4o-mini", "support-bot", "gen_ai", total_tokens=63)


def stated(key: str, value: object) -> CapturedSpan:
    """The right span, with another value of an attribute."""
    return replace(CALL, attributes={**CALL.attributes, key: value})


def failed(spans: list[CapturedSpan], reading: Reading = READING, expected: Expected = EXPECTED) -> list[str]:
    """The claims that do not hold."""
    return [check.claim for check in verdict(spans, reading, expected) if not check.holds]


@pytest.mark.parametrize(
    "spans", [[ROOT, CALL], [ROOT, CALL, TOOL, AGENT]], ids=["a model call", "with a tool and an agent"]
)
def test_verdict_accepts_what_is_right(spans: list[CapturedSpan]) -> None:
    """Every check holds for a right span; agents and tools are no model calls."""
    assert failed(spans) == []


@pytest.mark.parametrize(
    ("tampered", "claim"),
    [
        (replace(CALL, op="gen_ai.openai_chat"), "op is one of Sentry's"),
        (replace(CALL, op="ai.chat_completions.create.openai"), "op is one of Sentry's"),
        (replace(CALL, end=107.9), "open until the last chunk"),
        (replace(CALL, start=102.1), "open until the last chunk"),
        (replace(CALL, parent_id=None), "parent is the transaction"),
        (replace(CALL, parent_id="c" * 16), "parent is the transaction"),
        (stated("gen_ai.usage.total_tokens", 126), "gen_ai.usage.total_tokens is as reported"),
        (stated("gen_ai.request.model", "gpt-4o"), "gen_ai.request.model is as requested"),
        (stated("gen_ai.pipeline.name", "langchain"), "gen_ai.pipeline.name is as given"),
        (stated("ai.total_tokens", 126), "ai.total_tokens, of 2024, is the same"),
        (stated("ai.model_id", "gpt-4o"), "ai.model_id, of 2024, is the same"),
        (stated("pipeline_name", None), "pipeline_name, of 2024, is the same"),
    ],
    ids=[
        "made-up op",
        "op of the other dialect",
        "closed early",
        "opened late",
        "no parent",
        "unknown parent",
        "tokens counted twice",
        "other model",
        "other pipeline",
        "other tokens under the older key",
        "other model under the older key",
        "no pipeline under the older key",
    ],
)
def test_verdict_finds_what_is_wrong(tampered: CapturedSpan, claim: str) -> None:
    """A span that is wrong in one way fails the one check that is about it."""
    assert failed([ROOT, tampered]) == [claim]


def test_verdict_wants_the_transaction_as_parent() -> None:
    """A model span below another span of the request is not below its transaction."""
    between = replace(CALL, op="function", attributes={}, span_id="d" * 16)
    assert failed([ROOT, between, replace(CALL, parent_id=between.span_id)]) == ["parent is the transaction"]


def test_verdict_looks_through_middleware() -> None:
    """The spans that older SDKs make of middleware may stand between the transaction and the model span."""
    outer = replace(ROOT, op="middleware.starlette", span_id="e" * 16, parent_id=ROOT.span_id, is_root=False)
    inner = replace(outer, span_id="f" * 16, parent_id=outer.span_id)
    assert failed([ROOT, outer, inner, replace(CALL, parent_id=inner.span_id)]) == []


@pytest.mark.parametrize("spans", [[ROOT], [ROOT, CALL, CALL]], ids=["none", "two"])
def test_verdict_wants_exactly_one_model_span(spans: list[CapturedSpan]) -> None:
    """No model span, or two, fail the check that there is one."""
    assert failed(spans) == ["exactly one model span"]


def test_verdict_wants_an_answer() -> None:
    """An answer that broke off fails, and so does one without a chunk, which leaves nothing to time."""
    assert failed([ROOT, CALL], replace(READING, failure="cut")) == ["the answer arrived"]
    assert failed([ROOT, CALL], Reading()) == ["the answer arrived", "open until the last chunk"]


def test_verdict_on_the_real_api() -> None:
    """Where the true count is unknown, it must be the provider's and no estimate; a chunk may be in flight."""
    unknown = replace(EXPECTED, total_tokens=None)
    estimate = replace(CALL, attributes={**CALL.attributes, "langchain_stream.usage_source": "estimate"})
    assert failed([ROOT, replace(CALL, end=107.99)], expected=unknown) == []
    assert failed([ROOT, replace(CALL, end=107.0)], expected=unknown) == ["open until the last chunk"]
    assert failed([ROOT, estimate], expected=unknown) == ["gen_ai.usage.total_tokens is as reported"]


# -- the endpoint ---------------------------------------------------------------------------------------------


def received(api: FastAPI) -> list[Received]:
    """What an endpoint has received."""
    requests: list[Received] = api.state.requests
    return requests


def chat(url: str, **options: Any) -> ChatOpenAI:
    """A real client of an endpoint."""
    return ChatOpenAI(model="gpt-4o-mini", base_url=f"{url}/v1", api_key=SecretStr("k"), max_retries=0, **options)


ANSWER = Answer("One  two\nthree ", prompt_tokens=20, completion_tokens=7, cached_tokens=8, reasoning_tokens=2)


@pytest.mark.parametrize("stream_usage", [True, False])
def test_endpoint_streams_usage_if_asked(stream_usage: bool) -> None:
    """A stream has the answer's text whole, and its usage, with details, only if that was asked for."""
    with serving(create_endpoint(ANSWER)) as url:
        chunks = list(chat(url, stream_usage=stream_usage).stream("Count!"))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert [chunk.content for chunk in chunks if chunk.content] == ["One", "  two", "\nthree", " "]
    assert whole.response_metadata["finish_reason"] == "stop"
    assert whole.response_metadata["model_name"] == "gpt-4o-mini-2024-07-18"
    assert (whole.usage_metadata is not None) == stream_usage
    if whole.usage_metadata is not None:
        assert whole.usage_metadata["total_tokens"] == ANSWER.total_tokens == 27
        assert whole.usage_metadata["input_token_details"]["cache_read"] == 8
        assert whole.usage_metadata["output_token_details"]["reasoning"] == 2


def test_endpoint_answers_at_once_too() -> None:
    """Without streaming the same answer comes in one piece, always with its usage."""
    with serving(create_endpoint(replace(ANSWER, model="gpt-x"))) as url:
        message = chat(url).invoke("Count!")
    assert message.content == ANSWER.text
    assert message.response_metadata["model_name"] == "gpt-x"
    assert message.usage_metadata is not None
    assert message.usage_metadata["input_tokens"] == 20
    assert message.usage_metadata["output_tokens"] == 7


def test_endpoint_speaks_the_wire_format() -> None:
    """Role, content, finish reason, usage and `[DONE]` come as OpenAI sends them."""
    body = {"model": "gpt-4o-mini", "messages": [], "stream": True, "stream_options": {"include_usage": True}}
    with (
        serving(create_endpoint(Answer(pieces=("Hi", "!")))) as url,
        httpx.Client(trust_env=False) as client,
        connect_sse(client, "POST", f"{url}/v1/chat/completions", json=body) as source,
    ):
        *data, done = [event.data for event in source.iter_sse()]
    assert done == "[DONE]"
    chunks: list[dict[str, Any]] = [httpx.Response(200, content=each).json() for each in data]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    *choices, last = [chunk["choices"] for chunk in chunks]
    assert [choice["delta"].get("content") for (choice,) in choices] == ["", "Hi", "!", None]
    assert choices[0][0]["delta"]["role"] == "assistant"
    assert [choice["finish_reason"] for (choice,) in choices] == [None, None, None, "stop"]
    assert last == []
    assert [chunk["usage"] is None for chunk in chunks] == [True, True, True, True, False]


@pytest.mark.parametrize("streamed", [True, False])
def test_endpoint_calls_tools(streamed: bool) -> None:
    """Tool calls arrive with name, arguments and id, streamed and not."""
    calls = (ToolCall("weather", '{"city": "Vienna"}'), ToolCall("clock", id="call_2"))
    with serving(create_endpoint(Answer(tool_calls=calls))) as url:
        message = chat(url, streaming=streamed).invoke("Weather?")
    assert [(call["name"], call["args"], call["id"]) for call in message.tool_calls] == [
        ("weather", {"city": "Vienna"}, "call_1"),
        ("clock", {}, "call_2"),
    ]
    assert message.response_metadata["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, openai.AuthenticationError), (429, openai.RateLimitError), (500, openai.InternalServerError)],
)
def test_endpoint_fails_with_a_status(status: int, error: type[openai.APIStatusError]) -> None:
    """An error status is raised by the client as the error of that status, with the body's message."""
    with (
        serving(create_endpoint(Answer(status=status))) as url,
        pytest.raises(error, match=f"configured to answer {status}"),
    ):
        chat(url).invoke("Hello?")


def test_endpoint_cuts_the_connection() -> None:
    """After `cut_after` chunks the client sees the connection break, and Sentry no issue of the endpoint's."""
    arrived: list[object] = []

    def listen(url: str) -> None:
        for chunk in chat(url).stream("Hello?"):
            arrived.append(chunk.content)

    with capture_spans() as captured:
        with (
            serving(create_endpoint(Answer(pieces=("a", "b", "c"), cut_after=3))) as url,
            pytest.raises((openai.OpenAIError, httpx.HTTPError)),
        ):
            listen(url)
        assert [event for event in captured.events if event.get("logger") == "uvicorn.error"] == []
    assert [piece for piece in arrived if piece] == ["a", "b"]


async def test_endpoint_waits_at_the_gate() -> None:
    """A chunk is sent only when the gate lets it pass; what was sent before has arrived by then."""
    asked: list[int] = []
    may_pass = [asyncio.Event() for _ in range(5)]
    here = asyncio.get_running_loop()

    async def gate(chunk: int) -> None:
        asked.append(chunk)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(wait_for(chunk), here))

    async def wait_for(chunk: int) -> None:
        await may_pass[chunk].wait()

    seen: list[tuple[str, int]] = []
    with serving(create_endpoint(Answer(pieces=("a", "b"), gate=gate))) as url:
        may_pass[0].set()
        may_pass[1].set()
        async for chunk in chat(url, stream_usage=True).astream("Hello?"):
            if chunk.content:
                seen.append((chunk.text, max(asked)))
                for event in may_pass[: 3 if chunk.text == "a" else 5]:
                    event.set()
    assert seen[0][0] == "a"
    assert seen[0][1] <= 2
    assert seen[1][0] == "b"
    assert seen[1][1] <= 3
    assert asked == [0, 1, 2, 3, 4]


async def test_endpoint_stops_with_its_client() -> None:
    """If the client leaves, the endpoint does not go on to the end of the answer."""
    stopped = asyncio.Event()
    here = asyncio.get_running_loop()

    async def gate(chunk: int) -> None:
        if chunk > 1:
            try:
                await asyncio.Event().wait()
            finally:
                here.call_soon_threadsafe(stopped.set)

    with serving(create_endpoint(Answer(pieces=("a", "b"), gate=gate))) as url:
        stream = chat(url).astream("Hello?")
        async for chunk in stream:
            if chunk.content:
                break
        await stream.aclose()  # type: ignore[attr-defined]
        await asyncio.wait_for(stopped.wait(), timeout=HANG)


def test_endpoint_answers_by_request() -> None:
    """An answer may depend on the request, and every request is kept."""
    api = create_endpoint(lambda body: Answer(f"You said {body['messages'][0]['content']}."))
    with serving(api) as url:
        answers = [chat(url).invoke(word).content for word in ("yes", "no")]
    assert answers == ["You said yes.", "You said no."]
    assert [request.body["messages"][0]["content"] for request in received(api)] == ["yes", "no"]
    assert received(api)[0].headers["authorization"] == "Bearer k"


def test_endpoint_is_not_traced() -> None:
    """The Sentry client of the process sees the call of the endpoint, but not what the endpoint does."""
    with capture_spans() as captured:
        with serving(create_endpoint(Answer())) as url:
            chat(url).invoke("Hello?", config={"callbacks": [SentryStreamHandler()]})
        assert captured.find(op="gen_ai.chat")
        assert captured.find_all(op="http.server") == []


# -- the servers ----------------------------------------------------------------------------------------------


def test_serving_ends_with_its_block() -> None:
    """Two apps can be served at a time, each at its own port; after the block nobody answers."""
    with httpx.Client(trust_env=False) as client, serving(FastAPI()) as first:
        with serving(FastAPI()) as second:
            assert first != second
            assert client.get(f"{second}/openapi.json").status_code == 200
        assert client.get(f"{first}/openapi.json").status_code == 200
        with pytest.raises(httpx.ConnectError):
            client.get(f"{second}/openapi.json")


def test_serving_says_if_it_cannot_start() -> None:
    """An app whose start-up fails is a clear error, not a server that never answers."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if app.routes:
            raise OSError("no database")
        yield

    with pytest.raises(RuntimeError, match="did not start"), serving(FastAPI(lifespan=lifespan)):
        pass
