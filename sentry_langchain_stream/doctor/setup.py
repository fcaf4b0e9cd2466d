"""Checks of the client and its options."""

from __future__ import annotations

from decimal import Decimal

from .._to_sentry.client import (
    choose_backend,
    current_client,
    has_tracing,
    other_instrumenter,
)
from .._to_sentry.model_integrations import MODEL_INTEGRATIONS
from .._to_sentry.streamed_spans import StreamedSpans
from ..testing.keeper import Keeper
from . import opentelemetry
from .case import Case
from .findings import Finding, error_text

FOREIGN_TRACERS = (
    "openinference-instrumentation-langchain",
    "opentelemetry-instrumentation-langchain",
    "traceloop-sdk",
)
"""Distributions that make OpenTelemetry spans for LangChain's runs."""


def client(case: Case) -> Finding:
    """Check that there is a Sentry client."""
    if not case.client.is_active():
        return Finding(
            "client",
            "fail",
            "there is no Sentry client, so the handler does nothing",
            "Call sentry_sdk.init(...). If a function of your application does, pass it: --app module:function.",
        )
    options = case.client.options
    named = [f"{name} {options[name]}" for name in ("environment", "release") if options.get(name)]
    return Finding("client", "ok", f"active ({', '.join(named)})" if named else "active")


def dsn(case: Case) -> Finding:
    """Check that there is a valid DSN."""
    name = "dsn"
    if not case.client.is_active():
        return _no_client(name)
    text = case.client.options.get("dsn")
    if not text:
        remedy = "Set SENTRY_DSN, or pass dsn=... to sentry_sdk.init."
        if getattr(case.client, "spotlight", None) is not None:
            return Finding(name, "warning", "there is none, so spans go to Spotlight only", remedy)
        return Finding(name, "fail", "there is none, so nothing is sent", remedy)
    try:
        parsed = Keeper({"dsn": text}).parsed_dsn
    except ValueError as error:
        remedy = "Copy it from the project's settings, Client Keys (DSN)."
        return Finding(name, "fail", f"it is not valid: {error_text(error)}", remedy)
    return Finding(name, "ok", f"project {parsed.project_id} at {parsed.netloc}" if parsed is not None else text)


def sampling(case: Case) -> Finding:
    """Check how many traces are recorded."""
    name = "sampling"
    if not case.client.is_active():
        return _no_client(name)
    options = case.client.options
    remedy = "Pass traces_sample_rate=1.0, or a lower rate above 0, to sentry_sdk.init."
    otlp = opentelemetry.sends_spans(case.client)
    if not has_tracing(options):
        why = (
            "enable_tracing is False"
            if options.get("enable_tracing") is False
            else "there is neither a traces_sample_rate nor a traces_sampler"
        )
        if otlp:
            why = f"{why}, and OTLPIntegration sends the spans of OpenTelemetry only"
        return Finding(name, "fail", f"tracing is off: {why}", remedy)
    if callable(options.get("traces_sampler")):
        return _sampler(name, case)
    rate = options.get("traces_sample_rate")
    if not _is_rate(rate):
        return Finding(name, "fail", f"traces_sample_rate is {rate!r}, so the SDK records nothing", remedy)
    if not rate and otlp:
        return Finding(name, "ok", "only runs inside a sampled span of OpenTelemetry are recorded")
    if not rate:
        found = "traces_sample_rate is 0, so only traces that continue a sampled one are recorded"
        return Finding(name, "fail", found, remedy)
    inside = "; runs inside a span of OpenTelemetry are recorded if it is" if otlp else ""
    return Finding(name, "ok", f"{_share(float(rate))}{inside}")


def _is_rate(value: object) -> bool:
    """Whether the SDK accepts a value as a sample rate: a number from 0 to 1."""
    return isinstance(value, (int, float, Decimal)) and 0 <= value <= 1  # NaN is not


def _sampler(name: str, case: Case) -> Finding:
    probe = case.probe
    if probe is None:
        return Finding(name, "skipped", "there is a traces_sampler, but it was not called, as the probe did not run")
    if probe.sampler_error is not None:
        found = f"traces_sampler raised on the probe, so the trace is dropped: {probe.sampler_error}"
        return Finding(name, "fail", found, "Make it return a rate for every trace, also outside of a request.")
    rate = probe.sample_rate
    if not _is_rate(rate):
        found = f"traces_sampler returned {rate!r} for the probe, which is not a rate, so the trace is dropped"
        return Finding(name, "fail", found, "Make it return a number from 0 to 1 for every trace.")
    if not rate:
        return Finding(
            name,
            "warning",
            "traces_sampler drops the probe, a root span with the op 'function' and the name of its pipeline",
            "If you run chains outside of requests, make it return a rate above 0 for such root spans.",
        )
    return Finding(name, "ok", f"traces_sampler on the probe: {_share(float(rate))}")  # type: ignore[arg-type]


def _share(rate: float) -> str:
    return "every trace is recorded" if rate == 1.0 else f"{100 * rate:.4g} % of the traces are recorded"


def tracing_mode(case: Case) -> Finding:
    """Check the format in which the SDK sends spans."""
    name = "tracing-mode"
    if not case.client.is_active():
        return _no_client(name)
    options = case.client.options
    if (instrumenter := other_instrumenter(options)) is not None:
        found = f"the instrumenter is {instrumenter!r}, so Sentry's own span API makes no spans"
        return Finding(name, "fail", found, opentelemetry.LEAVE_INSTRUMENTER)
    if isinstance(choose_backend(current_client()), StreamedSpans):
        if options.get("before_send_transaction") is not None:
            return Finding(
                name,
                "warning",
                'spans are streamed (trace_lifecycle="stream"), so before_send_transaction is never called',
                "Move its code to before_send_span.",
            )
        return Finding(name, "ok", 'spans are streamed (trace_lifecycle="stream")')
    if not options.get("stream_gen_ai_spans"):
        return Finding(name, "ok", "spans are sent inside of their transaction")
    found = "spans are sent inside of their transaction, gen_ai spans as separate span items"
    remedy = "If your server is too old to show span items, pass stream_gen_ai_spans=False."
    if getattr(case.client, "spotlight", None) is not None:
        return Finding(
            name, "warning", f"{found}, which Spotlight's AI view does not read", "Pass stream_gen_ai_spans=False."
        )
    return Finding(name, "ok", found, remedy)


def integrations(case: Case) -> Finding:
    """Check whether anything else makes a span of a model call."""
    name = "integrations"
    if not case.client.is_active():
        return _no_client(name)
    active = case.client.integrations
    tracers = [tracer for tracer in FOREIGN_TRACERS if case.installed(tracer)]
    bridge = sorted({"opentelemetry", "otlp"} & set(active))
    if tracers and bridge:
        found = f"{', '.join(tracers)} may make spans of the same calls, which Sentry's {bridge[0]} integration sends"
        return Finding(name, "warning", found, "Do not instrument LangChain twice. Remove that package.")
    if frameworks := opentelemetry.frameworks(case):
        found = (
            f"Sentry's own integration ({', '.join(frameworks)}) starts a trace for each request that it sees, so runs "
            "in it are not in OpenTelemetry's trace"
        )
        return Finding(name, "warning", found, "Pass each to sentry_sdk.init with http_methods_to_capture=().")
    clients = [each for each in MODEL_INTEGRATIONS if case.client.get_integration(each) is not None]
    also = [
        note
        for note, is_so in (
            (f"calls of raw clients get spans from {', '.join(clients)}", bool(clients)),
            ("SentryStreamIntegration adds a handler to every run", "langchain_stream" in active),
            ("LangSmith's tracer is on too, without a conflict", _langsmith(case)),
        )
        if is_so
    ]
    return Finding(name, "ok", "; ".join(["each model call gets one span", *also]))


def _langsmith(case: Case) -> bool:
    names = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2")
    return any(case.environ.get(name) == "true" for name in names)


def _no_client(name: str) -> Finding:
    return Finding(name, "skipped", "not checked: there is no Sentry client")
