"""The dashboard and the monitors of `examples/sentry` ask for what is sent, in the form that Sentry's API documents.

There is no Sentry here: `sentry_search.Rows` evaluates the queries over captured spans.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from examples.sentry import __main__ as posting
from examples.sentry import build
from examples.sentry.queries import CALLS
from sentry_langchain_stream import SentryStreamHandler, record_evaluation
from sentry_langchain_stream._vocabulary.keys import EVALUATION_NAME, KEYS
from sentry_langchain_stream.testing import capture_spans
from tests.kit.loopback import Body, answering, json_body
from tests.kit.wire import WIRE_SHAPES
from tests.project.sentry_search import CALL, Rows, asked, attributes, key, row, searched, stream

SENT = {EVALUATION_NAME, *(key for keys in KEYS["gen_ai"].values() for key in keys)}
BUILT_IN = {"span.duration", "trace", "timestamp", "gen_ai.operation.type"}
"""What Sentry has of every span, and the type of an AI span, which it adds."""
NUMBERS = {"span.duration", "gen_ai.usage.total_tokens", "gen_ai.cost.total_tokens"}
"""The numbers that Sentry knows as such. Every other has to be written `tags[key,number]`."""
UNITS = {
    "gen_ai.response.time_to_first_chunk": "s",
    "langchain_stream.longest_gap": "s",
    "langchain_stream.final_silence": "s",
    "gen_ai.cost.total_tokens": "USD",
}

DASHBOARD = json.loads((build.FOLDER / "dashboard.json").read_text(encoding="utf-8"))
MONITORS = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (build.FOLDER / "monitors").glob("*.json")
}
ALERT = json.loads((build.FOLDER / "alert.json").read_text(encoding="utf-8"))
WIDGETS = [pytest.param(each, id=each["title"]) for each in DASHBOARD["widgets"]]
EACH_MONITOR = [pytest.param(each, id=name) for name, each in MONITORS.items()]

WIDGET = {"title", "description", "displayType", "widgetType", "interval", "limit", "queries", "layout"}
QUERY = {"name", "fields", "aggregates", "columns", "fieldAliases", "conditions", "orderby"}


def queries() -> list[tuple[str, list[str], str]]:
    """Every query: where it is, its fields and its search."""
    return [
        (widget["title"], [*query["fields"], query["orderby"].removeprefix("-")], query["conditions"])
        for widget in DASHBOARD["widgets"]
        for query in widget["queries"]
    ] + [
        (name, [each["dataSources"][0]["aggregate"]], each["dataSources"][0]["query"])
        for name, each in MONITORS.items()
    ]


def test_the_files_are_what_the_module_builds() -> None:
    """The JSON is that of `python -m examples.sentry.build`, and there is no other."""
    kept = {path: path.read_text(encoding="utf-8") for path in build.FOLDER.rglob("*.json")}
    assert kept == build.files()


@pytest.mark.parametrize(("where", "fields", "search"), [pytest.param(*each, id=each[0]) for each in queries()])
def test_every_key_is_sent(where: str, fields: list[str], search: str) -> None:
    """What a query selects, aggregates, groups or orders by, and searches for, is a key that spans have."""
    keys = {key(each) for field in fields if field for each in attributes(field)}
    keys |= {key(asked(term)) for term in searched(search)}
    assert keys - SENT - BUILT_IN == set()


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_an_evaluation_is_no_answer(shape: str) -> None:
    """Its span is an AI span that Sentry takes for a model call, which no query counts as one."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        record_evaluation(trace_id="a" * 32, span_id="b" * 16, name="relevance", score=1)
    spans = Rows(map(row, captured.spans))
    assert [each["gen_ai.operation.type"] for each in spans if "gen_ai.operation.type" in each] == ["ai_client"]
    assert [where for where, _, search in queries() if spans.matching(search)] == []


def test_a_decision_is_an_answer() -> None:
    """The call of a decision model has the operation of an evaluation, and the queries of all model calls find it."""
    decisions = pytest.importorskip("langchain_core.decisions", reason="needs decision models, of langchain-core 1.8")

    class Judge(decisions.BaseDecisionModel):  # type: ignore[misc,name-defined]
        model: str = "judge-1"
        _provider = "acme"

        def _classify(self, state: Any, questions: Any) -> Any:
            return decisions.ClassifierResponse(model="judge-1", answers={})

    with capture_spans() as captured:
        Judge().invoke({"state": "?", "questions": {}}, {"callbacks": [SentryStreamHandler()]})
    (found,) = Rows(map(row, captured.spans)).matching(CALLS)
    assert found["gen_ai.operation.name"] == "evaluate"


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_every_widget_has_something_to_show(shape: str) -> None:
    """Each query finds spans of streams that stalled, were left or failed; no aggregate of it is empty; types fit."""
    spans = Rows([*stream(shape, 1), *stream(shape, 6), *stream(shape, 7, leave=True), *stream(shape, 1, fail=True)])
    for widget in DASHBOARD["widgets"]:
        (query,) = widget["queries"]
        found = spans.matching(query["conditions"])
        assert found, widget["title"]
        for aggregate in query["aggregates"]:
            assert found.value(aggregate) > 0, (widget["title"], aggregate)
        for field in [*query["fields"], *(term[1] for term in searched(query["conditions"]) if term[1] != "has")]:
            for attribute in attributes(field):
                values = [each[key(attribute)] for each in found if key(attribute) in each]
                number = attribute in NUMBERS | {"timestamp"} or attribute.endswith(",number]")
                assert values, (widget["title"], attribute)
                assert all(isinstance(each, (int, float) if number else str) for each in values), attribute


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_monitors_open_for_bad_streams_only(shape: str) -> None:
    """A thousand good streams open no monitor but that of the cost; as many that stall and are left open each."""
    good, bad = Rows(stream(shape, 0.5) * 1000), Rows(stream(shape, 7, leave=True) * 1000)
    for name, each in MONITORS.items():
        (source,) = each["dataSources"]
        above = each["conditionGroup"]["conditions"][0]["comparison"]
        assert bad.matching(source["query"]).value(source["aggregate"]) > above, name
        if name != "cost":
            assert good.matching(source["query"]).value(source["aggregate"]) <= above, name


@pytest.mark.parametrize("widget", WIDGETS)
def test_widgets_state_the_units_that_sentry_does_not_know(widget: dict[str, Any]) -> None:
    """A heading has the unit of its attribute; so has the title, except of a table; a threshold is in that unit."""
    (query,) = widget["queries"]
    units = set()
    for field, alias in zip(query["fields"], query["fieldAliases"], strict=True):
        unit = {UNITS.get(key(each)) for each in attributes(field)} - {None}
        assert re.findall(r"\((s|USD)\)", alias) == sorted(unit, key=str), alias
        units |= unit
    if widget["displayType"] != "table":
        assert set(re.findall(r"\((s|USD)\)", widget["title"])) == units
        for term in searched(query["conditions"]):
            assert not term[2] or f"over {term[3]} {UNITS[key(term[1])]}" in widget["title"]


@pytest.mark.parametrize("each", EACH_MONITOR)
def test_monitors_state_their_thresholds(each: dict[str, Any]) -> None:
    """The description has the threshold, and that of the search, each in the unit of its attribute, and the window."""
    (source,) = each["dataSources"]
    words = {"s": " seconds", "USD": " USD", None: ""}
    (attribute,) = attributes(source["aggregate"])
    limits = [(each["conditionGroup"]["conditions"][0]["comparison"], attribute)]
    limits = [(limit, "span.op") if source["aggregate"].startswith("count") else (limit, of) for limit, of in limits]
    limits += [(term[3], term[1]) for term in searched(source["query"]) if term[2]]
    for limit, of in limits:
        assert f" {limit}{words[UNITS.get(key(of))]}" in each["description"]
    assert {900: "15 minutes", 3600: "an hour"}[source["timeWindow"]] in each["description"]


def test_the_dashboard_has_the_documented_form() -> None:
    """The body has the fields, the values and the lengths that "Create a New Dashboard" documents, in a grid of 6."""
    assert DASHBOARD.keys() <= {
        "title",
        "widgets",
        "projects",
        "environment",
        "period",
        "filters",
        "utc",
        "permissions",
    }
    assert len(DASHBOARD["widgets"]) <= 30
    for choice in DASHBOARD["filters"]["globalFilter"]:
        assert choice["tag"]["key"] == choice["tag"]["name"]
        assert choice["tag"]["key"] in SENT
    places: set[tuple[int, int]] = set()
    for widget in DASHBOARD["widgets"]:
        assert widget.keys() == WIDGET
        assert widget["displayType"] in {"line", "area", "bar", "table", "big_number"}
        assert widget["widgetType"] == "spans"
        assert 0 < len(widget["title"]) <= 255
        assert 0 < len(widget["description"]) <= 255
        assert widget["limit"] is None or 1 <= widget["limit"] <= 10
        (query,) = widget["queries"]
        assert query.keys() == QUERY
        assert sorted(query["fields"]) == sorted(query["aggregates"] + query["columns"])
        assert query["orderby"].removeprefix("-") in {*query["fields"], ""}
        assert bool(query["columns"]) == bool(query["orderby"]) == bool(widget["limit"])
        layout = widget["layout"]
        assert layout.keys() == {"x", "y", "w", "h", "minH"}
        covered = {(x, y) for x in range(layout["x"], layout["x"] + layout["w"]) for y in _rows_of(layout)}
        assert not covered & places
        assert all(x < 6 for x, _ in covered)
        places |= covered
    assert len(places) % 6 == 0


def _rows_of(layout: dict[str, int]) -> range:
    return range(layout["y"], layout["y"] + layout["h"])


@pytest.mark.parametrize("each", EACH_MONITOR)
def test_monitors_have_the_documented_form(each: dict[str, Any]) -> None:
    """The body is that of a "Duration Metric Monitor" in "Create a Monitor", with a threshold and its resolution."""
    assert each.keys() == {"name", "type", "description", "dataSources", "conditionGroup", "config"}
    assert (each["type"], each["config"]) == ("metric_issue", {"detectionType": "static"})
    assert len(each["name"]) <= 200
    (source,) = each["dataSources"]
    fixed = {
        "dataset": "events_analytics_platform",
        "eventTypes": ["trace_item_span"],
        "queryType": 1,
        "environment": None,
        "extrapolationMode": "unknown",
    }
    assert source.keys() == fixed.keys() | {"query", "aggregate", "timeWindow"}
    assert fixed.items() <= source.items()
    assert CALL.fullmatch(source["aggregate"])
    high, resolved = each["conditionGroup"]["conditions"]
    assert (high["type"], high["conditionResult"]) == ("gt", 75)
    assert (resolved["type"], resolved["conditionResult"]) == ("lte", 0)
    assert high["comparison"] == resolved["comparison"]


def test_the_alert_has_the_documented_form() -> None:
    """The body is that of "Create an Alert": triggers that exist, a filter for the monitors' priority, an email."""
    assert ALERT.keys() == {"name", "enabled", "config", "environment", "triggers", "actionFilters"}
    assert ALERT["config"]["frequency"] in {0, 5, 10, 30, 60, 180, 720, 1440}
    triggers = {each["type"] for each in ALERT["triggers"]["conditions"]}
    assert triggers == {"first_seen_event", "reappeared_event", "regression_event"}
    (block,) = ALERT["actionFilters"]
    assert {block["logicType"], ALERT["triggers"]["logicType"]} <= {"any-short", "all", "none"}
    (priority,) = block["conditions"]
    assert (priority["type"], priority["comparison"]) == ("issue_priority_greater_or_equal", 75)
    (email,) = block["actions"]
    assert email.keys() == {"type", "integrationId", "data", "config", "status"}
    assert (email["type"], email["config"]["targetType"]) == ("email", "issue_owners")


@pytest.fixture
def sentry(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str, Any]]]:
    """A server that keeps the path, the token and the body of each request. It refuses `refused`, and moves `moved`."""
    received: list[tuple[str, str, Any]] = []

    def answer(request: BaseHTTPRequestHandler, body: bytes) -> Body:
        received.append((request.path, request.headers["Authorization"], json.loads(body)))
        status = 404 if "refused" in request.path else 302 if "moved" in request.path else 201
        answered = {"id": str(len(received)), "detail": "no such organization"}
        return json_body(answered, status, {"Location": "/elsewhere"})

    with answering(answer) as url:
        monkeypatch.setenv("SENTRY_URL", f"{url}/")
        monkeypatch.setenv("SENTRY_AUTH_TOKEN", "s3cret")
        monkeypatch.setenv("SENTRY_ORG", "acme")
        monkeypatch.setenv("SENTRY_PROJECT", "chat")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield received


def test_everything_is_posted(sentry: list[tuple[str, str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    """Each file is posted to its endpoint with the token, and the alert names the monitors that were created."""
    posting.main(["dashboard", "monitors", "alert"])
    organization = "/api/0/organizations/acme"
    names = sorted(MONITORS, key="{}.json".format)
    assert [(path, body) for path, _, body in sentry] == [
        (f"{organization}/dashboards/", DASHBOARD),
        *((f"{organization}/projects/chat/detectors/", MONITORS[name]) for name in names),
        (f"{organization}/workflows/", {**ALERT, "detectorIds": [2, 3, 4, 5, 6]}),
    ]
    assert {token for _, token, _ in sentry} == {"Bearer s3cret"}
    assert "dashboard.json: 1" in capsys.readouterr().out


@pytest.mark.parametrize(("organization", "code"), [("refused", 404), ("moved", 302)])
def test_a_refusal_is_told(
    sentry: list[tuple[str, str, Any]], monkeypatch: pytest.MonkeyPatch, organization: str, code: int
) -> None:
    """An answer other than success ends the posting, with Sentry's reason and without the token; it is not followed."""
    monkeypatch.setenv("SENTRY_ORG", organization)
    with pytest.raises(SystemExit, match=rf"{code} .*no such organization") as ended:
        posting.main([])
    assert len(sentry) == 1
    assert "s3cret" not in str(ended.value)


def test_a_dry_run_posts_nothing(sentry: list[tuple[str, str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    """With `--dry-run` the requests are printed; by default they are the dashboard and the monitors."""
    posting.main(["--dry-run"])
    printed = capsys.readouterr().out
    assert sentry == []
    assert printed.count("POST ") == 1 + len(MONITORS)
    assert "s3cret" not in printed
