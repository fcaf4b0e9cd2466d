"""Check whether prompts and answers are recorded: what the client allows, and what vetoes it."""

from __future__ import annotations

from .._to_sentry.client import allowed_content, chose_collection, content_veto, current_client
from .case import Case
from .findings import Finding, Level
from .runs import in_force

NAME = "data-collection"

ALLOW = (
    'data_collection={"gen_ai": {"inputs": True, "outputs": True}, "user_info": False, "cookies": {"mode": "off"}, '
    '"http_headers": {"request": {"mode": "off"}}, "http_bodies": [], "url_query_params": {"mode": "off"}, '
    '"graphql": {"document": False, "variables": False}, "database_query_data": False, "queues": False, '
    '"stack_frame_variables": False}'
)
"""Allows content, and switches off every other category: what is left out would be collected (sentry-sdk 2.70)."""


def data_collection(case: Case) -> Finding:
    """Check whether prompts and answers are recorded, by the options, the vetoes in force and the probe."""
    if not case.client.is_active():
        return Finding(NAME, "skipped", "not checked: there is no Sentry client")
    allowed = dict(zip(("inputs", "outputs"), allowed_content(current_client()), strict=True))
    found = _told(allowed)
    seen = _content(case)
    if seen is not None and seen != allowed:
        differs = " and ".join(direction for direction in allowed if seen[direction] != allowed[direction])
        return Finding(
            NAME,
            "fail",
            f"by the client's options {found}, but in the probe it is the opposite for {differs}",
            "Check your hooks and event processors. One of them adds or removes gen_ai messages.",
        )
    return _vetoed(case, allowed) or _contradicting(case, allowed) or _as_allowed(case, allowed)


def _vetoed(case: Case, allowed: dict[str, bool]) -> Finding | None:
    """Whether `include_prompts=False` turns off what the client's options allow."""
    if (theirs := content_veto(current_client())) is not None:
        found = f"{_told(allowed)}: Sentry's {theirs} integration has include_prompts=False"
        remedy = "To record what the client's options allow, leave include_prompts of that integration out."
        return Finding(NAME, _off(case, "ok"), found, remedy)
    vetoes = [each for each in in_force(case) if not each.value._settings.include_prompts]
    if not vetoes or not any(allowed.values()):
        return None
    names = ", ".join(map(str, vetoes))
    found = f"{_told(dict.fromkeys(allowed, False))} where {names} sees the run: it has include_prompts=False"
    source = "its arguments" if "SENTRY_LANGCHAIN_INCLUDE_PROMPTS" not in case.environ else "the environment"
    remedy = f"The client allows content. To record it, take include_prompts=False out of {source}."
    return Finding(NAME, _off(case, "warning" if chose_collection(case.client) else "ok"), found, remedy)


def _contradicting(case: Case, allowed: dict[str, bool]) -> Finding | None:
    if not case.client.options.get("send_default_pii") or all(allowed.values()):
        return None
    found = f"{_told(allowed)}: data_collection takes precedence, although send_default_pii is True"
    remedy = "Remove send_default_pii, and set what you want in the category gen_ai of your data_collection."
    return Finding(NAME, _off(case, "warning"), found, remedy)


def _as_allowed(case: Case, allowed: dict[str, bool]) -> Finding:
    redacting = [each for each in in_force(case) if each.value._settings.redact is not None]
    redacted = f"; redact of {', '.join(map(str, redacting))} changes each text" if redacting else ""
    if all(allowed.values()):
        return Finding(NAME, "ok", f"{_told(allowed)}{redacted}")
    if chose_collection(case.client):
        how = 'set "gen_ai": {"inputs": True, "outputs": True} in your data_collection, and leave the rest as it is'
    elif "data_collection" in case.client.options:
        how = f"pass {ALLOW} to sentry_sdk.init. It sends nothing else that the defaults do not"
    else:
        how = "pass send_default_pii=True to sentry_sdk.init. In this SDK that also sends client IPs, users and cookies"
    remedy = f"To see prompts, answers and conversations in Sentry, {how}."
    return Finding(NAME, _off(case, "ok"), f"{_told(allowed)}{redacted if any(allowed.values()) else ''}", remedy)


def _off(case: Case, level: Level) -> Level:
    """The level of a finding of content that is not recorded."""
    return "fail" if case.expects_content else level


def _told(recorded: dict[str, bool]) -> str:
    return "; ".join(f"{direction} are {'' if on else 'not '}recorded" for direction, on in recorded.items())


def _content(case: Case) -> dict[str, bool] | None:
    """Return which content the model span of the probe has."""
    calls = [span for span in case.probe.spans if span.op == "gen_ai.chat"] if case.probe is not None else []
    if not calls:
        return None
    keys = {"inputs": "gen_ai.input.messages", "outputs": "gen_ai.output.messages"}
    return {direction: key in calls[0].attributes for direction, key in keys.items()}
