"""`make transparency`: what it compares, and what it calls explained."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.kit.absent import long
from tests.transparency.__main__ import run
from tests.transparency.comparison import (
    EXPLAINED,
    Difference,
    Explanation,
    Report,
    differences,
    faults,
    lasts,
    new_warnings,
)

PAGE = Path(__file__).parents[2] / "docs" / "transparency.md"

SENT = {"spans": 1}

PLANTED = """
from langchain_core.callbacks import CallbackManager
from langchain_core.language_models.fake_chat_models import FakeListChatModel

def test_same():
    assert FakeListChatModel(responses=["hello"]).invoke("hi").content == "hello"

def test_counts_handlers():
    assert len(CallbackManager.configure().handlers) == 0
"""


@long
def test_a_planted_test_that_sees_the_handler_differs_and_no_other(tmp_path: Path) -> None:
    """A test that passes without the handler and fails with it is found, with its message; the others are the same."""
    (tmp_path / "test_planted.py").write_text(PLANTED)
    wanted = ["test_planted.py", "-c", "/dev/null", "--rootdir", str(tmp_path)]

    without, attached = (
        run(tmp_path, way, wanted, to=tmp_path / "report.json", python=Path(sys.executable))
        for way in ("", "integration")
    )

    (found,) = differences("planted", without, attached)
    assert (found.test, found.without, found.attached) == ("test_planted.py::test_counts_handlers", "passed", "failed")
    assert "assert 1 == 0" in found.cause
    assert found.why is None
    assert faults(without, attached) == []


def test_outcomes_are_compared_test_by_test() -> None:
    """Two tests that swap their outcomes differ, and so does a test that ran on one side only."""
    without = Report({"a": "passed", "b": "failed", "c": "skipped", "d": "passed"})
    attached = Report({"a": "failed", "b": "passed", "c": "skipped", "e": "passed"})

    found = [(each.test, each.without, each.attached) for each in differences("suite", without, attached)]

    assert found == [("a", "passed", "failed"), ("b", "failed", "passed"), ("d", "passed", None), ("e", None, "passed")]


def test_an_explanation_holds_for_its_own_message_only() -> None:
    """A test that is explained, and fails in another way, is not explained; its parameters do not matter."""
    explained = [Explanation("suite", "test_it", r"assert 2 == 1", "counts handlers")]

    def why(suite: str, test: str, message: str) -> str | None:
        attached = Report({test: "failed"}, causes={test: message})
        (found,) = differences(suite, Report({test: "passed"}), attached, explained)
        return found.why

    assert why("suite", "test_it", "AssertionError: assert 2 == 1") == "counts handlers"
    assert why("suite", "test_it[sqlite]", "assert 2 == 1") == "counts handlers"
    assert why("suite", "test_it", "TypeError: no") is None
    assert why("suite", "test_its", "assert 2 == 1") is None
    assert why("other", "test_it", "assert 2 == 1") is None


def test_a_difference_lasts_unless_the_test_is_unstable_without_the_handler() -> None:
    """What fails with the handler, if only sometimes, counts; what also fails without it, or never again, does not."""
    found = Difference("a", "passed", "failed", "", None)

    assert lasts(found, [("passed", "failed"), ("passed", "failed")])
    assert lasts(found, [("passed", "failed"), ("passed", "passed")])
    assert not lasts(found, [("passed", "passed"), ("passed", "passed")])
    assert not lasts(found, [("passed", "failed"), ("failed", "failed")])
    assert not lasts(Difference("a", "failed", "passed", "", None), [("passed", "passed"), ("failed", "passed")])


def test_a_run_in_which_the_handler_failed_or_was_absent_is_a_fault() -> None:
    """Contained failures, runs that stay live, no test and no span are reported whatever the outcomes are."""
    good = Report({"a": "passed"}, sent=SENT)

    assert faults(good, good) == []
    assert faults(good, Report({"a": "passed"}, sent=SENT, contained=["oh", "oh"])) == ["logged: oh"]
    assert faults(good, Report({"a": "passed"}, sent=SENT, live=2)) == ["2 runs are live after the last test"]
    assert faults(good, Report({"a": "passed"})) == ["no span was sent: the handler was not attached"]
    assert faults(Report({}), good) == ["no test ran"]


def test_a_warning_that_only_the_handler_brings_is_found() -> None:
    """Kinds of warnings that were there without the handler are not listed."""
    assert new_warnings(Report({}, warnings=["a"]), Report({}, warnings=["a", "b"])) == ["b"]


def test_the_page_names_every_explained_difference() -> None:
    """`docs/transparency.md` has the name of each test that may differ."""
    page = PAGE.read_text()

    assert [each.test for each in EXPLAINED if each.test.split("::")[-1] not in page] == []
