"""The monitors, and the alert that sends an email."""

from __future__ import annotations

from typing import Any

from examples.sentry.queries import ABORTED, ALL_COST, CALLS, COUNT, FIRST_CHUNK, STALLED, p95


def monitor(name: str, description: str, search: str, aggregate: str, above: float, seconds: int) -> dict[str, Any]:
    """Return a monitor that opens an issue while a value is above a threshold.

    Args:
        name: Its name, and the title of the issue.
        description: What to read in the issue.
        search: Which spans to look at.
        aggregate: The value.
        above: The threshold, in the unit of the attribute.
        seconds: The time window.
    """
    return {
        "name": name,
        "type": "metric_issue",
        "description": description,
        "dataSources": [
            {
                "dataset": "events_analytics_platform",
                "eventTypes": ["trace_item_span"],
                "queryType": 1,
                "query": search,
                "aggregate": aggregate,
                "timeWindow": seconds,
                "environment": None,
                "extrapolationMode": "unknown",
            }
        ],
        "conditionGroup": {
            "logicType": "any",
            "conditions": [
                {"type": "gt", "comparison": above, "conditionResult": 75},
                {"type": "lte", "comparison": above, "conditionResult": 0},
            ],
            "actions": [],
        },
        "config": {"detectionType": "static"},
    }


def monitors() -> dict[str, dict[str, Any]]:
    """Return the monitors, by the name of their file."""
    return {
        "slow-first-chunk": monitor(
            "LangChain: the first chunk is slow",
            "For 15 minutes, one answer in 20 took longer than 5 seconds to begin.",
            CALLS,
            p95(FIRST_CHUNK),
            5,
            900,
        ),
        "stalls": monitor(
            "LangChain: streams stall",
            "More than 10 streams in 15 minutes stopped for longer than 5 seconds between two chunks.",
            STALLED,
            COUNT,
            10,
            900,
        ),
        "aborted": monitor(
            "LangChain: answers are aborted",
            "The client did not wait for the end of more than 50 answers in an hour.",
            ABORTED,
            COUNT,
            50,
            3600,
        ),
        "cost-of-aborted": monitor(
            "LangChain: aborted answers are expensive",
            "Answers that the client did not wait for cost more than 5 USD in an hour.",
            ABORTED,
            ALL_COST,
            5,
            3600,
        ),
        "cost": monitor(
            "LangChain: model calls are expensive",
            "Calls of models cost more than 50 USD in an hour.",
            CALLS,
            ALL_COST,
            50,
            3600,
        ),
    }


def alert() -> dict[str, Any]:
    """Return an alert that sends an email when one of the monitors opens an issue, or opens it again.

    The ids of the monitors have to be added as `detectorIds`.
    """
    return {
        "name": "LangChain streams",
        "enabled": True,
        "config": {"frequency": 60},
        "environment": None,
        "triggers": {
            "logicType": "any-short",
            "conditions": [
                {"type": name, "comparison": True, "conditionResult": True}
                for name in ("first_seen_event", "reappeared_event", "regression_event")
            ],
            "actions": [],
        },
        "actionFilters": [
            {
                "logicType": "all",
                "conditions": [{"type": "issue_priority_greater_or_equal", "comparison": 75, "conditionResult": True}],
                "actions": [
                    {
                        "type": "email",
                        "integrationId": None,
                        "data": {"fallthroughType": "ActiveMembers"},
                        "config": {"targetType": "issue_owners", "targetDisplay": None, "targetIdentifier": ""},
                        "status": "active",
                    }
                ],
            }
        ],
    }
