"""`record_evaluation` and `record_feedback`: what people and judges think of an answer, joined to its trace."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from numbers import Real
from typing import Any, Literal, get_args

from ._content.policy import Limits, Policy
from ._runs import known_runs
from ._runs.environment import with_environment
from ._runs.run_info import RunInfo, Terms
from ._runtime.arguments import check_callable, check_optional_text, check_text
from ._runtime.containment import contained, warn_once
from ._to_sentry import after_runs, other_integrations
from ._to_sentry import client as sentry_client
from ._to_sentry.after_runs import SpanIds
from ._to_sentry.asking import guarded
from ._vocabulary import facts, names
from ._vocabulary.keys import (
    EVALUATION_EXPLANATION,
    EVALUATION_LABEL,
    EVALUATION_NAME,
    EVALUATION_SCORE,
    AttributeValue,
    Group,
    bounded,
)

Thumbs = Literal["up", "down"]

SCORE = "langchain_stream.evaluation.score"
"""The metric of a score. No convention has a name for it."""
COUNT = "langchain_stream.evaluations"
"""The metric that counts evaluations, by label."""

_LONGEST_COMMENT = 4_096
"""Sentry's limit of the text of user feedback, in characters."""


_RUN = Group(facts.PIPELINE, facts.CONVERSATION)
"""What an evaluation states of the run that it is about."""


def record_evaluation(
    run: RunInfo | None = None,
    *,
    name: str,
    score: float | None = None,
    label: str | None = None,
    explanation: str | None = None,
    trace_id: str | None = None,
    span_id: str | None = None,
    redact: Callable[[str], str] | None = None,
) -> None:
    """Record what an evaluator thinks of a run: at once, or minutes or processes later.

    ```python
    with handler.watch() as runs:
        answer = chain.invoke(question, {"callbacks": [handler]})
    record_evaluation(runs[0], name="relevance", score=0.9, label="relevant")
    ```

    It sends a span `gen_ai.evaluate`, a child of the run's span in the run's trace, and metrics. They are sent from
    wherever this is called, in sync and in async code, and it does not wait.

    Sources: op `gen_ai.evaluate` is sentry-sdk's (`OP.GEN_AI_EVALUATE`), `gen_ai.operation.name` = `evaluate` that of
    sentry-conventions 0.27 to 0.29. Sentry's pages show the result of such a span from `gen_ai.output.messages`, as
    `[{"type": "evaluation", "answers": {<name>: <answer>}}]`. Name, score, label and explanation have OpenTelemetry's
    keys (`gen_ai.evaluation.*`, of the event `gen_ai.evaluation.result`), as sentry-conventions have none.
    sentry-conventions 0.27 prefer `decide` for the call of a model that classifies, which this is not.

    Args:
        run: The run, as `handler.run_info(...)`, `handler.watch()`, `watch_runs()` and `track_stream` return it.
            In another process, pass `trace_id` and `span_id` instead. A run without ids is not sampled: of it only the
            metrics are recorded.
        name: What was evaluated, such as `"relevance"`. Use few different names.
        score: The score, a finite number on any scale.
        label: The verdict, such as `"pass"`. Use few different labels. Score or label are needed, or both.
        explanation: Why. It is content: recorded only if the Sentry client and the run's handler allow outputs.
        trace_id: The run's trace, 32 hexadecimal digits.
        span_id: The run's span, 16 hexadecimal digits.
        redact: Called with the explanation before it is recorded, after the `redact` of the run's handler. With
            ids, or in another process, that one is not known: pass it here.

    Raises:
        TypeError: An argument has the wrong type, or is missing.
        ValueError: An argument has a value that is not allowed.
    """
    ids = _ids(run, trace_id, span_id)
    check_text("name", name)
    _number("score", score)
    if label is not None:
        check_text("label", label)
    check_optional_text("explanation", explanation)
    check_callable("redact", redact)
    if score is None and label is None:
        raise TypeError("score or label is needed, or both")
    if not sentry_client.current_client().is_active():
        return
    with contained("evaluation"):
        name = bounded(name, names.LONGEST)
        about: dict[str, AttributeValue] = {EVALUATION_NAME: name}
        if label is not None:
            label = about[EVALUATION_LABEL] = bounded(label, names.LONGEST)
        attributes: dict[str, AttributeValue] = {"gen_ai.operation.name": "evaluate", **about}
        if run is not None:
            attributes.update(_RUN.spell((run.pipeline, run.conversation_id), "gen_ai"))
            about["gen_ai.pipeline.name"] = bounded(run.pipeline, names.LONGEST)
        if score is not None:
            attributes[EVALUATION_SCORE] = float(score)
        attributes.update(_content(_policy(run, redact), name, score, label, explanation))
        after_runs.record_moment(
            ids,
            op="gen_ai.evaluate",
            name=f"evaluate {name}",
            attributes=attributes,
            scores={} if score is None else {SCORE: float(score)},
            counts={COUNT: 1},
            about=about,
        )


def record_feedback(
    run: RunInfo | None = None,
    *,
    thumbs: Thumbs | None = None,
    score: float | None = None,
    comment: str | None = None,
    name: str | None = None,
    email: str | None = None,
    trace_id: str | None = None,
    span_id: str | None = None,
    redact: Callable[[str], str] | None = None,
) -> str | None:
    """Send what a user says of an answer to Sentry's User Feedback, linked to the run's trace and span.

    ```python
    record_feedback(trace_id=form["trace"], span_id=form["span"], thumbs="down", comment=form["comment"])
    ```

    `thumbs` and `score` are tags of the feedback (`langchain_stream.thumbs`, `langchain_stream.score`). The comment,
    the name and the address are sent whatever the client allows of content: sending them is what you ask for.

    Source: https://develop.sentry.dev/sdk/telemetry/feedbacks/ (context `feedback` with `message`, `name`,
    `contact_email`, `source`; context `trace`).

    Args:
        run: The run, as for `record_evaluation`.
        thumbs: `"up"` or `"down"`.
        score: A score, a finite number on any scale, such as a number of stars.
        comment: What the user says, at most 4,096 characters. Without it the thumbs or the score is the text.
        name: The user's name.
        email: The user's address.
        trace_id: The run's trace, 32 hexadecimal digits.
        span_id: The run's span, 16 hexadecimal digits.
        redact: Called with the comment before it is sent, as for `record_evaluation`.

    Returns:
        The id of the feedback, or `None` if it was not sent.

    Raises:
        TypeError: An argument has the wrong type, or is missing.
        ValueError: An argument has a value that is not allowed.
    """
    ids = _ids(run, trace_id, span_id)
    if thumbs is not None and thumbs not in get_args(Thumbs):
        raise ValueError(f"thumbs must be 'up' or 'down', not {thumbs!r}")
    _number("score", score)
    for argument, text in (("comment", comment), ("name", name), ("email", email)):
        check_optional_text(argument, text)
    check_callable("redact", redact)
    said = (comment or "").strip()
    if not said and thumbs is None and score is None:
        raise TypeError("thumbs, score or comment is needed")
    with contained("feedback"):
        redacted = _policy(run, redact, comment=True).redacted(said) if said else None
        rated = [f"Thumbs {thumbs}"] if thumbs is not None else []
        if score is not None:
            rated.append(f"Score {float(score):g}")
        tags = {
            "langchain_stream.thumbs": thumbs,
            "langchain_stream.score": f"{float(score):g}" if score is not None else None,
            "langchain_stream.pipeline": bounded(run.pipeline, names.LONGEST) if run is not None else None,
        }
        contact = {"name": name, "contact_email": email}
        return after_runs.send_feedback(
            ids,
            message=bounded(redacted or ", ".join(rated) or "(no text)", _LONGEST_COMMENT),
            contact={key: bounded(value, names.LONGEST) for key, value in contact.items() if value},
            tags={key: value for key, value in tags.items() if value},
        )
    return None


def _content(
    policy: Policy, name: str, score: float | None, label: str | None, explanation: str | None
) -> dict[str, AttributeValue]:
    """The attributes that are content: the explanation, and the result in the shape that Sentry's pages read."""
    if not policy.outputs:
        return {}
    answers = {name: _answer(score, label)}
    found: dict[str, AttributeValue] = {
        "gen_ai.output.messages": json.dumps([{"type": "evaluation", "answers": answers}], ensure_ascii=False)
    }
    text = policy.text(explanation) if explanation else None
    if text:
        found[EVALUATION_EXPLANATION] = text
    return found


def _answer(score: float | None, label: str | None) -> dict[str, Any]:
    """The score with its label, or the label alone."""
    if score is None:
        return {"type": "choice", "choice": label}
    answer: dict[str, Any] = {"type": "score", "score": float(score)}
    if label is not None:
        # The page looks the label up under the score as JavaScript rounds it, halves up.
        answer["legend"] = {str(math.floor(float(score) + 0.5)): label}
    return answer


def _policy(run: RunInfo | None, redact: Callable[[str], str] | None, *, comment: bool = False) -> Policy:
    """What may be recorded: what the client and the run's handler allow, through the `redact` of both.

    Args:
        run: The run.
        redact: The caller's own `redact`.
        comment: Whether it is for a comment, which is sent in any case.
    """
    client = sentry_client.current_client()
    terms = known_runs.terms_of(run) if run is not None else None
    if terms is None:
        terms = _terms_here()
    allowed = comment or (terms.outputs and sentry_client.allowed_content(client)[1])
    limits = terms.limits.within(sentry_client.longest_text(client))
    own = Policy(outputs=allowed, redact=guarded(redact), limits=limits)
    return Policy(outputs=allowed, redact=terms.redact).and_(own)


def _terms_here() -> Terms:
    """What may be recorded of a run whose handler is not known: what the process's own, if it has one, would record."""
    handler = other_integrations.own_handler(sentry_client.current_client())
    if handler is not None:
        settings = handler._settings
        return Terms(settings.include_prompts, settings.redact, settings.limits or Limits())
    try:
        outputs = bool(with_environment({}).get("include_prompts", True))
    except ValueError as error:  # what forbids content may be what cannot be read
        warn_once("evaluation settings", "No content of evaluations is recorded: %s", error)
        outputs = False
    return Terms(outputs, None, Limits())


def _ids(run: Any, trace_id: Any, span_id: Any) -> SpanIds | None:
    """Return where the run is in Sentry, or `None` if it is not there."""
    if run is None:
        ids: list[str] = []
        for argument, value, digits in (("trace_id", trace_id, 32), ("span_id", span_id, 16)):
            if value is None:
                raise TypeError(f"{argument} is missing: pass run, or trace_id and span_id")
            if not isinstance(value, str):
                raise TypeError(f"{argument} must be a str of {digits} hexadecimal digits, not {type(value).__name__}")
            found = value.strip().lower()
            ids.append(found)
            if len(found) != digits or not _HEXADECIMAL.issuperset(found) or set(found) == {"0"}:
                raise ValueError(f"{argument} must be {digits} hexadecimal digits that are not all 0, not {value!r}")
        return SpanIds(*ids)
    if not isinstance(run, RunInfo):
        raise TypeError(
            f"run must be a RunInfo, as handler.run_info() and handler.watch() return, not {type(run).__name__}"
        )
    if trace_id is not None or span_id is not None:
        raise TypeError("trace_id and span_id must be left out where run is passed")
    return SpanIds(run.trace_id, run.span_id) if run.trace_id and run.span_id else None


def _number(argument: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, Real):  # numpy's are, too
        raise TypeError(f"{argument} must be an int or a float, not {type(value).__name__}")
    try:
        is_finite = math.isfinite(value)
    except OverflowError:  # an int that no float can hold
        is_finite = False
    if not is_finite:
        raise ValueError(f"{argument} must be a finite number")


_HEXADECIMAL = frozenset("0123456789abcdef")
