"""The benchmarks' arithmetic, their verdict on spans, and their page."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import breakdown, details, goals, pairs, report, simulated, steps
from benchmarks.__main__ import merged
from benchmarks.contestants import BY_NAME
from benchmarks.earlier import LONGEST, after, summary
from benchmarks.environments import ROOT
from benchmarks.measuring import Pool, Worker, at_one_speed, problem, unlike
from benchmarks.pairs import PAIRS
from benchmarks.profiling import Profile, profiled
from benchmarks.sections import SECTIONS
from benchmarks.summary import Figure, Results, added, ratio
from benchmarks.tables import figure, table
from tests.kit import lean_environment

MICRO = 1e-6
STORED: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))


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


def test_samples_are_scaled_to_one_speed_of_the_machine() -> None:
    """A sample that was taken while a loop took twice as long counts half, and the loops are not stored."""
    rows = [
        {**row("own", [2.0, 4.0, 8.0]), "loop": [0.1, 0.2, 0.4]},
        {**row("none", [2.0, 2.0]), "loop": [0.2, 0.2]},
        {**row("otel", [], problem="no span"), "loop": []},
    ]
    at_one_speed(rows)
    assert rows[0]["per_unit"] == pytest.approx([4.0 * MICRO] * 3)
    assert rows[1]["per_unit"] == pytest.approx([2.0 * MICRO] * 2)
    assert rows[0]["cpu"] == pytest.approx([2.0, 1.0, 0.5])
    assert not any("loop" in each for each in rows)


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
    assert merged(both, again)["again"] == both["again"]  # of the second time, nothing is left
    assert "Some sections were measured again on 2026-01-02 with `the second`." in report.render(
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
    page = details.render(results(row("none", [1, 1]), row("otel", [2, 2], problem="no span")))
    assert "| OpenTelemetry GenAI, no content | token_astream/1000 | no span |" in page
    assert not Results([row("otel", [2, 2], problem="no span")]).values(
        "token", "token_astream/1000", "otel", "no content"
    )


def test_a_pair_that_failed_is_told() -> None:
    """Its spans were wrong, or its process ended: the page of the details says so."""
    failed = {"contestant": "own", "case": "chain/5", "variant": "content", "other": "bare", "of": "content"}
    page = details.render(results(pairs=[{**failed, "problem": "no answer"}]))
    assert "| sentry-langchain-stream, content | pairs | no answer |" in page


def test_the_page_tells_how_it_came_about() -> None:
    """Date, command, versions and what could not be installed are on it."""
    measured = results(row("none", [1, 1]), missing={"mlflow": "no such | version"})
    pages = report.render(measured) + details.render(measured)
    for told in ("2026-01-02", "`python -m benchmarks`", "langchain-core 1.7.2", "no such / version"):
        assert told in pages


def goal(what: str, found: Results, **rest: Any) -> goals.Goal:
    """The goal that begins like this."""
    return next(each for each in goals.goals(found, rest) if each.what.startswith(what))


@pytest.mark.parametrize(("own", "met"), [([11.0, 11.0], True), ([12.0, 12.0], False)])
def test_a_goal_is_judged_by_the_whole_time(own: list[float], met: bool) -> None:
    """Per token the handler may take 1.15 times the empty handler's whole time; what is added stands beside it."""
    found = goal("Per token, `astream`", Results([row("none", [9, 9]), row("empty", [10, 10]), row("own", own)]))
    assert "1.15" in found.what
    assert (found.met, goals.verdict(found)) == (met, "yes" if met else "**no**")
    assert "adds" in found.more


def call(contestant: str, microseconds: float, case: str = "call_invoke/8", **more: Any) -> dict[str, Any]:
    return row(contestant, [microseconds] * 2, section="call", case=case, **more)


@pytest.mark.parametrize(
    ("what", "rows", "met"),
    [
        ("`invoke`: at most 1.15", [call("own", 115), call("full", 100)], True),
        ("`invoke`: at most 1.15", [call("own", 116), call("full", 100)], False),
        ("`invoke`: adds less", [call("none", 10), call("own", 49), call("sentry", 50)], True),
        ("`invoke`: adds less", [call("none", 10), call("own", 50), call("sentry", 50)], False),
        ("`invoke` with content", [call("own", 100), call("own", 140, variant="content")], True),
        ("`invoke` with content", [call("own", 100), call("own", 141, variant="content")], False),
        ("`ainvoke` with no request", [call(name, 9, "call_alone/8") for name in ("own", "full")], True),
        ("`ainvoke`: at most 1.15", [call("own", 9, "call_ainvoke/8")], None),
    ],
)
def test_a_goal_per_call(what: str, rows: list[dict[str, Any]], met: bool | None) -> None:
    """Goals per call compare with the same bare spans, with Sentry's integration, and with content switched off."""
    assert goal(what, Results(rows)).met is met


def test_a_goal_takes_what_ran_in_pairs() -> None:
    """Two that took turns in one process are compared round by round, whatever the sections' processes took."""
    sections = Results([call("own", 200), call("full", 100)])
    ran = [
        {"contestant": "own", "case": case, "variant": "no content", "other": other, "of": "no content"}
        | {"seconds": seconds}
        for case, other, seconds in (
            ("call_invoke/8", "full", [[1.1, 1.0], [220.0, 200.0], [9.0, 1.0]]),
            ("throughput/1000", "bare", [[1.25, 1.0]]),
        )
    ]
    assert goal("`invoke`: at most 1.15", sections).measured == "2.00 times"
    assert goal("`invoke`: at most 1.15", sections, pairs=ran).measured == "1.10 times"
    assert goal("1,000 streams", sections, pairs=ran).measured == "0.80 times"
    broken = [{**each, "problem": "no span"} for each in ran]
    assert goal("`invoke`: at most 1.15", Results([]), pairs=broken).met is None


def test_every_goal_against_a_baseline_has_a_pair() -> None:
    """The pairs are exactly what the goals look up among them."""
    asked: list[tuple[str, ...]] = []

    def noted(ran: object, *key: str) -> Figure:
        asked.append(key)
        return Figure(1.0, 1.0, 1.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(goals, "in_pairs", noted)
        list(goals.goals(Results([]), {}))
    there = [(each.case.key, each.variant, each.other, each.of, each.contestant) for each in PAIRS]
    assert sorted(key for key in there if key[4] == "own") == sorted((*key, "own") for key in asked if len(key) == 4)
    assert {key for key in there if key[4] == "least"} <= {key for key in asked if len(key) == 5}


ENVIRONMENT = {"PYTHONPATH": lean_environment()["PYTHONPATH"], "TESTS_HIDE": "langchain.agents,openai"}
"""Of a contestant's process, which takes half as long to start without these."""


def test_two_contestants_with_a_process_each_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer whose environment is another one is asked for each of its samples where it is installed."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(pairs, "BY_NAME", {**BY_NAME, "empty": replace(BY_NAME["empty"], environment="another")})
    (taken,) = [each for each in PAIRS if (each.case.key, each.contestant) == ("call_invoke/8", "least")][:1]
    taken = taken._replace(other="empty", share=20)
    with Pool({"own": Path(sys.executable), "another": Path(sys.executable)}) as pool:
        found = pairs._timed(pool, taken, 40)
    assert [len(both) for both in found] == [2, 2]
    assert all(seconds > 0 for both in found for seconds in both)


@pytest.fixture(scope="module")
def own_worker() -> Iterator[Worker]:
    """A process of this package's contestant, which takes seconds to start."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        worker = Worker(Path(sys.executable), ("own", "no content"))
    yield worker
    worker.close()


@pytest.mark.parametrize("other", ["full", "empty"])
def test_two_contestants_take_turns_in_one_process(other: str, own_worker: Worker) -> None:
    """In each round there is a sample of each."""
    asked: dict[str, Any] = {"workload": "call_invoke", "size": 8, "times": 2, "other": other, "of": "no content"}
    found = own_worker.ask(do="pair", rounds=3, **asked)["seconds"]
    assert [len(both) for both in found] == [2, 2, 2]
    assert all(seconds > 0 for both in found for seconds in both)


@pytest.mark.parametrize(("own", "met"), [((90, 84), True), ((80, 83), False)])
def test_the_goal_of_a_crowd_compares_within_a_round(own: tuple[float, float], met: bool) -> None:
    """The ratio of chunks per second is taken round by round: a slow round is slow for both."""
    rows = [
        {"workload": "throughput", "size": 100, "tokens": 10, "variant": "no content", "round": place, **each}
        for place, pair in enumerate(zip(own, (100, 96), strict=True))
        for each in (
            {"contestant": "own", "chunks_per_second": pair[0]},
            {"contestant": "bare", "chunks_per_second": pair[1]},
        )
    ]
    assert goal("1,000 streams", Results([]), crowd=rows).met is met


@pytest.mark.parametrize(("live", "met"), [(6_900, True), (7_100, False)])
def test_the_goal_of_a_live_stream_is_above_the_bare_span(live: int, met: bool) -> None:
    """A stream may hold 4,000 bytes more than the bare span's."""
    held = {"workload": "memory", "size": 100, "tokens": 10, "variant": "no content"}
    rows = [
        {**held, "contestant": name, "live": bytes_} for name, bytes_ in (("none", 5), ("bare", 3_000), ("own", live))
    ]
    assert goal("A live stream", Results([]), crowd=rows).met is met


def pair(contestant: str, case: str, other: str, own: float) -> dict[str, Any]:
    """A contestant that takes so many times as long as the other one."""
    key = {"contestant": contestant, "case": case, "variant": "no content", "other": other, "of": "no content"}
    return {**key, "seconds": [[own, 1.0], [2 * own, 2.0]]}


@pytest.mark.parametrize(
    ("what", "case", "other", "in_reach", "missed"),
    [
        ("`invoke`: at most 1.15", "call_invoke/8", "full", 1.14, 1.16),
        ("`invoke`: adds less", "call_invoke/8", "sentry", 0.99, 1.01),
        ("5-deep chain: adds less", "chain/5", "ddtrace", 0.99, 1.01),
        ("1,000 streams", "throughput/1000", "bare", 1.17, 1.19),
    ],
)
def test_a_goal_that_the_least_handler_misses_is_a_floor(
    what: str, case: str, other: str, in_reach: float, missed: float
) -> None:
    """A missed goal is beyond reach if the least handler that reads misses it in the same place; met, it is met."""
    for own, least, expected in (
        (missed, missed, "floor"),
        (missed, in_reach, "**no**"),
        (in_reach, missed, "yes"),
        (missed, None, "**no**"),
    ):
        ran = [pair("own", case, other, own)]
        if least is not None:
            ran.append(pair("least", case, other, least))
        found = goal(what, Results([]), pairs=ran)
        assert goals.verdict(found) == expected
        assert (found.least == "–") is (least is None)
        assert f"| {expected} |" in report.render(results(pairs=ran))


def test_a_peer_that_records_no_tokens_is_not_the_best() -> None:
    """The best peer is one whose spans have the tokens of a call, and the page names those without."""
    rows = [
        call("none", 1, "call_ainvoke/8"),
        call("own", 5, "call_ainvoke/8", check={"tokens": True}),
        call("ddtrace", 3, "call_ainvoke/8", check={"tokens": False}),
        call("otel", 9, "call_ainvoke/8", check={"tokens": True}),
    ]
    assert "| a model call, `ainvoke` | 4.0 | – | – | 8.0 (OpenTelemetry GenAI) |" in report.render(results(*rows))
    assert "do not record the tokens of a call: ddtrace APM, no content." in details.render(results(*rows))


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    """Without samples there is no verdict."""
    found = Results([])
    assert {each.met for each in (*goals.goals(found, {}), *goals.kept(found, {}))} == {None}


def test_a_floor_with_other_spans_is_not_timed() -> None:
    """The bare spans are compared only if they are as many as the handler's, with as many attributes."""
    own: dict[str, Any] = {"check": {"shape": [["gen_ai.chat", 22]]}}
    assert unlike({("own", "no content"): own, ("full", "no content"): own}) is None
    other: dict[str, Any] = {"check": {"shape": [["gen_ai.chat", 20]]}}
    assert unlike({("own", "no content"): own, ("full", "no content"): other}) == (
        "not the same spans: gen_ai.chat 20; the handler's: gen_ai.chat 22"
    )


def test_the_last_runs_are_kept_as_medians() -> None:
    """A new run keeps the stored one's medians, and at most so many runs; a quick one leaves none."""
    stored = results(call("none", 1), call("own", 5))
    assert summary(stored)["added"] == {"per invoke": {"own": 4.0}}
    kept = after({**stored, "earlier": [{"date": str(day)} for day in range(9)]})
    assert [each["date"] for each in kept] == ["6", "7", "8", "2026-01-02"]
    assert len(kept) == LONGEST - 1
    assert after({**stored, "quick": True}) == []


@pytest.mark.parametrize(("page", "render"), [("performance.md", report.render), ("benchmarks.md", details.render)])
def test_the_pages_are_those_of_the_stored_results(page: str, render: Callable[[dict[str, Any]], str]) -> None:
    """Nobody changes a figure or a sentence in a page: `make bench ARGS="--report"` writes both from the results."""
    assert render(STORED) == (ROOT / "docs" / page).read_text(encoding="utf-8")


def test_the_page_shows_steps_and_production() -> None:
    """The profile is a table with the sum of its rows, the production section has the added CPU and the p99."""
    steps_ = [["start", "provider", 3e-6, 4], ["", steps.AROUND, 7e-6, 50]]
    services = [
        {"contestant": name, "variant": variant, "sink": "answers", "clients": 2, "tokens": 3, "per_second": 50.0}
        | {"cpu": [cpu], "first_byte": [0.001, 0.002], "problem": None}
        for name, variant, cpu in (("none", "no content", 0.010), ("own", "content", 0.012))
    ]
    measured = results(
        profile=[
            {"workload": "invoke", "contestant": "own", "variant": "no content", "seconds": 10e-6, "steps": steps_}
        ],
        production=services,
    )
    page = report.render(measured)
    for line in (
        "| start: provider | 3.0 | 4 |",
        "| all | 10.0 | 54 |",
        "| sentry-langchain-stream, content | 12.0 (12.0–12.0) | 2.0 (2.0–2.0) | 1.5 | 2.0 |",
    ):
        assert line in page
    assert "### `invoke`" in details.render(measured)


def test_the_page_shows_what_a_call_executes() -> None:
    """Instructions are in thousands, bytecodes are all of them and the different ones; who failed has a dash."""
    rows = [
        {
            "case": "`invoke`",
            "contestant": "own",
            "instructions": 1_600_400,
            "bytecodes": 13_800,
            "different": 9_100,
        },
        {"case": "`invoke`", "contestant": "sentry", "problem": "its process ended"},
        {"case": "`invoke`, unsampled", "contestant": "bare", "bytecodes": 8_900, "different": 4_600},
    ]
    page = report.render(results(simulated=rows))
    for line in (
        "|  | sentry-langchain-stream | bare Sentry span |",
        "| `invoke` | 1,600 | – |",
        "| `invoke`, unsampled | – | – |",
        "| `invoke` | 13,800 / 9,100 | – |",
        "| `invoke`, unsampled | – | 8,900 / 4,600 |",
    ):
        assert line in page
    assert simulated.ABOUT not in report.render(results(simulated=[]))


def test_the_bytecodes_of_one_call_are_counted() -> None:
    """What is executed however many calls there are is left out, and each place in the code is one different one."""

    def once(number: int) -> None:
        for _ in range(10):
            pass
        for _ in range(number):
            one()

    def one() -> None:
        for _ in range(3):
            pass

    def twice(number: int) -> None:
        once(2 * number)

    found, doubled = simulated.bytecodes(once), simulated.bytecodes(twice)
    assert 10 < found["different"] < found["bytecodes"]
    assert doubled == {"bytecodes": 2 * found["bytecodes"], "different": found["different"]}


def test_what_callgrind_has_counted_is_read() -> None:
    """The events and their sums are two of the lines of its file."""
    counted = "version: 1\nevents: Ir Dr ILmr DLmr\nfn=(1) work\n10 5 2 1 0\n\ntotals: 105 22 1 3\n"
    assert simulated.totals(counted) == {"Ir": 105, "Dr": 22, "ILmr": 1, "DLmr": 3}


def test_every_function_that_begins_a_step_exists() -> None:
    """A function that is renamed takes its place in `benchmarks/steps.py` with it."""
    package = ROOT / "sentry_langchain_stream"
    for module, function in steps.entries():
        source = (package / module).read_text(encoding="utf-8")
        assert function is None or f"def {function}(" in source, f"{module}: {function}"


def test_a_profile_counts_calls_by_step_and_adds_up(tmp_path: Path) -> None:
    """Functions belong to the step of their caller, unless a step begins with them; the times add up to the whole."""
    space: dict[str, Any] = {}
    files = {
        "sentry_langchain_stream/handler.py": "def on_llm_end():\n    return describe(), helper()",
        "sentry_langchain_stream/_runs/attributes.py": "def describe():\n    return helper(), helper(), set_data()",
        "sentry_langchain_stream/_vocabulary/keys.py": "def helper():\n    return None",
        "sentry_sdk/tracing.py": "def set_data():\n    return helper()",
    }
    for name, source in files.items():
        exec(compile(source, str(tmp_path / name), "exec"), space)
    profile = Profile()
    profile.of(space["on_llm_end"])
    assert profile.calls == {
        ("end", "hook"): 2,
        ("end", "attributes"): 3,
        ("end", steps.SDK): 2,
    }
    found = profiled(space["on_llm_end"], rounds=2)
    assert sum(seconds for _, _, seconds, _ in found["steps"]) == pytest.approx(found["seconds"])
    shown = list(breakdown.lines([{"seconds": 1.0, "steps": found["steps"]}]))
    assert [(phase, step) for phase, step, _ in shown][:3] == [
        ("end", "hook"),
        ("end", "attributes"),
        ("end", steps.SDK),
    ]


def test_every_section_has_the_baselines_and_this_package() -> None:
    """Whatever is measured can be compared with no handler and the empty one."""
    everybody = frozenset(BY_NAME)
    for section in SECTIONS:
        taking_part = {contestant.name for contestant, _ in section.contestants(everybody)}
        assert {"none", "empty", "own"} <= taking_part


def test_a_table_is_markdown() -> None:
    """A head, a rule and the rows, numbers to the right."""
    assert table(("", "µs"), [["a", "1"]]) == "|  | µs |\n| --- | ---: |\n| a | 1 |\n"
