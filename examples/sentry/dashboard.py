"""The dashboard."""

from __future__ import annotations

from typing import Any

from examples.sentry.queries import (
    ABORTED,
    ABORTED_COUNT,
    ALL_COST,
    ALL_TOKENS,
    CALLS,
    COUNT,
    FINAL_SILENCE,
    FIRST_CHUNK,
    FOLLOWED,
    INCOMPLETE,
    LONGEST_GAP,
    MODEL,
    OUTCOME,
    PIPELINE,
    STALLED,
    USAGE_SOURCE,
    equation,
    p95,
)


def widget(
    title: str,
    answers: str,
    display: str,
    search: str,
    aggregates: dict[str, str],
    *,
    by: dict[str, str] | None = None,
    order: str | None = None,
) -> dict[str, Any]:
    """Return a widget with one query, without its place.

    Args:
        title: Its title, with the unit if Sentry does not know it.
        answers: The question that it answers.
        display: `big_number`, `line`, `area`, `bar` or `table`.
        search: Which spans to look at.
        aggregates: The heading of each aggregate. Without `by`, a table may have attributes here.
        by: The heading of each attribute to group by.
        order: What to order by, largest first. By default the first aggregate, if there are groups.
    """
    groups = by or {}
    if order is None and groups:
        order = next(iter(aggregates))
    plain = [each for each in aggregates if "(" not in each]
    return {
        "title": title,
        "description": answers,
        "displayType": display,
        "widgetType": "spans",
        "interval": "1h",
        "limit": None if not order else 10 if display == "table" else 5,
        "queries": [
            {
                "name": "",
                "fields": [*groups, *aggregates],
                "aggregates": [each for each in aggregates if each not in plain],
                "columns": [*groups, *plain],
                "fieldAliases": [*groups.values(), *aggregates.values()],
                "conditions": search,
                "orderby": f"-{order}" if order else "",
            }
        ],
    }


def rows() -> list[tuple[int, list[dict[str, Any]]]]:
    """Return the widgets in rows, each row with its height."""
    pipeline, model = {PIPELINE: "Pipeline"}, {MODEL: "Model"}
    table = {
        COUNT: "Answers",
        ALL_TOKENS: "Tokens",
        ALL_COST: "Cost (USD)",
        p95("span.duration"): "Duration, p95",
        p95(FIRST_CHUNK): "First chunk, p95 (s)",
        p95(LONGEST_GAP): "Longest gap, p95 (s)",
        equation(ABORTED_COUNT): "Aborted",
        equation(f"count_if({OUTCOME},equals,failed)"): "Failed",
        equation(f"count_if({USAGE_SOURCE},equals,estimate)"): "Tokens estimated",
    }
    streams = {
        "timestamp": "Ended",
        "trace": "Trace",
        PIPELINE: "Pipeline",
        MODEL: "Model",
        OUTCOME: "Outcome",
        FIRST_CHUNK: "First chunk (s)",
        LONGEST_GAP: "Longest gap (s)",
        FINAL_SILENCE: "Final silence (s)",
    }
    total = "big_number"
    return [
        (
            1,
            [
                widget("Answers", "How many calls of a model were there?", total, CALLS, {COUNT: "Answers"}),
                widget("Tokens", "How many tokens did they use?", total, CALLS, {ALL_TOKENS: "Tokens"}),
                widget("Cost (USD)", "What did they cost?", total, CALLS, {ALL_COST: "Cost (USD)"}),
                widget("Aborted", "How many answers did the client not wait for?", total, ABORTED, {COUNT: "Aborted"}),
                widget("Cost of aborted (USD)", "What did those cost?", total, ABORTED, {ALL_COST: "Cost (USD)"}),
                widget(
                    "Stalls over 5 s", "How many streams stopped for more than 5 s?", total, STALLED, {COUNT: "Stalls"}
                ),
            ],
        ),
        (
            2,
            [
                widget(
                    "Tokens by pipeline",
                    "Which pipeline uses the tokens?",
                    "bar",
                    CALLS,
                    {ALL_TOKENS: "Tokens"},
                    by=pipeline,
                ),
                widget("Tokens by model", "Which model uses them?", "bar", CALLS, {ALL_TOKENS: "Tokens"}, by=model),
            ],
        ),
        (
            2,
            [
                widget(
                    "Cost by pipeline (USD)",
                    "Which pipeline costs most?",
                    "bar",
                    CALLS,
                    {ALL_COST: "Cost (USD)"},
                    by=pipeline,
                ),
                widget(
                    "Cost by model (USD)",
                    "Which model costs most?",
                    "bar",
                    CALLS,
                    {ALL_COST: "Cost (USD)"},
                    by=model,
                ),
            ],
        ),
        (
            2,
            [
                widget(
                    "Time to first chunk (s)",
                    "How long do users see nothing?",
                    "line",
                    CALLS,
                    {f"p50({FIRST_CHUNK})": "p50 (s)", p95(FIRST_CHUNK): "p95 (s)"},
                ),
                widget(
                    "Time to first chunk by pipeline, p95 (s)",
                    "In which pipeline?",
                    "line",
                    CALLS,
                    {p95(FIRST_CHUNK): "p95 (s)"},
                    by=pipeline,
                ),
                widget(
                    "Time to first chunk by model, p95 (s)",
                    "With which model?",
                    "line",
                    CALLS,
                    {p95(FIRST_CHUNK): "p95 (s)"},
                    by=model,
                ),
            ],
        ),
        (
            2,
            [
                widget(
                    "Share of aborted answers",
                    "Which part of the answers did the client not wait for? 0.1 is a tenth.",
                    "line",
                    FOLLOWED,
                    {equation(f"({ABORTED_COUNT}) / {COUNT}"): "Share"},
                ),
                widget(
                    "Outcomes other than completed",
                    "Did the client leave, was the task cancelled, or did it fail?",
                    "bar",
                    INCOMPLETE,
                    {COUNT: "Answers"},
                    by={OUTCOME: "Outcome"},
                ),
                widget(
                    "Cost of aborted answers by pipeline (USD)",
                    "Where do answers that nobody waits for cost most?",
                    "bar",
                    ABORTED,
                    {ALL_COST: "Cost (USD)"},
                    by=pipeline,
                ),
            ],
        ),
        (
            2,
            [
                widget(
                    "Longest gap by model, p95 (s)",
                    "Which model stops in the middle of an answer?",
                    "line",
                    CALLS,
                    {p95(LONGEST_GAP): "p95 (s)"},
                    by=model,
                ),
                widget(
                    "Stalls over 5 s by pipeline",
                    "In which pipeline do streams stop for more than 5 s?",
                    "bar",
                    STALLED,
                    {COUNT: "Stalls"},
                    by=pipeline,
                ),
                widget(
                    "Silence before the client left, p95 (s)",
                    "Did they leave because nothing more came?",
                    "line",
                    ABORTED,
                    {p95(FINAL_SILENCE): "p95 (s)"},
                    by=pipeline,
                ),
            ],
        ),
        (3, [widget("Pipelines", "All of this, by pipeline.", "table", CALLS, table, by=pipeline)]),
        (3, [widget("Models", "All of this, by model.", "table", CALLS, table, by=model)]),
        (
            3,
            [
                widget(
                    "Worst stalls",
                    "Which streams stopped longest? Open the trace.",
                    "table",
                    STALLED,
                    streams,
                    order=LONGEST_GAP,
                )
            ],
        ),
    ]


def dashboard() -> dict[str, Any]:
    """Return the dashboard. Sentry's grid has 6 columns."""
    widgets, y = [], 0
    for height, row in rows():
        width = 6 // len(row)
        for index, each in enumerate(row):
            widgets.append({**each, "layout": {"x": index * width, "y": y, "w": width, "h": height, "minH": height}})
        y += height
    return {
        "title": "LangChain streams",
        "period": "7d",
        "filters": {
            # Choices at the top of the page, which apply to every widget.
            "globalFilter": [
                {"dataset": "spans", "tag": {"key": key, "name": key, "kind": "tag"}, "value": ""}
                for key in (PIPELINE, MODEL)
            ]
        },
        "widgets": widgets,
    }
