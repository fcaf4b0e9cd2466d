"""The benchmarks' arithmetic, their verdict on spans, and their page."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.__main__ import merged
from benchmarks.contestants import BY_NAME
from benchmarks.measuring import problem
from benchmarks.report import figure, render, table
from benchmarks.sections import SECTIONS
from benchmarks.summary import Figure, Results, added, ratio
from benchmarks.targets import targets

MICRO = 1e-6


def row(contestant: str, per_unit: list[float], variant: str = "no content", **more: Any) -> dict[str, Any]:
    return {
        "section": "token",
        "case": "token_astream/1000",
        "contestant": contestant,
        "variant": variant,
        "per_unit": [each * MICRO for each in per_unit],
        "whole": [1.0 for _ in per_unit],
        "cpu": [1.0 for _ in per_unit],
        **more,
    }


def results(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "date": "2026-01-02",
        "command": "python -m benchmarks",
        "rounds": 3,
        "machine": "a machine",
        "versions": {"langchain-core": "1.7.2"},
        "samples": list(rows),
        **more,
    }


def test_differences_are_taken_within_a_round() -> None:
    """A round in which the machine was slow for both does not change what is added."""
    assert added([11.0, 101.0, 12.0], [10.0, 100.0, 11.0]) == Figure(1.0, 1.0, 1.0)
    assert ratio([20.0, 200.0], [10.0, 100.0]) == Figure(2.0, 2.0, 2.0)


def test_samples_that_do_not_belong_together_are_not_compared() -> None:
    """A contestant that failed in some round has no figure."""
    assert added([1.0, 2.0], [1.0]) is None
    assert ratio([], []) is None


def test_sections_can_be_measured_again() -> None:
    """What is measured again replaces its own sections only, and the page says that it was."""
    before = results(row("own", [1.0]), row("own", [2.0], section="call"), history=[1], crowd=[2])
    again = {**results(row("own", [3.0], section="call"), history=[3]), "command": "the second"}
    both = merged(before, again)
    assert [(each["section"], each["per_unit"]) for each in both["samples"]] == [
        ("token", [1.0 * MICRO]),
        ("call", [3.0 * MICRO]),
    ]
    assert (both["history"], both["crowd"], both["command"]) == ([3], [2], before["command"])
    assert "Some sections were measured again on 2026-01-02 with `the second`." in render(
        {**before, "again": both["again"], "history": [], "crowd": []}
    )


def test_a_figure_has_its_quartiles() -> None:
    """The spread is between the quartiles, as far as there are samples to tell."""
    assert Figure.of([1.0, 2.0, 3.0, 4.0, 5.0]) == Figure(3.0, 2.0, 4.0)
    assert Figure.of([7.0]) == Figure(7.0, 7.0, 7.0)
    assert figure(Figure(3 * MICRO, 2 * MICRO, 4 * MICRO)) == "3.0 (2.0–4.0)"
    assert figure(None) == "–"


@pytest.mark.parametrize(
    ("contestant", "variant", "told", "expected"),
    [
        ("own", "content", {}, None),
        ("own", "content", {"content": False}, "no content recorded"),
        ("own", "no content", {"content": True}, "prompt recorded though switched off"),
        ("own", "no content", {"content": False, "models": 0, "named": 0}, "no span"),
        ("own", "no content", {"content": False, "models": 2, "named": 2}, "2 spans for 1 model calls"),
        ("own", "no content", {"content": False, "named": 0}, "span without the model's name"),
        ("own", "unsampled", {}, "1 spans where none was expected"),
        ("none", "no content", {"content": False, "models": 0, "named": 0}, None),
    ],
)
def test_wrong_spans_are_a_problem(contestant: str, variant: str, told: dict[str, Any], expected: str | None) -> None:
    """One span per model call, with its model's name, and its prompt if and only if content is on."""
    check = {"expected": 1, "models": 1, "named": 1, "content": True, **told}
    assert problem(check, contestant, variant) == expected


def test_wrong_spans_are_not_timed() -> None:
    """Samples of a contestant whose spans were wrong are in no table, and it is listed."""
    page = render(results(row("none", [1, 1]), row("otel", [2, 2], problem="no span")))
    assert "| OpenTelemetry GenAI, no content | token_astream/1000 | no span |" in page
    assert not Results([row("otel", [2, 2], problem="no span")]).values(
        "token", "token_astream/1000", "otel", "no content"
    )


def test_the_page_tells_how_it_came_about() -> None:
    """Date, command, versions and what could not be installed are on it."""
    page = render(results(row("none", [1, 1]), missing={"mlflow": "no such | version"}))
    for told in ("2026-01-02", "`python -m benchmarks`", "langchain-core 1.7.2", "no such / version"):
        assert told in page


@pytest.mark.parametrize(("own", "met"), [([11.0, 11.0], True), ([12.0, 12.0], False)])
def test_a_target_is_judged_by_the_whole_time(own: list[float], met: bool) -> None:
    """Per token the handler may take 1.15 times the empty handler's whole time; what is added stands beside it."""
    found = Results([row("none", [9, 9]), row("empty", [10, 10]), row("own", own)])
    what, _, more, verdict = next(iter(targets(found, {})))
    assert "1.15" in what
    assert verdict is met
    assert "adds" in more


def test_a_peer_that_records_no_tokens_is_named_and_compared_for_itself() -> None:
    """There is a target with it and one without it, and the page says whose spans lack the tokens."""
    case = {"section": "call", "case": "call_ainvoke/8"}
    rows = [
        row("none", [1, 1], **case),
        row("own", [5, 5], check={"tokens": True}, **case),
        row("ddtrace", [3, 3], check={"tokens": False}, **case),
        row("otel", [9, 9], check={"tokens": True}, **case),
    ]
    found = {what: (told, met) for what, _, told, met in targets(Results(rows), {})}
    told, met = found["Per call, `ainvoke`: adds less than every peer"]
    assert ("ddtrace" in told, met) == (True, False)
    told, met = found["Per call, `ainvoke`: adds less than every peer that records tokens"]
    assert ("OpenTelemetry" in told, met) == (True, True)
    assert "do not record the tokens of a call: ddtrace APM, no content." in render(results(*rows))


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    """Without samples there is no verdict."""
    assert {verdict for *_, verdict in targets(Results([]), {})} == {None}


def test_every_section_has_the_baselines_and_this_package() -> None:
    """Whatever is measured can be compared with no handler and the empty one."""
    everybody = frozenset(BY_NAME)
    for section in SECTIONS:
        taking_part = {contestant.name for contestant, _ in section.contestants(everybody)}
        assert {"none", "empty", "own"} <= taking_part


def test_a_table_is_markdown() -> None:
    """A head, a rule and the rows, numbers to the right."""
    assert table(("", "µs"), [["a", "1"]]) == "|  | µs |\n| --- | ---: |\n| a | 1 |\n"
