"""What is going away says so where it is used."""

from __future__ import annotations

import warnings
from types import CodeType

import pytest

from sentry_langchain_stream._runtime.deprecation import deprecated

OURS: CodeType = compile("def inner(): deprecated('`old`', since='1.2', until='2.0', instead='`new`')", "ours", "exec")


@pytest.mark.parametrize("depth", [0, 1, 5])
def test_a_deprecation_names_the_versions_the_replacement_and_the_line_of_the_application(depth: int) -> None:
    """The warning says since when, until when and what instead, and points to the caller outside of the package."""
    package = {"__name__": "sentry_langchain_stream.anything", "deprecated": deprecated}
    exec(OURS, package)
    for _ in range(depth):  # a call inside the package calls another one
        exec("before = inner\ndef inner(before=before): before()", package)
    application = {"__name__": "application", "call": package["inner"]}
    with pytest.warns(DeprecationWarning, match="deprecated since") as caught:
        exec(compile("\n\ncall()", "application.py", "exec"), application)
    (warning,) = caught
    assert (warning.filename, warning.lineno) == ("application.py", 3)
    assert str(warning.message) == (
        "`old` is deprecated since sentry-langchain-stream 1.2, and 2.0 will not have it: use `new`"
    )


def test_a_deprecation_is_an_error_where_warnings_are() -> None:
    """With `-W error`, as a test suite may have it, the application's call fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DeprecationWarning, match="`old`"):
            deprecated("`old`", since="1.2", until="2.0", instead="`new`")
