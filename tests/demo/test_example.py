"""The example: a service that streams, over real HTTP and in a real browser, and the spans that its page shows."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import sentry_sdk
from fastapi import Request
from httpx_sse import EventSource, ServerSentEvent, aconnect_sse
from playwright.async_api import Browser, Page, async_playwright, expect

from examples.fastapi_sse import app as example
from examples.fastapi_sse import watch
from sentry_langchain_stream.demo.api import openai_or
from sentry_langchain_stream.demo.endpoint import Answer, create_endpoint
from sentry_langchain_stream.demo.serve import Elsewhere, serving
from sentry_langchain_stream.testing import Captured, capture_spans, timeline
from tests.kit import HANG, REPOSITORY, lean_environment
from tests.kit.contrast import contrast
from tests.kit.wire import content_allowed

ANSWER = Answer("One two three four five.", prompt_tokens=27, completion_tokens=9)
ROUTES = ("/chain", "/plain")
LEFT = ("cancelled", "abandoned")


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a key nor a DSN, whatever the environment has."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE", "SENTRY_DSN", "SENTRY_SPOTLIGHT"):
        monkeypatch.delenv(name, raising=False)


class Tap:
    """Lets an answer come as far as the test wants."""

    def __init__(self) -> None:
        self._here = asyncio.get_running_loop()
        self._granted = asyncio.Semaphore(0)

    def let(self, chunks: int) -> None:
        """So many more chunks may come."""
        for _ in range(chunks):
            self._granted.release()

    async def gate(self, chunk: int) -> None:
        """The endpoint waits here, in a loop of its own, before each chunk but that of the role."""
        if chunk:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._granted.acquire(), self._here))


@dataclass(frozen=True)
class Running:
    """The example, as it runs."""

    url: str
    tap: Tap
    captured: Captured

    @asynccontextmanager
    async def asked(self, route: str) -> AsyncIterator[AsyncIterator[ServerSentEvent]]:
        """The events of an answer; leaving the block hangs up."""
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=HANG) as client:
            source: EventSource
            async with aconnect_sse(client, "GET", route, params={"question": "Why?"}) as source:
                yield source.aiter_sse()

    async def whole(self, route: str) -> list[tuple[str, str]]:
        """All events of an answer: name and data."""
        self.tap.let(100)
        async with self.asked(route) as events:
            return [(event.event, event.data) async for event in events]

    async def spans(self, trace: str) -> dict[str, Any]:
        """What the page is told of a trace."""
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=HANG) as client:
            told: dict[str, Any] = (await client.get(f"/spans/{trace}")).raise_for_status().json()
        return told


@asynccontextmanager
async def running(answer: Answer = ANSWER) -> AsyncIterator[Running]:
    """The example, with an answer that waits for the test."""
    tap = Tap()
    with (
        capture_spans(**content_allowed(True)) as captured,
        openai_or(replace(answer, gate=tap.gate)),
        serving(watch.watched(example.create_app(), captured)) as url,
    ):
        yield Running(url, tap, captured)


def issues(service: Running) -> list[dict[str, Any]]:
    """What became an issue, but for what the provider's server logs: older LangChain does not hang up on it."""
    return [event for event in service.captured.events if event.get("logger") != "uvicorn.error"]


# -- the service ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES)
async def test_a_route_streams_an_answer_and_its_span_has_the_numbers(route: str) -> None:
    """Trace, words and end come as events; the trace is one model call below the request, as the provider counted."""
    async with running() as service:
        first, *words, last = await service.whole(route)
        told = await service.spans(first[1])
    assert first[0] == "trace"
    assert {name for name, _ in words} == {"message"}
    assert "".join(text for _, text in words) == ANSWER.text
    assert last == ("end", "done")
    (call,) = told["calls"]
    assert (call["op"], call["name"]) == ("gen_ai.chat", "chat gpt-4o-mini")
    expected = {
        "langchain_stream.outcome": "completed",
        "gen_ai.pipeline.name": "support-bot",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": 27,
        "gen_ai.usage.output_tokens": 9,
        "gen_ai.usage.total_tokens": ANSWER.total_tokens,
    }
    assert {key: call["attributes"].get(key) for key in expected} == expected
    assert told["issues"] == []
    assert "<img" in told["timeline"]
    span = service.captured.find(op="gen_ai.chat")
    request = next(each for each in service.captured.spans if each.is_root and each.trace_id == span.trace_id)
    assert (request.op, request.name) == ("http.server", route)
    assert {each.trace_id for each in service.captured.spans} == {first[1]}


@pytest.mark.parametrize("route", ROUTES)
async def test_of_a_client_that_leaves_there_is_what_had_arrived(route: str) -> None:
    """The span says that it was left, counts the words that had come and has their text; there is no issue."""
    async with running() as service:
        async with service.asked(route) as events:
            trace = (await anext(events)).data
            service.tap.let(3)
            read = [(await anext(events)).data for _ in range(3)]
        told = await service.spans(trace)
    assert read == ["One", " two", " three"]
    (call,) = told["calls"]
    attributes = call["attributes"]
    assert attributes["langchain_stream.outcome"] in LEFT
    assert (attributes["langchain_stream.chunks"], attributes["gen_ai.usage.output_tokens"]) == (3, 3)
    assert attributes["langchain_stream.usage_source"] == "estimate"
    assert '"One two three"' in attributes["gen_ai.output.messages"]
    assert told["issues"] == []
    assert issues(service) == []


async def test_sentry_is_not_told_of_the_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for the spans makes no span, and a trace that nothing is known of is not found."""
    async with running() as service:
        (_, trace), *_ = await service.whole("/chain")
        await service.spans(trace)
        monkeypatch.setattr(watch, "PATIENCE", 0.0)
        with pytest.raises(httpx.HTTPStatusError, match="404"):
            await service.spans("0" * 32)
    assert {span.name for span in service.captured.spans if span.is_root} == {"/chain"}


async def test_only_the_latest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the example runs, what it keeps of what was sent is bounded."""
    monkeypatch.setattr(watch, "KEPT", 1)
    async with running() as service:
        first, last = [(await service.whole("/chain"))[0][1] for _ in range(2)]
        await service.spans(last)
    # What else the SDK sends, of sessions say, counts too.
    assert first not in {span.trace_id for span in service.captured.spans}


async def test_with_a_key_openai_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `OPENAI_API_KEY` both routes ask the API that OpenAI's clients are configured for, with that key."""
    api = create_endpoint(Answer("From elsewhere."))
    with serving(api) as elsewhere:
        monkeypatch.setenv("OPENAI_API_KEY", "a-key")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{elsewhere}/v1")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with running() as service:
            for route in ROUTES:
                assert "".join(text for name, text in await service.whole(route) if name == "message") == (
                    "From elsewhere."
                )
    assert [request.headers["authorization"] for request in api.state.requests] == ["Bearer a-key"] * 2


def test_what_a_user_would_serve_sets_up_sentry(monkeypatch: pytest.MonkeyPatch) -> None:
    """`service`, which uvicorn is given, sets up Sentry before the routes are there, and samples everything."""
    steps: list[Any] = []
    monkeypatch.setattr(sentry_sdk, "init", lambda **options: steps.append(options))
    monkeypatch.setattr(example, "create_app", lambda: steps.append("app"))
    example.service()
    assert steps == [{"traces_sample_rate": 1.0}, "app"]


def test_it_runs_from_the_command_line_and_sends() -> None:
    """The module serves where it says, needs no key, sends what it shows, and ends in order when interrupted."""
    sentry = Elsewhere()
    sent: list[bytes] = []

    @sentry.post("/{path:path}")
    async def ingest(path: str, request: Request) -> None:
        sent.append(await request.body())

    command = [sys.executable, "-m", "examples.fastapi_sse", "--port", "0"]
    with serving(sentry) as url:
        environment = {
            **lean_environment(),
            "SENTRY_DSN": url.replace("://", "://public@") + "/42",
            "no_proxy": "127.0.0.1",
        }
        with subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            try:
                assert process.stdout is not None
                said = process.stdout.readline()
                found = re.search(r"http://127\.0\.0\.1:\d+", said)
                assert found, said
                with httpx.Client(base_url=found[0], trust_env=False, timeout=HANG) as client:
                    assert "text/html" in client.get("/").headers["content-type"]
                    with client.stream("GET", "/chain", params={"question": "Why?"}) as response:
                        lines = response.iter_lines()
                        trace = next(line for line in lines if line.startswith("data: ")).removeprefix("data: ")
                        assert "data: You" in lines
                    (call,) = client.get(f"/spans/{trace}").raise_for_status().json()["calls"]
            finally:
                process.send_signal(signal.SIGINT)
            # Not `communicate`, which knows nothing of what `readline` has read ahead.
            assert process.stdout is not None
            assert process.stderr is not None
            out, err = process.stdout.read(), process.stderr.read()
            process.wait(timeout=HANG)
    # The provider's server says so at its end: older LangChain does not hang up on it.
    said = err.replace("ERROR:    ASGI callable returned without completing response.\n", "")
    assert (process.returncode, said) == (0, "")
    assert "no OPENAI_API_KEY" in out
    assert "sent to 127.0.0.1" in out
    assert call["attributes"]["langchain_stream.outcome"] in LEFT
    assert "gen_ai.output.messages" not in call["attributes"]
    assert len(sent) >= 1


# -- the page, in a browser ---------------------------------------------------------------------------------------

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """Chromium without a window: that of the system, or Playwright's own."""
    async with async_playwright() as playwright:
        found = chromium_found(playwright.chromium.executable_path)
        home = {"HOME": str(tmp_path_factory.mktemp("home"))}  # it would leave files in the user's
        chromium = await playwright.chromium.launch(executable_path=found, env={**os.environ, **home})
        yield chromium
        await chromium.close()


def chromium_found(own: str) -> str:
    """Where Chromium is; without one on the PATH, Playwright's own, if that has been installed."""
    found = next(filter(None, map(shutil.which, NAMES)), own)
    if not Path(found).exists():
        pytest.skip("the browser tests need Chromium on the PATH, or `python -m playwright install chromium`")
    return found


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page that raised no error by the end of the test, and fetched nothing but from the service."""
    page = await browser.new_page()
    page.set_default_timeout(HANG * 1000)
    expect.set_options(timeout=HANG * 1000)
    errors: list[str] = []
    hosts: set[str | None] = set()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: hosts.add(httpx.URL(request.url).host))
    yield page
    await page.close()
    assert errors == []
    assert hosts - {""} == {"127.0.0.1"}


def fact(page: Page, key: str) -> Any:
    """What the page shows as the value of a main attribute."""
    return expect(page.locator(f'[data-key="{key}"]'))


async def ask(page: Page, service: Running, route: str) -> None:
    """Open the page and ask through one of the routes."""
    await page.goto(service.url)
    await page.locator(f'input[value="{route}"]').check()
    await page.get_by_role("button", name="Ask").click()


@pytest.mark.parametrize("route", ROUTES)
async def test_the_page_shows_each_word_when_it_comes_and_then_the_span(page: Page, route: str) -> None:
    """A word is on the page before the next one is written; then the span is there, as a picture and in numbers."""
    async with running() as service:
        await ask(page, service, route)
        answer, stop = page.locator("#answer"), page.get_by_role("button", name="Stop")
        for index, _ in enumerate(ANSWER.words, start=1):
            service.tap.let(1)
            await expect(answer).to_have_text("".join(ANSWER.words[:index]))
            await expect(stop).to_be_enabled()
            await expect(page.locator("#span")).to_be_hidden()
        service.tap.let(2)
        await fact(page, "langchain_stream.outcome").to_contain_text("completed")
        await expect(stop).to_be_disabled()
        await expect(page.locator("#name")).to_have_text("chat gpt-4o-mini gen_ai.chat")
        await fact(page, "gen_ai.usage.total_tokens").to_contain_text(re.compile(r"^36"))
        await fact(page, "gen_ai.usage.output_tokens").to_contain_text(re.compile(r"^9"))
        await fact(page, "langchain_stream.usage_source").to_contain_text("provider")
        await expect(page.locator("#state")).to_contain_text("The answer is complete. No issue.")
        pictures = page.locator("#timeline tr", has_text="chat gpt-4o-mini").locator("img")
        assert await pictures.evaluate("image => image.complete && image.naturalWidth") == 240


@pytest.mark.parametrize("route", ROUTES)
async def test_stop_ends_the_span_with_what_had_arrived(page: Page, route: str) -> None:
    """The answer stays as it is, and the span says that it was left, after as many words; it is no issue."""
    async with running() as service:
        await ask(page, service, route)
        service.tap.let(2)
        await expect(page.locator("#answer")).to_have_text("One two")
        await page.get_by_role("button", name="Stop").click()
        await fact(page, "langchain_stream.outcome").to_contain_text(re.compile("|".join(LEFT)))
        await fact(page, "langchain_stream.chunks").to_contain_text(re.compile(r"^2"))
        await fact(page, "gen_ai.usage.output_tokens").to_contain_text(re.compile(r"^2"))
        await expect(page.locator("#state")).to_contain_text("You stopped it. No issue.")
        await expect(page.locator("#answer")).to_have_text("One two")
        await expect(page.get_by_role("button", name="Ask")).to_be_enabled()
    assert issues(service) == []


async def test_an_answer_that_breaks_off_is_not_asked_for_again(page: Page) -> None:
    """If the model fails half-way the page says so, shows the failed span and its one issue, and asks no more."""
    async with running(replace(ANSWER, cut_after=3)) as service:
        await ask(page, service, "/chain")
        service.tap.let(100)
        await fact(page, "langchain_stream.outcome").to_contain_text("failed")
        await expect(page.locator("#state")).to_contain_text("The stream broke off. Issues: 1.")
        await expect(page.locator("#answer")).to_have_text("One two")
    assert len(service.captured.find_all(op="gen_ai.chat")) == 1


async def test_without_the_example_around_it_the_page_says_where_to_look(page: Page) -> None:
    """Served as a user would, the service keeps no spans; its page then names the trace to look for in Sentry."""
    with capture_spans() as captured, openai_or(ANSWER), serving(example.create_app()) as url:
        await ask(page, Running(url, Tap(), captured), "/chain")
        state = page.locator("#state")
        await expect(state).to_contain_text("look in Sentry for trace")
        trace = captured.find(op="gen_ai.chat").trace_id
        await expect(state).to_contain_text(trace)


# -- the page, for people who see little, or use a keyboard or a small screen -----------------------------------


async def test_the_focus_stays_where_it_was(page: Page) -> None:
    """The focus is where it was when an answer comes or a button changes, and a button that is off does nothing."""
    async with running() as service:
        await page.goto(service.url)
        for name in ("Ask", "Stop"):
            button = page.get_by_role("button", name=name)
            await button.focus()
            await page.keyboard.press("Enter")
            if name == "Ask":
                service.tap.let(2)
                await expect(page.locator("#answer")).to_have_text("One two")
                await expect(button).to_be_disabled()
                await expect(button).to_be_focused()
                await page.keyboard.press("Enter")  # does not ask again
        await fact(page, "langchain_stream.outcome").to_contain_text(re.compile("|".join(LEFT)))
        await expect(button).to_be_disabled()
        await expect(button).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("#state")).to_contain_text("You stopped it. No issue.")
    assert len(service.captured.find_all(op="gen_ai.chat")) == 1


async def test_sentences_are_announced_not_chunks(page: Page) -> None:
    """A screen reader is given each sentence when it has ended, and what is left at the end of the answer."""
    async with running(replace(ANSWER, pieces=("It is", " 1.5", " m.", " Then", " what?", " No", " end"))) as service:
        await page.goto(service.url)
        await page.evaluate(
            """() => {
                window.heard = [];
                for (const region of document.querySelectorAll("[aria-live]")) {
                    const listen = () => { if (region.textContent) window.heard.push(region.textContent); };
                    new MutationObserver(listen).observe(region, { childList: true, subtree: true });
                }
            }"""
        )
        await page.get_by_role("button", name="Ask").click()
        for _ in range(7):  # one at a time: an observer is called once for changes at the same time
            service.tap.let(1)
        service.tap.let(2)
        await fact(page, "langchain_stream.outcome").to_contain_text("completed")
        assert await page.evaluate("window.heard") == ["It is 1.5 m.", "Then what?", "No end"]
        assert await page.locator("#answer").get_attribute("aria-live") is None


async def test_the_page_fits_a_small_screen(page: Page) -> None:
    """At 375 pixels each bar can be seen without scrolling, nothing is wider than the page, and JSON is folded."""
    await page.set_viewport_size({"width": 375, "height": 800})
    long = Answer(" ".join(f"word{number}" for number in range(60)))
    async with running(long) as service:
        service.tap.let(100)
        await ask(page, service, "/chain")
        await fact(page, "langchain_stream.outcome").to_contain_text("completed")
        bars = await page.locator("#timeline td img").evaluate_all(
            "images => images.map((image) => { const at = image.getBoundingClientRect(); return [at.left, at.right]; })"
        )
        assert len(bars) >= 2
        assert all(left >= 0 and right <= 375 and right - left > 200 for left, right in bars), bars
        await page.locator("#span > details > summary").click()
        assert await page.evaluate("document.documentElement.scrollWidth") == 375
        row = page.locator("#attributes tr", has_text="gen_ai.output.messages")
        await expect(row.locator("details > code")).to_be_hidden()
        await row.locator("summary").click()
        await expect(row.locator("details > code")).to_contain_text('"role": "assistant"')
        await expect(row.locator("details > code")).to_contain_text("word59")
        assert await page.evaluate("document.documentElement.scrollWidth") == 375
        await page.set_viewport_size({"width": 1280, "height": 800})
        heights = "codes => codes.map((code) => code.getBoundingClientRect().height)"
        assert max(await page.locator("#attributes th code").evaluate_all(heights)) < 40  # a key has one line


async def test_names_are_explained(page: Page) -> None:
    """Beside the two names of the model is where each comes from, beside a key of 2024, which are last, today's key."""
    async with running() as service:
        service.tap.let(100)
        await ask(page, service, "/chain")
        await fact(page, "gen_ai.response.model").to_contain_text("the name in the answer")
        await fact(page, "gen_ai.request.model").to_contain_text("the name in the request")
        keys = await page.locator("#attributes th code").all_text_contents()
        assert keys[0].startswith("gen_ai.")
        assert keys[-1] == "pipeline_name"
        (older,) = await page.locator("#attributes th", has_text="ai.model_id").all_text_contents()
        assert older == "ai.model_idof 2024, today gen_ai.request.model"


TEXT = """() => {
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const found = [];
    for (const element of document.querySelectorAll("body *")) {
        const words = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!words || !element.checkVisibility() || element.matches("script, .unseen")) continue;
        if (element.textContent === "●") continue;  // a mark beside words
        const style = getComputedStyle(element);
        const colour = parts(style.color);
        let ground = null, opacity = 1;
        for (let at = element; at; at = at.parentElement) {
            const { backgroundColor, opacity: own } = getComputedStyle(at);
            opacity *= own;
            const [red, green, blue, alpha = 1] = parts(backgroundColor);
            if (!ground && alpha > 0) ground = [red, green, blue];
        }
        const mixed = ground.map((part, index) => Math.round(part + (colour[index] - part) * opacity));
        const hex = (rgb) => "#" + rgb.map((part) => part.toString(16).padStart(2, "0")).join("");
        found.push([hex(mixed), hex(ground), element.textContent.trim().slice(0, 40)]);
    }
    return found;
}"""
"""Colour, background and words of every element that has words of its own."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_has_contrast(page: Page, scheme: Any) -> None:
    """All words have a contrast of 4.5 to their background: before an answer, while it comes, and after Stop."""
    await page.emulate_media(color_scheme=scheme)
    seen: list[list[str]] = []
    async with running() as service:
        await page.goto(service.url)
        seen += await page.evaluate(TEXT)
        await ask(page, service, "/plain")
        service.tap.let(2)
        await expect(page.locator("#answer")).to_have_text("One two")
        seen += await page.evaluate(TEXT)
        await page.get_by_role("button", name="Stop").click()
        await fact(page, "langchain_stream.outcome").to_contain_text(re.compile("|".join(LEFT)))
        await page.locator("#span > details > summary").click()
        seen += await page.evaluate(TEXT)
    assert {"Ask", "Stop", "All attributes", "One two"} <= {words for _, _, words in seen}
    assert [each for each in seen if contrast(each[0], each[1]) < 4.5] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_colours_of_the_page_have_contrast(scheme: str) -> None:
    """In the style sheet each colour of words has a contrast of 4.5 to page and card, that of edges and bars 3."""
    blocks = re.findall(r":root \{(.*?)\}", example.PAGE.read_text(encoding="utf-8"), re.DOTALL)
    light, dark = (dict(re.findall(r"--(\w+): ([^;]+);", block)) for block in blocks)
    colours = light if scheme == "light" else {**light, **dark}
    words = {name: colours[name] for name in ("text", "soft", "accent", "good", "left", "bad")}
    grounds = {"text": ("card", "ground"), "soft": ("card", "ground")}
    for name, colour in words.items():
        for ground in grounds.get(name, ("card",)):
            assert contrast(colour, colours[ground]) >= 4.5, (name, ground)
    assert contrast(colours["edge"], colours["card"]) >= 3
    marks = (timeline._FAILED, timeline._LEFT, *(bar for _, bar in timeline._COLOURS))
    assert all(contrast(colour, colours["card"]) >= 3 for colour in marks)
