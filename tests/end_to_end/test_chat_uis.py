"""The page on Streamlit, Gradio and Chainlit: its apps, served as they are, with clients that do what a browser does.

Played where they are installed: `nox --session chat_uis`.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.output_parsers import StrOutputParser

from sentry_langchain_stream.testing import CapturedSpan
from tests.kit import HANG, REPOSITORY
from tests.kit.absent import needs
from tests.kit.chat_uis import App, chainlit_tab, environment, provider, question, served, streamlit_tab, until
from tests.kit.sentry_server import NOWHERE
from tests.kit.wire import BOTH_MODELS, DEFAULT_SHAPE, WIRE_SHAPES, ScriptedModel, content_allowed

pytestmark = needs("streamlit", "gradio", "gradio_client", "chainlit")

PAGE = (REPOSITORY / "docs" / "chat-uis.md").read_text(encoding="utf-8")
STREAMLIT, GRADIO, GRADIO_SYNC, CHAINLIT = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
OWN_TRACE = re.compile(
    r"^ +scope\.set_new_propagation_context\(\).*\n(?: +sentry_sdk\.get_current_scope.*\n)?", re.MULTILINE
)
"""The lines that give an answer a trace of its own."""


def in_shape(code: str, shape: str) -> str:
    """An app that sends this wire shape, and what was asked."""
    options = {"traces_sample_rate": 1.0, **WIRE_SHAPES[shape], **content_allowed(True)}
    return re.sub(r"sentry_sdk\.init\(.*\)", f"sentry_sdk.init(**{options!r})", code)


def without(pattern: re.Pattern[str] | str, code: str, instead: str = "") -> str:
    """An app without what the page recommends."""
    changed = re.sub(pattern, instead, code)
    assert changed != code
    return changed


@contextmanager
def checked(ui: str, code: str, folder: Path) -> Iterator[App]:
    """Serve an app, and check what it has sent once it has stopped."""
    with served(ui, code, folder) as app:
        yield app
    app.check()


def check_answer(app: App, asked: str) -> CapturedSpan:
    """The span of an answer arrives, with its model, tokens, timing and conversation; return it."""
    call = app.call(asked)
    assert call.attributes["gen_ai.request.model"] == "gpt-4o-mini"
    assert call.attributes["langchain_stream.outcome"] == "completed"
    assert call.attributes["gen_ai.usage.output_tokens"] > 0
    assert call.attributes["gen_ai.response.time_to_first_chunk"] > 0
    assert call.attributes["gen_ai.conversation.id"]
    return call


def outcome(app: App, asked: str) -> Any:
    """How the call for a question has ended."""
    return app.call(asked).attributes["langchain_stream.outcome"]


def roots(trace: list[CapturedSpan]) -> list[str]:
    """The names of the spans in a trace whose parent is not in it."""
    ids = {each.span_id for each in trace}
    return [each.name for each in trace if each.parent_id not in ids]


# -- Streamlit --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=BOTH_MODELS)
def streamlit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The page's app, to which a first tab is open: Sentry is set up in its session, so that one is not traced."""
    code, folder = in_shape(STREAMLIT, request.param), tmp_path_factory.mktemp("app")
    with checked("streamlit", code, folder) as app, streamlit_tab(app.url):
        yield app


def test_each_answer_of_streamlit_is_a_trace_of_its_own(streamlit: App) -> None:
    """While the tab is still open, its answers arrive, each in a trace that has nothing of the tab's websocket."""
    asked = [question("brief"), question("brief")]
    with streamlit_tab(streamlit.url) as tab:
        for each in asked:
            tab.ask(each)
        traces = [streamlit.trace(check_answer(streamlit, each)) for each in asked]
    assert [roots(each) for each in traces] == [["support-bot"], ["support-bot"]]
    assert traces[0][0].trace_id != traces[1][0].trace_id
    assert len({streamlit.call(each).attributes["gen_ai.conversation.id"] for each in asked}) == 1


@pytest.mark.parametrize("click", ["stop", "ask again", "close"])
def test_a_user_of_streamlit_leaves(streamlit: App, click: str) -> None:
    """A user who stops the answer, asks again or closes the tab leaves a span that is abandoned."""
    asked, other = question("long"), question("brief")
    with streamlit_tab(streamlit.url) as tab:
        tab.submit(asked)
        tab.read("markdown")
        if click == "stop":
            tab.stop()
            tab.read("script_finished")
        elif click == "ask again":
            tab.ask(other)
            check_answer(streamlit, other)
    assert outcome(streamlit, asked) == "abandoned"


def test_an_answer_of_streamlit_fails(streamlit: App) -> None:
    """It is one issue, and a span that has failed."""
    asked = question("wrong")
    with streamlit_tab(streamlit.url) as tab:
        tab.ask(asked)
    until(lambda: bool(streamlit.sent.events))
    assert outcome(streamlit, asked) == "failed"


def test_a_tab_of_streamlit_is_one_transaction(tmp_path: Path) -> None:
    """Without the lines of the page, a tab's answers are below its websocket, and are sent when it is closed."""
    asked, later = [question("brief"), question("brief")], question("brief")
    code = in_shape(without(OWN_TRACE, STREAMLIT), DEFAULT_SHAPE)
    with served("streamlit", code, tmp_path) as app, streamlit_tab(app.url) as first:
        with streamlit_tab(app.url) as tab:
            for each in asked:
                tab.ask(each)
            first.ask(later)
            app.call(later)
            assert len(app.sent.find_all(op="gen_ai.chat")) == 1
        assert {app.call(each).trace_id for each in asked} == {app.call(asked[0]).trace_id}
        assert roots(app.trace(app.call(asked[0]))) == ["/_stcore/stream"]


def test_a_transaction_around_an_answer_of_streamlit(tmp_path: Path) -> None:
    """As the page warns: when the user asks again, a transaction around `write_stream` has failed, not the answer."""
    around = r"with sentry_sdk\.isolation_scope\(\) as scope:.*"
    code = without(
        around, without(OWN_TRACE, STREAMLIT), 'with sentry_sdk.start_transaction(op="chat", name="answer"):'
    )
    asked = question("long")
    with served("streamlit", in_shape(code, DEFAULT_SHAPE), tmp_path) as app, streamlit_tab(app.url) as tab:
        tab.submit(asked)
        tab.read("markdown")
        tab.ask(question("brief"))
        assert outcome(app, asked) == "abandoned"
        trace = app.trace(app.call(asked))
        assert next(each.status for each in trace if each.name == "answer") == "internal_error"


RERUNS = """
import threading
from streamlit.testing.v1 import AppTest

app = AppTest.from_file("app.py", default_timeout=600).run()
for _ in range(3):
    app.chat_input[0].set_value("brief").run()
    assert not app.exception
print([each.name for each in threading.enumerate()].count("sentry.monitor"))
"""


@pytest.mark.parametrize(("is_cached", "threads"), [(True, 1), (False, 3)])
def test_sentry_is_set_up_once_in_streamlit(is_cached: bool, threads: int, tmp_path: Path) -> None:
    """As the page warns: without `st.cache_resource`, each run of the script leaves a thread of the SDK behind."""
    code = STREAMLIT if is_cached else without(r"@st\.cache_resource.*", STREAMLIT)
    (tmp_path / "app.py").write_text(code, encoding="utf-8")
    with provider() as (endpoint, _):
        command = [sys.executable, "-c", RERUNS]
        ran = subprocess.run(
            command, cwd=tmp_path, env=environment(NOWHERE, endpoint), capture_output=True, text=True, timeout=HANG
        )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout.splitlines()[-1]) == threads


# -- Gradio -----------------------------------------------------------------------------------------------------


def gradio_app(function: str, shape: str) -> str:
    """The page's app with one of its functions, for two users at a time."""
    code = GRADIO
    if function == "sync":
        code = without(re.compile(r"^async def answer.*?(?=^gr\.)", re.MULTILINE | re.DOTALL), GRADIO, "")
        code = without(r"gr\.ChatInterface", code, GRADIO_SYNC + "\n\ngr.ChatInterface")
    launched = "gr.ChatInterface(answer, concurrency_limit=2).launch(auth=lambda *_: True)"
    code = without(r"gr\.ChatInterface\(.*", code, launched)
    if shape == "stream":
        code = without(r"scope\.set_new.*# with trace_lifecycle=\"stream\": ", code)
    return in_shape(code, shape)


def gradio_client(app: App, user: str = "u-1") -> Any:
    """A user's client."""
    from gradio_client import Client

    return Client(app.url, auth=(user, "x"), verbose=False)


def begin(client: Any, asked: str) -> Any:
    """Ask, and wait for the first pieces of the answer."""
    job = client.submit(asked, api_name="/answer")
    until(lambda: len(job.outputs()) > 1, lambda: job.status())
    return job


def cancel(job: Any) -> bool:
    """Click stop, and return whether the server did. One time in thirty Gradio 6.31 does not, also without Sentry.

    Then it answers the client when the job has ended, which is too late.
    """
    try:
        job.cancel()
    except httpx.ReadTimeout:
        return False
    return True


@pytest.fixture(scope="module", params=[("async", each) for each in BOTH_MODELS] + [("sync", DEFAULT_SHAPE)], ids=str)
def gradio(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The page's app with each of its functions."""
    with checked("gradio", gradio_app(*request.param), tmp_path_factory.mktemp("app")) as app:
        yield app


def test_each_answer_of_gradio_is_a_trace_of_its_own(gradio: App) -> None:
    """Not below the requests of Gradio, with the session as its conversation."""
    client = gradio_client(gradio)
    asked = [question("brief"), question("brief")]
    for each in asked:
        assert client.predict(each, api_name="/answer") == "Hello there!"
    traces = [gradio.trace(check_answer(gradio, each)) for each in asked]
    assert [roots(each) for each in traces] == [["support-bot"], ["support-bot"]]
    assert traces[0][0].trace_id != traces[1][0].trace_id
    assert {gradio.call(each).attributes["gen_ai.conversation.id"] for each in asked} == {client.session_hash}


def test_users_of_gradio_who_chat_at_the_same_time(gradio: App) -> None:
    """Each answer has the user who asked, and one that is stopped has ended early."""
    jobs = {}
    for user in ("u-1", "u-2"):
        asked = question("long")
        jobs[asked] = user, begin(gradio_client(gradio, user), asked)
    stopped = {asked: cancel(job) for asked, (_, job) in jobs.items()}
    for asked, (user, _) in jobs.items():
        call = gradio.call(asked)
        assert call.attributes["user.id"] == user
        assert (call.attributes["langchain_stream.outcome"] in ("abandoned", "cancelled")) is stopped[asked]
        assert roots(gradio.trace(call)) == ["support-bot"]


def test_an_answer_of_gradio_fails(gradio: App) -> None:
    """It is one issue of the user who asked, and a span that has failed."""
    asked = question("wrong")
    with pytest.raises(Exception, match="raised an exception"):
        gradio_client(gradio, "u-3").predict(asked, api_name="/answer")
    until(lambda: bool(gradio.sent.events))
    (issue,) = gradio.sent.events
    assert issue["user"]["id"] == "u-3"
    assert outcome(gradio, asked) == "failed"


def test_all_answers_of_gradio_are_below_its_launch(tmp_path: Path) -> None:
    """Without the line of the page, the answers of all users are in the trace of the request that starts the queue."""
    code = without(OWN_TRACE, gradio_app("async", DEFAULT_SHAPE))
    with served("gradio", code, tmp_path) as app:
        asked = [question("brief"), question("brief")]
        for each in asked:
            gradio_client(app).predict(each, api_name="/answer")
        assert len({app.call(each).trace_id for each in asked}) == 1
        assert "/gradio_api/startup-events" in {each.name for each in app.trace(app.call(asked[0]))}


# -- Chainlit ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chainlit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The page's app, which has streamed spans."""
    with checked("chainlit", in_shape(CHAINLIT, "stream"), tmp_path_factory.mktemp("app")) as app:
        yield app


async def test_answers_of_chainlit_arrive_while_the_tab_is_open(chainlit: App) -> None:
    """With streamed spans they do, in the trace of the tab."""
    asked = [question("brief"), question("brief")]
    async with chainlit_tab(chainlit.url) as tab:
        for each in asked:
            await tab.ask(each)
        calls = [await asyncio.to_thread(check_answer, chainlit, each) for each in asked]
        assert not [each for each in chainlit.sent.spans if each.span_id == calls[0].parent_id]
    assert roots(chainlit.trace(calls[0])) == [f"{chainlit.url.replace('http', 'ws', 1)}/ws/socket.io/"]
    assert calls[0].trace_id == calls[1].trace_id


async def test_an_answer_of_chainlit_is_stopped(chainlit: App) -> None:
    """It is cancelled."""
    asked = question("long")
    async with chainlit_tab(chainlit.url) as tab:
        await tab.submit(asked)
        await tab.begun.wait()
        await tab.stop()
    assert outcome(chainlit, asked) == "cancelled"


async def test_a_tab_of_chainlit_is_closed(chainlit: App) -> None:
    """Its answer goes on, and is recorded whole."""
    asked = question("longer")
    async with chainlit_tab(chainlit.url) as tab:
        await tab.submit(asked)
        await tab.begun.wait()
    assert outcome(chainlit, asked) == "completed"


async def test_an_answer_of_chainlit_fails(chainlit: App) -> None:
    """It is one issue, and a span that has failed."""
    asked = question("wrong")
    async with chainlit_tab(chainlit.url) as tab:
        await tab.ask(asked)
    until(lambda: bool(chainlit.sent.events))
    assert outcome(chainlit, asked) == "failed"


async def test_a_tab_of_chainlit_is_one_transaction(tmp_path: Path) -> None:
    """Without streamed spans, a tab's answers are below its websocket, and are sent when it is closed."""
    asked = [question("brief"), question("brief")]
    with served("chainlit", in_shape(CHAINLIT, DEFAULT_SHAPE), tmp_path) as app:
        async with chainlit_tab(app.url) as tab:
            for each in asked:
                await tab.ask(each)
            assert app.sent.find_all(op="gen_ai.chat") == []
        (trace,) = {app.call(each).trace_id for each in asked}
        assert {each.op for each in app.sent.spans if each.trace_id == trace and each.is_root} == {"websocket.server"}


# -- LangChain --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("has_parser", "pieces_read"), [(False, 1), (True, 20)])
def test_a_parser_reads_the_rest_of_an_answer(has_parser: bool, pieces_read: int) -> None:
    """As the page warns: a sync chain with a parser reads the whole answer when it is left, a model does not."""
    read: list[int] = []
    model: Any = ScriptedModel(pieces=("more ",) * 20, before=read.append)
    stream = (model | StrOutputParser() if has_parser else model).stream("Hi")
    next(stream)
    stream.close()
    assert len(read) == pieces_read
