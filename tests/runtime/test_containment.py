"""Containing our own failures."""

from __future__ import annotations

import asyncio
import logging

import pytest

from sentry_langchain_stream._runtime import containment
from sentry_langchain_stream._runtime.containment import contained, report, warn_once

LOGGER = "sentry_langchain_stream"


class Passing(BaseException):
    """An exception that is no `Exception`."""


def fail(error: BaseException) -> None:
    """Raise from one and the same line."""
    raise error


def fail_elsewhere(error: BaseException) -> None:
    """Raise from another line."""
    raise error


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What our own logger has said."""
    return [record.getMessage() for record in caplog.records if record.name == LOGGER]


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize("error", [ValueError("x"), RecursionError("x"), AssertionError("x"), StopIteration("x")])
def test_an_exception_is_swallowed_and_said(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever `Exception` is raised inside, the code after the block runs on and one warning is logged."""
    reached = False
    with contained("place"):
        fail(error)
    reached = True
    assert reached
    [record] = [record for record in caplog.records if record.name == LOGGER]
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"place failed with {type(error).__name__} at ")


@pytest.mark.usefixtures("lenient")
def test_success_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A block that succeeds logs nothing."""
    with contained("place"):
        pass
    assert messages(caplog) == []


@pytest.mark.parametrize("strictly", [True, False])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError, Passing])
def test_what_is_no_failure_of_ours_passes(
    kind: type[BaseException], strictly: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception that is no `Exception` passes unreported, strict or not."""
    containment.strict(strictly)
    error = kind()
    with pytest.raises(kind) as caught, contained("place"):
        fail(error)
    assert caught.value is error
    assert messages(caplog) == []


def test_strict_raises(caplog: pytest.LogCaptureFixture) -> None:
    """When strict, the very exception is raised and nothing is logged."""
    error = ValueError("x")
    with pytest.raises(ValueError, match="x") as caught, contained("place"):
        fail(error)
    assert caught.value is error
    assert messages(caplog) == []


@pytest.mark.parametrize("value", [True, False])
def test_is_strict_tells_what_strict_set(value: bool) -> None:
    """`is_strict` returns what was last set."""
    containment.strict(value)
    assert containment.is_strict() is value


@pytest.mark.usefixtures("lenient")
def test_a_cause_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """The same place, exception type and line are logged once however often they fail, whatever the message."""
    for number in range(50):
        with contained("place"):
            fail(ValueError(f"message {number}"))
    assert len(messages(caplog)) == 1


@pytest.mark.usefixtures("lenient")
def test_each_cause_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Another place, another exception type and another line are causes of their own."""
    with contained("place"):
        fail(ValueError())
    with contained("elsewhere"):
        fail(ValueError())
    with contained("place"):
        fail(TypeError())
    with contained("place"):
        fail_elsewhere(ValueError())
    said = messages(caplog)
    assert len(said) == len(set(said)) == 4


@pytest.mark.usefixtures("lenient")
def test_the_line_names_where_it_failed(caplog: pytest.LogCaptureFixture) -> None:
    """The log line names the module and the innermost line that raised."""
    with contained("place"):
        fail(ValueError())
    [said] = messages(caplog)
    assert f" at {__name__}:{fail.__code__.co_firstlineno + 2};" in said


@pytest.mark.usefixtures("lenient")
def test_the_line_never_quotes_the_exception(caplog: pytest.LogCaptureFixture) -> None:
    """The log has no message of the exception or its cause, and no traceback: they may quote a prompt."""
    with contained("place"):
        try:
            fail(KeyError("the prompt"))
        except KeyError as cause:
            raise ValueError("the answer") from cause
    assert "place failed with ValueError" in caplog.text
    assert "the prompt" not in caplog.text
    assert "the answer" not in caplog.text
    assert all(record.exc_info is None for record in caplog.records)


@pytest.mark.usefixtures("lenient")
def test_forgetting_makes_a_cause_new(caplog: pytest.LogCaptureFixture) -> None:
    """After `forget_reports` a cause is said again."""
    for _ in range(2):
        with contained("place"):
            fail(ValueError())
        containment.forget_reports()
    assert len(messages(caplog)) == 2


def test_an_error_that_was_never_raised_can_be_reported(caplog: pytest.LogCaptureFixture) -> None:
    """`report` copes with an exception without a traceback."""
    report("place", ValueError("the prompt"))
    assert messages(caplog) == [
        "place failed with ValueError at ?; the run continues without it. Logged once per cause."
    ]


def test_what_is_said_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """However many causes there are, memory and log stay bounded."""
    for number in range(5_000):
        report(f"place {number}", ValueError())
        warn_once(f"cause {number}", "message")
    assert 0 < len(messages(caplog)) < 1_000


def test_a_warning_is_given_once_per_cause(caplog: pytest.LogCaptureFixture) -> None:
    """`warn_once` formats its arguments, and stays silent when the same cause is met again."""
    warn_once("one", "%s and %d", "a", 1)
    warn_once("one", "%s and %d", "b", 2)
    warn_once("two", "again")
    assert messages(caplog) == ["a and 1", "again"]
