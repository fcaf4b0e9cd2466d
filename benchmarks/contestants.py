"""Who is measured: this package, five baselines, and the peers."""

from __future__ import annotations

from dataclasses import dataclass

SHARED = ("langchain", "langchain-core", "langgraph", "uvicorn")
"""What every environment has, in the versions that the first one resolves to."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """One row of the tables.

    Args:
        name: Names the adapter, `adapters/<name>.py`.
        label: What the tables call it.
        environment: Names its environment; contestants may share one.
        requirements: What to install there. `"."` is this package.
        variants: What it offers, the first of them being what is compared with the others: `content` (prompts and
            answers are recorded), `no content`, `unsampled`, `no client`, `streamed` (Sentry's streamed spans),
            `repr processor` (the application has registered one with Sentry's SDK).
        imports: What a program has imported anyway, and how it then imports this; each way is timed.
        only_in: The one section that it takes part in, if it is there for that section's sake.
    """

    name: str
    label: str
    environment: str
    requirements: tuple[str, ...]
    variants: tuple[str, ...]
    imports: tuple[tuple[str, str], ...] = ()
    only_in: str | None = None


IMPORT = "from sentry_langchain_stream import SentryStreamHandler"
IMPORT_AND_MAKE = f"{IMPORT}; SentryStreamHandler()"
"""Most modules of this package are imported with the first handler."""

_OWN = ("--editable", ".")
_LANGCHAIN = "langchain_core.callbacks"
_SENTRY_TOO = "langchain_core.callbacks, sentry_sdk"
_AN_APPLICATION = "langchain_core.language_models.chat_models, sentry_sdk"

CONTESTANTS: tuple[Contestant, ...] = (
    Contestant("none", "no handler", "own", _OWN, ("no content",)),
    Contestant("empty", "empty inline handler", "own", _OWN, ("no content",)),
    Contestant("bare", "bare Sentry span", "own", _OWN, ("no content", "streamed", "unsampled")),
    Contestant("full", "bare Sentry spans, same attributes", "own", _OWN, ("no content", "unsampled")),
    Contestant("least", "least handler that reads", "own", _OWN, ("no content", "unsampled")),
    Contestant(
        "own",
        "sentry-langchain-stream",
        "own",
        _OWN,
        ("no content", "content", "streamed", "unsampled", "no client", "repr processor"),
        (
            (_SENTRY_TOO, "import sentry_langchain_stream"),
            (_SENTRY_TOO, IMPORT),
            (_AN_APPLICATION, IMPORT),
            (_AN_APPLICATION, IMPORT_AND_MAKE),
        ),
    ),
    Contestant(
        "unprepared",
        "sentry-langchain-stream, spans not prepared",
        "own",
        _OWN,
        ("no content", "repr processor"),
        only_in="prepared",
    ),
    Contestant(
        "sentry",
        "Sentry's own integration",
        "sentry",
        ("sentry-sdk",),
        ("no content", "content", "unsampled"),
        ((_SENTRY_TOO, "import sentry_sdk.integrations.langchain"),),
    ),
    Contestant(
        "langfuse",
        "Langfuse",
        "langfuse",
        ("langfuse",),
        ("no content", "content", "unsampled"),
        ((_LANGCHAIN, "import langfuse.langchain"),),
    ),
    Contestant(
        "openinference",
        "OpenInference",
        "openinference",
        ("openinference-instrumentation-langchain", "opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"),
        ("no content", "content", "unsampled"),
        ((_LANGCHAIN, "import openinference.instrumentation.langchain, opentelemetry.sdk.trace.export"),),
    ),
    Contestant(
        "openllmetry",
        "OpenLLMetry",
        "openllmetry",
        ("opentelemetry-instrumentation-langchain", "opentelemetry-sdk"),
        ("no content", "content", "unsampled"),
        ((_LANGCHAIN, "import opentelemetry.instrumentation.langchain, opentelemetry.sdk.trace.export"),),
    ),
    Contestant(
        "otel",
        "OpenTelemetry GenAI",
        "otel",
        ("opentelemetry-instrumentation-genai-langchain", "opentelemetry-sdk"),
        ("no content", "content", "unsampled"),
        ((_LANGCHAIN, "import opentelemetry.instrumentation.genai.langchain, opentelemetry.sdk.trace.export"),),
    ),
    Contestant(
        "langsmith",
        "LangSmith",
        "langsmith",
        ("langsmith",),
        ("no content", "content", "unsampled"),
        ((_LANGCHAIN, "import langchain_core.tracers.langchain"),),
    ),
    Contestant(
        "mlflow", "MLflow", "mlflow", ("mlflow",), ("content", "unsampled"), ((_LANGCHAIN, "import mlflow.langchain"),)
    ),
    Contestant(
        "ddtrace",
        "ddtrace APM",
        "ddtrace",
        ("ddtrace",),
        ("no content", "unsampled"),
        ((_LANGCHAIN, "import ddtrace"),),
    ),
    Contestant("ddtrace_llmobs", "ddtrace LLM Observability", "ddtrace", ("ddtrace",), ("content",)),
)

SAME_SPANS = ("full", "least")
"""Baselines that make the spans of this package, with its attributes."""

BASELINES = frozenset({"none", "empty", "bare", *SAME_SPANS})

BY_NAME = {each.name: each for each in CONTESTANTS}
