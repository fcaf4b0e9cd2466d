"""Converts what a decision model is asked and answers to the shape that Sentry's page of an evaluation reads.

It is `[{"type": "evaluation", "state", "questions"}]` and `[{"type": "evaluation", "answers"}]`, as the SDK's
TypeSafeIntegration records them. The page takes a field that is missing, but no null: it shows a question or an answer
raw if one of its fields has another type than it expects. Every text passes the run's policy.

sentry-conventions 0.27 and newer prefer the operation `decide`, without `type`. The page does not read that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .budget import Budget, Path, spelled
from .policy import Policy
from .reading import as_text, field


def asked(inputs: Any, policy: Policy) -> str:
    """Return the state and the questions as JSON. The questions get at most half of the attribute.

    Args:
        inputs: `{"state", "questions"}`, or `{"input", "questions"}` of `OpenAIDecisions`. Anything else is a state.
        policy: What may be recorded.
    """
    questions, state = field(inputs, "questions"), _state(inputs)
    found: dict[str, Any] = {"type": "evaluation"} if state is None else {"type": "evaluation", "state": None}
    budget = Budget(policy)
    budget.take(len(spelled([{**found, "questions": None}])))
    if questions is not None:
        with budget.share(budget.left // 2) as share:
            found["questions"] = _entries(questions, share)
    if state is not None:
        found["state"] = budget.value(state)
    return spelled([found])


def _state(inputs: Any) -> Any:
    if not isinstance(inputs, Mapping):
        return inputs
    for name in ("state", "input"):
        if name in inputs:
            return inputs[name]
    return None if "questions" in inputs else inputs


def answered(answers: Any, policy: Policy) -> str:
    """Return the answers, by the names of their questions, as JSON."""
    budget = Budget(policy)
    budget.take(len(spelled([{"type": "evaluation", "answers": None}])))
    return spelled([{"type": "evaluation", "answers": _entries(answers, budget)}])


def _entries(entries: Any, budget: Budget) -> Any:
    """Convert questions or answers by name."""
    converted = budget.value(entries, _is_content(entries))
    return {name: _entry(each) for name, each in converted.items()} if isinstance(converted, dict) else converted


def _is_content(entries: Any) -> Callable[[Path], bool]:
    """Whether a text is content. All are, but the type of a question or an answer, if it is a known one."""

    def is_content(path: Path) -> bool:
        is_type = len(path) == 2 and path[1] == "type"
        return not is_type or as_text(field(field(entries, path[0]), "type")) not in _TYPES

    return is_content


_TYPES = frozenset({"noul", "boolean", "predicate", "choice", "score", "box", "refusal"})


def _entry(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry  # a mark
    found = {name: each for name, each in entry.items() if each is not None}
    for name in ("criteria", "legend"):
        options = found.get(name)
        if isinstance(options, dict):  # an option without a description is one all the same
            found[name] = {label: "" if text is None else text for label, text in options.items()}
        elif isinstance(options, list):
            found[name] = ["" if text is None else text for text in options]
    if found.get("type") == "predicate":  # OpenAI's word for it
        found["type"] = "boolean"
    return found
