"""What the documentation says is true: its code runs, and its tables are those of the code."""

from __future__ import annotations

import ast
import inspect
import platform
import re
import textwrap
from collections.abc import AsyncIterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, get_args

import pytest
import sentry_sdk
from sentry_sdk.consts import DEFAULT_OPTIONS

from sentry_langchain_stream import SentryStreamHandler, track_stream
from sentry_langchain_stream._vocabulary import names
from sentry_langchain_stream._vocabulary.facts import FACTS
from sentry_langchain_stream._vocabulary.keys import (
    LEFT_OUT,
    METADATA,
    PROMPT_NAME,
    PROMPT_VARIABLE,
    PROMPT_VERSION,
    TAGS,
    USER,
    Dialect,
)
from sentry_langchain_stream._vocabulary.names import SpanKind
from sentry_langchain_stream.demo.endpoint import Answer, create_endpoint
from sentry_langchain_stream.demo.serve import serving
from sentry_langchain_stream.doctor.content import ALLOW
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit import REPOSITORY
from tests.project import attributes

README = REPOSITORY / "README.md"
SETTINGS = REPOSITORY / "docs" / "settings.md"
SHOWN = {"prompt_name": "gen_ai.prompt.name", "user_key=": "user.id"}
"""What a block sets, and the attribute that the model's span then has."""
PAGES = (README, *sorted((REPOSITORY / "docs").glob("*.md")))
PROSE = (*PAGES, REPOSITORY / "CHANGELOG.md", REPOSITORY / "CONTRIBUTING.md")


def blocks(page: Path) -> Iterator[tuple[int, str]]:
    """The Python blocks of a page, each with the number of its first line."""
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, found.start(1)) + 1, textwrap.dedent(found[1])


APPS = REPOSITORY / "docs" / "chat-uis.md"
"""A page of apps, which `tests/end_to_end/test_chat_uis.py` serves."""
BLOCKS = [
    pytest.param(page, line, code, id=f"{page.name}:{line}")
    for page in PAGES
    if page != APPS
    for line, code in blocks(page)
]


def section(page: Path, title: str) -> str:
    """The text of a section of a page."""
    found = re.search(rf"^## {title}$(.*?)(?=^## |\Z)", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The rows of the tables in a text, without their headers."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rulers = {index for index, line in enumerate(lines) if set(line) <= set("|- ")}
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for index, line in enumerate(lines)
        if index not in rulers and index + 1 not in rulers
    ]


def quoted(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """An endpoint that answers like OpenAI's API."""
    with serving(create_endpoint(Answer())) as address:
        yield address


@pytest.fixture
def openai(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a plain `ChatOpenAI(model=...)` ask the endpoint, and `sentry_sdk.init` check its options only."""
    for name in ("OPENAI_API_BASE", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, f"{url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(sentry_sdk, "init", lambda **options: sentry_sdk.Client(**{**options, "dsn": ""}).close())


async def run(code: CodeType, captured: Captured) -> dict[str, Any]:
    """Run a block, and then each generator function that it defines, as a service would, and each test."""
    names: dict[str, Any] = {"__name__": "block"}
    result = eval(code, names)  # runs a whole module, and is awaitable if that has a top-level await
    if inspect.isawaitable(result):
        await result
    for value in list(names.values()):
        if type(value) is not FunctionType or value.__module__ != "block":  # Flask's `request` answers no question here
            continue
        if inspect.isasyncgenfunction(inspect.unwrap(value)):
            stream = value("What is a span?")
            if isinstance(stream, AsyncIterable):  # and no lifespan
                assert [each async for each in stream]
        elif inspect.isgeneratorfunction(value):
            assert list(value("What is a span?"))
        if value.__name__.startswith("test_"):
            value(captured)
    return names


@pytest.mark.usefixtures("openai")
@pytest.mark.parametrize(("page", "line", "code"), BLOCKS)
async def test_every_python_block_runs(page: Path, line: int, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each Python block runs as it stands, against a real `ChatOpenAI`; one with a handler makes a model span."""
    if "data_collection" in code and "data_collection" not in DEFAULT_OPTIONS:
        pytest.skip("this block needs sentry-sdk 2.70")
    compiled = compile(code, f"{page.name}:{line}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with capture_spans() as captured:
        names = await run(compiled, captured)
    inner = names.get("captured", captured)
    if "SentryStreamHandler(" in code:
        span = inner.find(op="gen_ai.chat")
        assert span.attributes["gen_ai.request.model"] == span.attributes["ai.model_id"] == "gpt-4o-mini"
        assert span.attributes["gen_ai.usage.total_tokens"] == span.attributes["ai.total_tokens"] > 0
        for setting, key in SHOWN.items():
            assert setting not in code or key in span.attributes, f"{setting} has no effect"
    if re.search(r"track_stream\(", code):
        span = inner.find(op="gen_ai.chat")
        assert span.attributes["gen_ai.request.model"] == "gpt-4o-mini"
        assert span.attributes["langchain_stream.usage_source"] == "provider"
        assert span.attributes["langchain_stream.outcome"] == "completed"
    assert inner.events == []
    assert not re.search(r"[\w.!?]None", capsys.readouterr().out)  # as the text of a chunk that has none


@pytest.mark.skipif("data_collection" not in DEFAULT_OPTIONS, reason="needs sentry-sdk 2.70")
def test_the_snippet_that_allows_content_is_complete_and_one() -> None:
    """Pages, doctor and example have the same `data_collection`: a category that it left out would be collected."""
    from examples.fastapi_sse.__main__ import content_options

    copies = {"the doctor": eval(f"dict({ALLOW})"), "the example": content_options()}
    for page in PAGES:
        for line, code in blocks(page):
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.keyword) and node.arg == "data_collection":
                    copies[f"{page.name}:{line}"] = {"data_collection": ast.literal_eval(node.value)}
    assert len(copies) >= 4
    first = copies["the doctor"]
    assert {name: each for name, each in copies.items() if each != first} == {}
    with sentry_sdk.Client(dsn="") as client:
        known = set(client.options["data_collection"]) - {"provided_by_user", "frame_context_lines"}
    assert set(first["data_collection"]) == known


def test_the_page_of_track_stream_has_all_arguments() -> None:
    """The table of the page has a row for each argument, in their order, with its default."""
    page = (REPOSITORY / "docs" / "track-stream.md").read_text(encoding="utf-8")
    table = re.search(r"^## Arguments$(.*?)^## ", page, re.MULTILINE | re.DOTALL)
    assert table is not None
    arguments = inspect.signature(track_stream).parameters.values()
    told = [(quoted(name)[0], default) for name, default, _ in rows(table[1])]
    assert [name for name, _ in told] == [each.name for each in arguments]
    for (_, default), argument in list(zip(told, arguments, strict=True))[2:]:
        assert ast.literal_eval(quoted(default)[0]) == argument.default


def test_the_first_block_is_eight_lines() -> None:
    """What a user has to write is eight lines, which the README has in its first 40, after how to install."""
    line, code = next(blocks(README))
    assert len([each for each in code.splitlines() if each.strip()]) == 8
    text = README.read_text(encoding="utf-8")
    assert "pip install" in "\n".join(text.splitlines()[:line])
    assert line <= 40
    assert text.count("\n") < 150


@pytest.mark.usefixtures("openai")
async def test_the_first_block_makes_the_trace_that_is_shown() -> None:
    """The tree and the attributes below the README's first block are those of the block."""
    _, code = next(blocks(README))
    platform.processor()  # runs a process once, which the openai client would do inside of its first call
    with capture_spans() as captured:
        await run(compile(code, "README", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), captured)
    text = README.read_text(encoding="utf-8")
    shown = re.search(r"^```text\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL)
    assert shown is not None
    assert re.sub(r"http://127\.0\.0\.1:\d+", "https://api.openai.com", captured.tree()) == shown[1]
    told = {key for row in rows(text.partition("## Why")[0]) for key in quoted(row[0])}
    assert told <= set(captured.find(op="gen_ai.chat").attributes)
    assert len(told) > 5


def test_the_first_command_works_where_it_is_read() -> None:
    """Until there is a release, the README installs from the clone; the extra exists."""
    (command,) = re.findall(r"^pip install .*$", README.read_text(encoding="utf-8"), re.MULTILINE)
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    found = re.fullmatch(r'pip install "(\.|sentry-langchain-stream)\[(\w+)\]"', command)
    assert found is not None
    assert re.search(rf"^{found[2]} = \[", project, re.MULTILINE)
    unreleased = "not on PyPI yet" in README.read_text(encoding="utf-8")
    assert (found[1] == ".") is unreleased


def test_the_badges_are_true() -> None:
    """Each badge states what the package's metadata states."""
    text = README.read_text(encoding="utf-8")
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    (python,) = re.findall(r"badge/python-([\d.]+)_or_newer-", text)
    assert f'requires-python = ">={python}"' in project
    assert "badge/langchain--core-1.x-" in text
    assert "langchain-core>=1.0,<2" in project
    (oldest,) = re.findall(r"badge/sentry--sdk-([\d.]+)_or_newer-", text)
    assert f"sentry-sdk>={oldest},<3" in project


@pytest.mark.parametrize("name", FACTS)
def test_every_fact_says_what_it_means(name: str) -> None:
    """A fact has a docstring below it in the vocabulary, which the page of attributes shows."""
    assert attributes.meanings().get(name), f"write a docstring below {name} in _vocabulary/facts.py"
    assert name in {each for _, facts in attributes.groups() for each in facts}


def test_the_tables_of_attributes_are_the_vocabulary() -> None:
    """The page has each key once per fact, in the column of its dialect, with its meaning."""
    page = attributes.PAGE.read_text(encoding="utf-8")
    assert attributes.page() == page, "python -m tests.project.attributes writes it"
    both = {key for fact in FACTS.values() for key in fact.keys}
    assert both <= {key for row in rows(page) for key in quoted(row[0])}


@pytest.mark.parametrize("page", [README, attributes.PAGE], ids=lambda page: page.name)
def test_the_tables_name_no_key_that_is_not_set(page: Path) -> None:
    """Every key and op in the tables of these pages exists in the vocabulary."""
    known = {key for fact in FACTS.values() for key in (*fact.keys, *fact.added)} | {TAGS, LEFT_OUT, f"{METADATA}<key>"}
    known |= {PROMPT_NAME, PROMPT_VERSION, f"{PROMPT_VARIABLE}<name>", USER}
    dialects: tuple[Dialect, ...] = get_args(Dialect)
    kinds: tuple[SpanKind, ...] = get_args(SpanKind)
    for dialect in dialects:
        for kind in kinds:
            known.add(names.op(kind, dialect).replace("create.langchain", "create.<platform>"))
    named = {
        name
        for row in rows(page.read_text(encoding="utf-8"))
        for cell in row
        for name in quoted(cell)
        if name.startswith(("gen_ai.", "ai.", "langchain_stream."))
    }
    assert named - known == set()
    assert named


def test_the_table_of_settings_is_the_signature() -> None:
    """Names, order and defaults of the arguments are those of the constructor."""
    parameters = list(inspect.signature(SentryStreamHandler.__init__).parameters.values())[1:]
    told = [
        (quoted(name)[0], ast.literal_eval(quoted(default)[0]))
        for name, default, _ in rows(section(SETTINGS, "Arguments"))
    ]
    assert told == [(parameter.name, parameter.default) for parameter in parameters]


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_every_make_job_that_is_named_exists(page: Path) -> None:
    """No page names a command that the Makefile does not have."""
    jobs = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE)) <= jobs
