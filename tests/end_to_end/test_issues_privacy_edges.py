"""Where a message only looks as if the interpreter or source code had said it, and exceptions that are odd to read."""

from __future__ import annotations

import asyncio
import errno
import importlib
import json
import logging
import py_compile
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sentry_sdk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable, RunnableLambda

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._runtime import tracebacks
from sentry_langchain_stream.testing import capture_spans
from tests.end_to_end.test_issues_privacy import issue, swallowed
from tests.kit.absent import needs
from tests.kit.fresh import Fresh
from tests.kit.wire import ScriptedModel, content_allowed

ANSWER = "yebra's \"secret\" 'words' 471"
SECRET = ("secret", "words", "471")


def after_the_answer(step: Callable[[str], Any]) -> Runnable[Any, Any]:
    return ScriptedModel(pieces=(ANSWER,)) | StrOutputParser() | RunnableLambda(lambda text: step(str(text)))


def as_argument(text: str) -> None:
    given: Any = {text: 1}
    (lambda a: a)(**given)


def as_attribute(text: str) -> None:
    getattr("", text)


def deep(text: str, depth: int = 700) -> None:
    """Deeper than tracebacks usually are."""
    if depth:
        deep(text, depth - 1)
    raise TypeError(f"{text}")


def of_a_future(make: Callable[[str], BaseException]) -> Callable[[str], None]:
    def step(text: str) -> None:
        async def wait() -> None:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            future.set_exception(make(text))
            await future

        asyncio.run(wait())

    return step


def thrown(text: str) -> None:
    def waits() -> Any:
        yield

    generator = waits()
    next(generator)
    generator.throw(IndexError(text))


def written_by_the_model(text: str) -> None:
    exec(f"raise ValueError({text!r})")


def written_into_a_named_file(text: str) -> None:
    exec(compile(f"raise ValueError({text!r})", "step_1.py", "exec"))


def with_a_code_of_its_own(text: str) -> None:
    error: Any = ValueError("no")
    error.status_code, error.code = 400, SECRET[0]
    raise error


def named_by_the_model(text: str) -> None:
    eval("_".join(SECRET))


def number(text: str) -> None:
    raise ValueError(f"the number of the patient is {text[-3:]}, {text}")


FAILURES: dict[str, Callable[[str], None]] = {
    "the name of an argument": as_argument,
    "the name of an attribute": as_attribute,
    "a deep stack": deep,
    "TypeError of a future": of_a_future(TypeError),
    "IndexError of a future": of_a_future(IndexError),
    "OSError of a future": of_a_future(lambda text: OSError(errno.EIO, text)),
    "an error number": of_a_future(lambda text: OSError(471, "x")),
    "throw": thrown,
    "code of the model": written_by_the_model,
    "code of the model, with the name of a file": written_into_a_named_file,
    "a code that no server has sent": with_a_code_of_its_own,
    "a name of the model": named_by_the_model,
    "a number": number,
}


@pytest.mark.parametrize("report", [swallowed, sentry_sdk.capture_exception], ids=lambda each: each.__name__)
@pytest.mark.parametrize("name", FAILURES)
def test_what_only_looks_like_the_interpreters_is_not_sent(name: str, report: Callable[[Exception], Any]) -> None:
    """No word of the answer is in a message that only looks like one of the interpreter or of source code."""
    event = issue(after_the_answer(FAILURES[name]), report)
    sent = json.dumps([each["value"] for each in event["exception"]["values"]])
    assert [each for each in SECRET if each in sent] == []


def call_of_a_missing_argument(_: str) -> None:
    (lambda *, a: a)()  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (lambda _: unknown_name, "name 'unknown_name' is not defined"),  # type: ignore[name-defined]  # noqa: F821
        (lambda _: [][1], "list index out of range"),
        (lambda _: 1 + "", "unsupported operand type(s) for +: 'int' and 'str'"),  # type: ignore[operator]
        (lambda _: len(None), "object of type 'NoneType' has no len()"),  # type: ignore[arg-type]
        (lambda _: "".join([1]), "sequence item 0: expected str instance, int found"),  # type: ignore[list-item]
        (call_of_a_missing_argument, "missing 1 required keyword-only argument: "),
    ],
)
def test_what_the_interpreter_says_is_readable(step: Callable[[str], Any], expected: str) -> None:
    """Messages of the interpreter that quote no content are sent."""
    assert expected in issue(after_the_answer(step))["exception"]["values"][-1]["value"]


def logged_whole(error: Exception) -> None:
    logging.getLogger("application").exception("Could not answer.")


def logged_template(error: Exception) -> None:
    logging.getLogger("application").exception("Could not answer: %s", error)


def logged_both(error: Exception) -> None:
    logging.getLogger("application").exception(f"Could not answer {error}: %s", error)


def logged_exception(error: Exception) -> None:
    logging.getLogger("application").exception(error)


def logged_filled_in(error: Exception) -> None:
    logging.getLogger("application").exception("%s", error)


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (logged_whole, "Could not answer."),
        (logged_template, "Could not answer: %s"),
        (logged_both, "[Filtered]"),
    ],
)
def test_a_log_message_is_sent_if_it_is_source_code(report: Callable[[Exception], Any], expected: str) -> None:
    """Without content, a log message is sent if it stands in the source code as a whole, as a template does."""
    event = issue(after_the_answer(number), report)
    assert event["logentry"] == {"message": expected, "params": []}


def down(_: str) -> None:
    raise ConnectionError("the provider is down")


def nothing_else(text: str) -> None:
    raise ValueError(text)


@pytest.mark.parametrize("redact", [None, str.upper])
@pytest.mark.parametrize("content", [True, False])
@pytest.mark.parametrize(
    ("step", "report", "instead"),
    [
        (down, logged_exception, ""),
        (down, logged_filled_in, ""),
        (number, logged_exception, ""),
        (nothing_else, logged_exception, "[Filtered]"),
        (nothing_else, logged_filled_in, "%s"),
    ],
)
def test_a_log_message_that_repeats_the_exception_is_sent_like_it(
    step: Callable[[str], None], report: Callable[[Exception], Any], instead: str, content: bool, redact: Any
) -> None:
    """`logger.exception(error)` sends of the message what is sent of the exception's, one field further on."""
    chain, handler = after_the_answer(step), SentryStreamHandler(redact=redact)
    with capture_spans(**content_allowed(content), default_integrations=True) as captured:
        try:
            chain.invoke("Hi", {"callbacks": [handler]})
        except Exception as error:
            report(error)
        (event,) = captured.events
    entry, value = event["logentry"], event["exception"]["values"][-1]["value"]
    said = entry["formatted"] if content else entry["message"]
    assert said == (value or instead)
    assert content or not any(each in json.dumps(entry) for each in SECRET)


def test_an_exception_is_asked_for_its_message_once_per_event() -> None:
    """An exception whose message is slow to make costs one call of `str` more than without us, per event."""
    asked: list[int] = []

    class Slow(Exception):
        def __str__(self) -> str:
            asked.append(1)
            return "slow"

    def slow(_: str) -> None:
        raise Slow

    issue(after_the_answer(slow))
    assert len(asked) == 2


class Odd:
    """Classes of exceptions, in a class of their own as some libraries have them."""

    class Nested(Exception):
        """Sentry names it with the class that it is in."""

    class Several(Exception):
        """Has an attribute that groups have, with something else in it."""

        def __init__(self, exceptions: Any) -> None:
            super().__init__("several things failed")
            self.exceptions = exceptions

    class Lazy(Exception):
        """Its response is not there, as httpx's is not in some cases."""

        @property
        def response(self) -> Any:
            """What is not there."""
            raise RuntimeError("no response")


def raises(make: Callable[[], Exception]) -> Callable[[str], None]:
    def step(_: str) -> None:
        error = make()
        error.args = ("several things failed",)
        raise error

    return step


ODD: dict[str, Callable[[str], None]] = {
    "nested class": raises(Odd.Nested),
    "no exceptions": raises(lambda: Odd.Several(None)),
    "mapping of exceptions": raises(lambda: Odd.Several({"first": ValueError()})),
    "texts": raises(lambda: Odd.Several(["first"])),
    "property that raises": raises(Odd.Lazy),
    "unknown error number": of_a_future(lambda _: OSError(10**30, "several things failed")),
}


@pytest.mark.parametrize("report", [swallowed, sentry_sdk.capture_exception], ids=lambda each: each.__name__)
@pytest.mark.parametrize("name", ODD)
def test_an_odd_exception_is_an_issue_too(name: str, report: Callable[[Exception], Any]) -> None:
    """Whatever attributes an exception has, it is one event, with its message if that stands in the source code."""
    (value,) = issue(after_the_answer(ODD[name]), report)["exception"]["values"]
    assert name == "unknown error number" or value["value"] == "several things failed"


INTERPRETER = """
    import json, sys
    import sentry_sdk
    from IPython.core.interactiveshell import InteractiveShell
    from langchain_core.tools import tool
    from sentry_langchain_stream import SentryStreamHandler
    from sentry_langchain_stream.testing import capture_spans

    @tool
    def python(code: str) -> str:
        "Run code."
        return str(InteractiveShell.instance().run_cell(code).raise_error())

    with capture_spans() as captured:
        try:
            code = "raise ValueError('the patient is very ill')"
            python.invoke({"code": code}, {"callbacks": [SentryStreamHandler()]})
        except ValueError as error:
            sentry_sdk.capture_exception(error)
    (event,) = captured.events
    event.pop("breadcrumbs", None)
    frames = event["exception"]["values"][-1]["stacktrace"]["frames"]
    lines = [frame.get("context_line") for frame in frames]
    sys.__stdout__.write(json.dumps(["patient" in json.dumps(event), any(lines), frames[-1]["filename"]]))
"""


@needs("IPython")
def test_what_a_code_interpreter_runs_is_no_source_code(fresh: Fresh) -> None:
    """A tool that runs the model's code with IPython's shell: neither its message nor its lines are sent."""
    done = fresh.run(INTERPRETER)
    assert done.returncode == 0, done.stderr[-3000:]
    tells, has_lines, innermost = json.loads(done.stdout.splitlines()[-1])
    assert "ipython-input" in innermost
    assert not tells
    assert has_lines  # of IPython's and LangChain's code, which is in files


def test_the_words_of_a_module_without_its_source_are_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may have the compiled modules alone, which name files of the machine where they were compiled."""
    source = tmp_path / "compiled_alone.py"
    source.write_text("def fail(text):\n    raise ValueError('the order could not be found')\n")
    py_compile.compile(str(source), cfile=f"{source}c", dfile="/build/compiled_alone.py", doraise=True)
    source.unlink()
    monkeypatch.syspath_prepend(tmp_path)
    compiled = importlib.import_module("compiled_alone")
    try:
        event = issue(after_the_answer(compiled.fail))
    finally:
        del sys.modules["compiled_alone"]
    assert event["exception"]["values"][-1]["value"] == "the order could not be found"


@pytest.mark.parametrize(
    ("path", "shell", "expected"),
    [
        ("/tmp/ipykernel_12/345.py", "ZMQInteractiveShell", True),
        ("/databricks/.ipykernel/12/command-4281-1", "DatabricksShell", True),
        ("<ipython-input-1-abc>", "TerminalInteractiveShell", True),
        ("<ipython-input-1-abc>", "InteractiveShell", False),
        ("/tmp/ipython-input-1-2205557397.py", "Shell", True),
        ("/tmp/ipython-input-1-2205557397.py", None, False),
        ("/databricks/.ipykernel/12/command-4281-1", None, False),
        ("<string>", "ZMQInteractiveShell", False),
        ("step_1.py", "ZMQInteractiveShell", False),
    ],
)
def test_cells_are_source_code_in_a_session(
    monkeypatch: pytest.MonkeyPatch, path: str, shell: str | None, expected: bool
) -> None:
    """The cells of a notebook are the developer's; what an application runs with IPython's shell may be a model's."""
    made = type(shell, (), {})() if shell is not None else None
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: made))
    assert tracebacks.is_source_file(path) is expected
