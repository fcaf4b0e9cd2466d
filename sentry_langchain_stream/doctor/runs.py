"""Checks of the application's own handlers, models and chain."""

from __future__ import annotations

from .._to_sentry.model_integrations import MODEL_INTEGRATIONS
from .._to_sentry.other_integrations import own_handler
from .case import Case
from .findings import Finding
from .made import Named, describe
from .own_chain import OwnRun

ADD_ONE = (
    'Pass config={"callbacks": [SentryStreamHandler()]} with each call, or '
    "integrations=[SentryStreamIntegration()] to sentry_sdk.init for all. Both are in sentry_langchain_stream."
)


def in_force(case: Case) -> list[Named]:
    """Return the handlers that would see a run: of the chain if there is one, else all that were made."""
    if case.own is not None and case.own.calls.handlers:
        named = {id(each.value): each for each in _renamed(case)}
        return [named.get(id(each), Named(type(each).__name__, each)) for each in case.own.handlers()]
    return _renamed(case)


def _renamed(case: Case) -> list[Named]:
    """Return all handlers, where the one of the integration has the integration's name."""
    its = own_handler(case.client)
    others = [each for each in case.made.handlers if each.value is not its]
    return others if its is None else [Named("SentryStreamIntegration", its), *others]


def handlers(case: Case) -> Finding:
    """Check how many handlers would see one run, and name each with its settings."""
    name = "handlers"
    if not case.app:
        return Finding(name, "ok", "not looked at, as there is no --app")
    found = in_force(case)
    names = "; ".join(map(describe, found))
    if case.own is not None and case.own.calls.handlers:
        return _of_chain(case, case.own, found, names)
    if not found:
        return Finding(name, "warning", f"none was made so far{_instead(case)}", ADD_ONE)
    others = [each for each in found if each.name != "SentryStreamIntegration"]
    if len(others) > 1:
        remedy = (
            "Make one for the process, and pass it everywhere. To see which runs have both, pass --app module:chain."
        )
        return Finding(name, "warning", f"{len(others)} handlers were made: {names}", remedy)
    return Finding(name, "ok", names, "To check that a run has it, pass your chain: --app module:chain.")


def _of_chain(case: Case, own: OwnRun, found: list[Named], names: str) -> Finding:
    name = "handlers"
    if not found:
        return Finding(name, "fail", f"no handler sees the runs of {own.chain}{_instead(case)}", ADD_ONE)
    if len(found) > 1:
        found_text = f"{len(found)} handlers see one run of {own.chain}, and only the nearest makes its spans: {names}"
        return Finding(name, "warning", found_text, "Keep one of them.")
    if own.passed is not None:
        remedy = f'It is not part of {own.chain}, so your calls must pass it: config={{"callbacks": [{own.passed}]}}.'
        return Finding(name, "ok", f"one handler sees a run of {own.chain}: {names}", remedy)
    integration = own_handler(case.client)
    others = [each for each in case.made.handlers if each.value not in (found[0].value, integration)]
    if others and found[0].value is not integration:  # one that is passed takes precedence over the integration's
        more = "; ".join(map(describe, others))
        found_text = f"one handler is part of {own.chain}: {names}. Others were made: {more}"
        return Finding(name, "warning", found_text, "If your calls pass one of these too, two see each run. Keep one.")
    return Finding(name, "ok", f"one handler sees a run of {own.chain}: {names}")


def _instead(case: Case) -> str:
    """Return which of Sentry's own integrations make spans of model calls where ours does not."""
    theirs = [each for each in ("langchain", *MODEL_INTEGRATIONS) if case.client.get_integration(each) is not None]
    return f", so model calls get spans from Sentry's own integrations only ({', '.join(theirs)})" if theirs else ""


def chain(case: Case) -> Finding:
    """Check the spans of a run of the application's own chain."""
    name, own = "chain", case.own
    if own is None:
        return Finding(name, "skipped", "not checked: no --app named a chain")
    if own.probe.failure is not None:
        how = "" if own.live else " The provider's answer was a script: for a real one, pass --live."
        remedy = (
            "If the input does not fit, pass one: --input JSON. If it needs a config, name a function that returns it "
            f"with one: chain.with_config(...).{how}"
        )
        return Finding(name, "fail", f"{own.chain} raised {own.probe.failure}", remedy)
    if not own.calls.handlers:
        found = f"{own.chain} called no chat or completion model"
        return Finding(name, "fail", found, "Pass an --input with which it does.")
    if not own.handlers():
        return Finding(name, "skipped", "not checked: no handler sees its runs")
    made, calls = own.answers, len(own.calls.handlers)
    if len(made) != calls:
        origins = ", ".join(sorted({span.origin for span in made})) or "nothing"
        lost = f" The SDK reports as dropped: {', '.join(own.probe.lost)}." if own.probe.lost else ""
        remedy = f"They come from {origins}. Check your hooks, event processors and integrations.{lost}"
        return Finding(name, "fail", f"{calls} model calls of {own.chain} make {len(made)} model spans", remedy)
    is_named = len(own.handlers()) > 1 or not all(asks for _, asks in own.calls.models.values())
    if own.probe.warned and not is_named:  # other findings say what the handler warns of then
        return Finding(name, "warning", f"the handler warned: {' '.join(own.probe.warned)}", "Follow that advice.")
    pipelines = sorted({str(span.attributes.get("gen_ai.pipeline.name")) for span in made})
    how = "really" if own.live else "by a scripted provider"
    found = f"each model call of {own.chain} makes one span ({calls}, answered {how}); pipeline {', '.join(pipelines)}"
    return Finding(name, "ok", found)
