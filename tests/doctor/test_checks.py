"""The doctor: every check both ways, with real clients; the command; and what a server answers."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sentry_sdk
from pydantic import SecretStr
from sentry_sdk import integrations
from sentry_sdk.integrations import Integration
from sentry_sdk.integrations.langchain import LangchainIntegration

from sentry_langchain_stream import SentryStreamIntegration
from sentry_langchain_stream._runtime.containment import logger
from sentry_langchain_stream._to_sentry import other_integrations
from sentry_langchain_stream._to_sentry.client import makes_spans
from sentry_langchain_stream._vocabulary.facts import FACTS
from sentry_langchain_stream.doctor import content, environment, probe, received, setup
from sentry_langchain_stream.doctor.case import Case
from sentry_langchain_stream.doctor.command import Check
from sentry_langchain_stream.doctor.findings import Finding
from tests.kit import HANG, REPOSITORY, opentelemetry
from tests.kit.absent import needs
from tests.kit.sentry_server import VARIABLES, application, kept_client, playing_sentry
from tests.kit.wire import WIRE_SHAPES, active_span, content_allowed


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the environment that a check would see."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


class OpenTelemetry(Integration):
    """Stands for Sentry's own of that name, whose library is not installed."""

    identifier = "opentelemetry"

    @staticmethod
    def setup_once() -> None:
        """Nothing to do."""


def found(check: Check, *, packages: list[str] | None = None, **options: Any) -> Finding:
    """What a check finds with a client of these options, and if they are named, these distributions installed."""
    with application(**options) as client:
        case = Case(client, probe.run(client) if makes_spans(client) else None)
        if packages is not None:
            case = replace(case, installed=lambda name: "1.5.0" if name in packages else None)
        return check(case)


def without_client(check: Check) -> Finding:
    """What a check finds if the application has never called `sentry_sdk.init`."""
    with kept_client():
        return check(Case(sentry_sdk.get_client()))


# -- the environment ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "packages", "level"),
    [
        ("3.9.18", {}, "fail"),
        ("3.10.4", {}, "ok"),
        ("3.10.4", {"langgraph": "1.0.0"}, "warning"),
        ("3.11.0", {"langgraph": "1.0.0"}, "ok"),
        ("3.14.0rc1", {"langgraph": "1.0.0"}, "ok"),
    ],
)
def test_python_must_be_new_enough(
    monkeypatch: pytest.MonkeyPatch, version: str, packages: dict[str, str], level: str
) -> None:
    """Python 3.10 is the oldest, and with LangGraph has a gap of its own."""
    monkeypatch.setattr(platform, "python_version", lambda: version)
    assert environment.python(Case(None, installed=packages.get)).level == level


@pytest.mark.parametrize(
    ("check", "distribution", "version", "level"),
    [
        (environment.sentry_sdk, "sentry-sdk", "2.44.0", "ok"),
        (environment.sentry_sdk, "sentry-sdk", "2.75.0", "ok"),
        (environment.sentry_sdk, "sentry-sdk", "2.43.9", "fail"),
        (environment.sentry_sdk, "sentry-sdk", "3.0.0a1", "fail"),
        (environment.sentry_sdk, "sentry-sdk", None, "warning"),
        (environment.langchain_core, "langchain-core", "1.0.0", "ok"),
        (environment.langchain_core, "langchain-core", "0.3.79", "fail"),
        (environment.langchain_core, "langchain-core", "2.0.0", "fail"),
        (environment.langgraph, "langgraph", "1.2.22", "ok"),
        (environment.langgraph, "langgraph", "0.6.1", "fail"),
        (environment.langgraph, "langgraph", None, "ok"),
        (environment.package, "sentry-langchain-stream", "0.1.0", "ok"),
        (environment.package, "sentry-langchain-stream", None, "warning"),
    ],
)
def test_versions_must_be_supported(check: Check, distribution: str, version: str | None, level: str) -> None:
    """A version out of the supported range fails, one that is not known is a warning, and a package may be absent."""
    finding = check(Case(None, installed={distribution: version}.get))
    assert (finding.name, finding.level) == (distribution, level)
    assert (version or "not") in finding.found


def test_the_supported_range_is_the_one_of_the_package() -> None:
    """The doctor's table says what `pyproject.toml` says."""
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    for distribution, ((major, minor), end) in environment.SUPPORTED.items():
        assert f'"{distribution}>={major}.{minor},<{end}"' in project
    assert f'requires-python = ">={".".join(map(str, environment.OLDEST_PYTHON))}"' in project


@pytest.mark.parametrize("variable", [None, "OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_PROXY"])
def test_stream_usage_knows_what_chat_openai_does(monkeypatch: pytest.MonkeyPatch, variable: str | None) -> None:
    """It warns of exactly those variables with which a real `ChatOpenAI` does not ask for the usage of a stream."""
    if variable is not None:
        monkeypatch.setenv(variable, "http://127.0.0.1:9/v1")
    from langchain_openai import ChatOpenAI

    asks = ChatOpenAI(model="gpt-4o-mini", api_key=SecretStr("x")).stream_usage is True
    finding = environment.stream_usage(Case(None))
    assert finding.level == ("ok" if asks else "warning")
    assert asks == (variable is None)
    assert variable is None or (variable in finding.found and "stream_usage=True" in str(finding.remedy))


@pytest.mark.parametrize(
    ("packages", "told"),
    [
        (["langchain-groq"], "langchain-groq 1.5.0: numbers tested with its payloads"),
        (["langchain-sambanova"], "langchain-sambanova 1.5.0: not tested"),
        (["langchain-core"], "no package of a provider that is known here"),
    ],
)
def test_provider_packages_are_listed(packages: list[str], told: str) -> None:
    """The doctor says of each installed package of a provider whether its numbers are tested."""
    finding = found(environment.provider_packages, packages=packages)
    assert (finding.level, finding.found) == ("ok", told)


def test_stream_usage_matters_only_with_openai() -> None:
    """Without langchain-openai the variables mean nothing."""
    case = Case(None, environ={"OPENAI_BASE_URL": "x"}, installed=lambda name: None)
    assert environment.stream_usage(case).level == "ok"


@pytest.mark.parametrize(("packages", "pointed"), [(["uvicorn", "hypercorn"], True), (["langgraph"], False)])
def test_where_there_is_a_server_its_shutdown_is_pointed_to(packages: list[str], pointed: bool) -> None:
    """With an ASGI server the doctor names the recipe for its shutdown, which is there."""
    finding = environment.shutdown(Case(None, installed=lambda name: "1.5.0" if name in packages else None))
    assert finding.level == "ok"
    assert ("docs/recipes.md#when-the-server-is-told-to-stop" in str(finding.remedy)) == pointed
    assert "### When the server is told to stop\n" in (REPOSITORY / "docs" / "recipes.md").read_text(encoding="utf-8")


# -- the client and its options -------------------------------------------------------------------------------


def test_there_must_be_a_client() -> None:
    """An active client is fine; without one the checks of it fail instead of breaking."""
    assert (
        found(setup.client, environment="staging", release="shop@3").found
        == "active (environment staging, release shop@3)"
    )
    missing = without_client(setup.client)
    assert missing.level == "fail"
    assert "sentry_sdk.init" in str(missing.remedy)
    checks = [
        setup.dsn,
        setup.sampling,
        setup.tracing_mode,
        content.data_collection,
        setup.integrations,
        received.probe,
    ]
    assert [without_client(check).level for check in checks] == ["skipped"] * len(checks)


def test_there_must_be_a_dsn() -> None:
    """A DSN is told without its key; without one nothing is sent, except to Spotlight."""
    finding = found(setup.dsn)
    assert (finding.level, finding.found) == ("ok", "project 42 at 127.0.0.1:9")
    missing = found(setup.dsn, dsn="")
    assert (missing.level, "SENTRY_DSN" in str(missing.remedy)) == ("fail", True)
    assert found(setup.dsn, dsn="", spotlight="http://127.0.0.1:9/stream").level == "warning"


@pytest.mark.parametrize(
    ("options", "level", "told"),
    [
        ({}, "ok", "every trace"),
        ({"traces_sample_rate": 0.25}, "ok", "25 % of the traces"),
        ({"traces_sample_rate": None}, "fail", "tracing is off"),
        ({"traces_sample_rate": 0.0}, "fail", "traces_sample_rate is 0"),
        ({"traces_sample_rate": 20}, "fail", "traces_sample_rate is 20"),
        ({"traces_sampler": lambda context: 0.5}, "ok", "50 % of the traces"),
        ({"traces_sampler": lambda context: 0}, "warning", "drops the probe"),
        ({"traces_sampler": lambda context: "often"}, "fail", "'often'"),
        ({"traces_sampler": lambda context: context["asgi_scope"]["path"] != "/"}, "fail", "KeyError: 'asgi_scope'"),
    ],
)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_traces_must_be_sampled(shape: str, options: dict[str, Any], level: str, told: str) -> None:
    """A rate of 0, none at all, and a sampler that drops, breaks or talks nonsense are told apart."""
    finding = found(setup.sampling, **WIRE_SHAPES[shape], **options)
    assert (finding.level, told in finding.found) == (level, True), finding
    assert (finding.remedy is None) == (level == "ok")


def test_the_sampler_is_asked_about_the_probe_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sees name and op of the root that is really opened, and what it says to other roots does not count."""
    seen: list[Any] = []

    def sampler(context: dict[str, Any]) -> float:
        seen.append((context["transaction_context"]["op"], context["transaction_context"]["name"]))
        return 1.0

    stream = probe._stream

    def another_root_besides() -> None:
        stream()
        with sentry_sdk.start_transaction(op="task", name="of the application"):
            pass

    monkeypatch.setattr(probe, "_stream", another_root_besides)
    found(setup.sampling, traces_sampler=sampler)
    assert seen == [("function", probe.PIPELINE)]


TOLD = {"transaction": "inside of their transaction", "transaction and spans": "span items", "stream": "streamed"}


@pytest.mark.parametrize(
    ("options", "level", "told"),
    [
        *((WIRE_SHAPES[shape], "ok", told) for shape, told in TOLD.items() if shape in WIRE_SHAPES),
        ({"spotlight": "http://127.0.0.1:9/stream", "stream_gen_ai_spans": True}, "warning", "Spotlight"),
        ({"spotlight": "http://127.0.0.1:9/stream", **WIRE_SHAPES["transaction"]}, "ok", "inside of their transaction"),
        (
            {"trace_lifecycle": "stream", "before_send_transaction": lambda event, hint: event},
            "warning",
            "never called",
        ),
        ({"instrumenter": "otel"}, "fail", "otel"),
    ],
)
def test_the_tracing_mode_is_told(options: dict[str, Any], level: str, told: str) -> None:
    """Each wire shape is named; what does not go with it is a warning, and another instrumenter a failure."""
    finding = found(setup.tracing_mode, **options)
    assert (finding.level, told in finding.found) == (level, True), finding


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_another_instrumenter_is_no_matter_to_streamed_spans_only(shape: str, caplog: pytest.LogCaptureFixture) -> None:
    """With transactions the remedy is Sentry's OTLPIntegration, and the probe does not run, as it has no spans."""
    with application(**WIRE_SHAPES[shape], instrumenter="otel") as client:
        case = Case(client, probe.run(client) if makes_spans(client) else None)
        mode, probed = setup.tracing_mode(case), received.probe(case)
    if shape == "stream":
        assert (mode.level, probed.level) == ("ok", "ok")
    else:
        assert (mode.level, probed.level) == ("fail", "skipped")
        assert "OTLPIntegration()" in str(mode.remedy)
        assert "Sentry makes no spans" in probed.found
    assert not caplog.records


@pytest.mark.parametrize(
    ("rate", "level", "told"),
    [
        (None, "fail", "OTLPIntegration sends the spans of OpenTelemetry only"),
        (0.0, "ok", "only runs inside a sampled span of OpenTelemetry"),
        (0.25, "ok", "25 % of the traces are recorded; runs inside a span of OpenTelemetry are recorded if it is"),
    ],
)
def test_sampling_knows_of_otlp(rate: float | None, level: str, told: str) -> None:
    """Sentry's docs leave out the rate with OTLPIntegration, but without one no span of ours is sent."""
    with opentelemetry.clean():
        finding = found(setup.sampling, **opentelemetry.options(opentelemetry.OTLP), traces_sample_rate=rate)
    assert (finding.level, told in finding.found) == (level, True), finding


@pytest.mark.parametrize(
    ("rate", "methods", "level"), [(1.0, ("GET",), "warning"), (1.0, (), "ok"), (None, ("GET",), "ok")]
)
@needs("starlette")
def test_frameworks_that_keep_runs_out_of_opentelemetrys_trace_are_named(
    rate: float | None, methods: tuple[str, ...], level: str
) -> None:
    """With OTLPIntegration and tracing, a request has two traces if Sentry's integration makes a span of it too."""
    from sentry_sdk.integrations.starlette import StarletteIntegration

    with opentelemetry.clean():
        options = opentelemetry.options(opentelemetry.OTLP)
        options["integrations"].append(StarletteIntegration(http_methods_to_capture=methods))
        options |= {"auto_enabling_integrations": False, "traces_sample_rate": rate}
        finding = found(setup.integrations, packages=[], **options)
    assert (finding.level, "starlette" in finding.found) == (level, level == "warning"), finding


def no_messages(event: Any, hint: Any) -> Any:
    """A hook of an application, which takes all messages away."""
    for span in event["spans"]:
        for key in ("gen_ai.input.messages", "gen_ai.output.messages"):
            span["data"].pop(key, None)
    return event


@pytest.mark.filterwarnings("ignore:.*send_default_pii:DeprecationWarning")
@pytest.mark.parametrize(
    ("options", "level", "told"),
    [
        ({}, "ok", "inputs are not recorded; outputs are not recorded"),
        ({"send_default_pii": True}, "ok", "inputs are recorded; outputs are recorded"),
        (content_allowed(True), "ok", "inputs are recorded; outputs are recorded"),
        (
            {"data_collection": {"gen_ai": {"inputs": True, "outputs": False}}},
            "ok",
            "inputs are recorded; outputs are not recorded",
        ),
        (
            {"data_collection": {"gen_ai": {"inputs": False, "outputs": False}}, "send_default_pii": True},
            "warning",
            "although send_default_pii is True",
        ),
        ({**content_allowed(True), "before_send_transaction": no_messages}, "fail", "the opposite for inputs"),
        (
            {**content_allowed(True), "integrations": [LangchainIntegration(include_prompts=False)]},
            "ok",
            "outputs are not recorded: Sentry's langchain integration has include_prompts=False",
        ),
    ],
)
def test_data_collection_is_told(options: dict[str, Any], level: str, told: str) -> None:
    """It says what is recorded, warns of options that contradict, and fails if the probe shows the contrary."""
    finding = found(content.data_collection, **options)
    assert (finding.level, told in finding.found) == (level, True), finding


@pytest.mark.parametrize(
    ("active", "packages", "level", "told"),
    [
        ("langchain", "langchain-openai", "ok", "each model call gets one span None"),
        pytest.param(
            "langchain openai boto3",
            "langchain-openai langchain-aws",
            "ok",
            "raw clients get spans from boto3, openai",
            marks=needs("boto3", "openai"),
        ),
        ("langchain", "openinference-instrumentation-langchain", "ok", "each model call gets one span"),
        (
            "opentelemetry",
            "openinference-instrumentation-langchain",
            "warning",
            "openinference-instrumentation-langchain",
        ),
    ],
)
def test_what_else_makes_spans_is_named(
    monkeypatch: pytest.MonkeyPatch, active: str, packages: str, level: str, told: str
) -> None:
    """Sentry's integrations of client libraries are no conflict; a tracer whose spans Sentry sends is one."""
    with application(integrations=[OpenTelemetry()]):
        pass  # from now on everything is set up, and the SDK goes by this set alone
    monkeypatch.setattr(integrations, "_installed_integrations", set(active.split()))
    monkeypatch.setattr(other_integrations, "_decide", [])  # what tests before have enabled for their clients
    finding = found(setup.integrations, packages=packages.split(), integrations=[OpenTelemetry()])
    assert (finding.level, told in f"{finding.found} {finding.remedy}") == (level, True), finding


def test_an_integration_of_ours_is_no_rival() -> None:
    """With `SentryStreamIntegration` every run has a handler already; the probe still makes one model span."""
    with application(integrations=[SentryStreamIntegration()]) as client:
        case = Case(client, probe.run(client), installed=lambda name: None)
        assert received.probe(case).level == "ok"
        assert "SentryStreamIntegration adds a handler to every run" in setup.integrations(case).found


def test_langsmith_is_no_conflict() -> None:
    """LangSmith's own tracer is mentioned, and is fine."""
    with application() as client:
        case = Case(client, environ={"LANGSMITH_TRACING": "true"}, installed=lambda name: None)
        finding = setup.integrations(case)
    assert (finding.level, "LangSmith" in finding.found) == ("ok", True)


# -- what the probe would have sent -----------------------------------------------------------------------------

OF_PROBE: tuple[Check, ...] = (received.probe, received.attributes, received.conventions, received.scrubber)


@pytest.mark.parametrize("content", [True, False], ids=["with content", "without content"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_right_set_up_passes(shape: str, content: bool) -> None:
    """In every wire shape a sound client lets the probe through as it should be."""
    for check in OF_PROBE:
        assert found(check, **WIRE_SHAPES[shape], **content_allowed(content)).level == "ok"


def tampering(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Options with which the application changes the model span before it is sent."""

    def before_send_transaction(event: Any, hint: Any) -> Any:
        for span in event["spans"]:
            change(span)
        return event

    return {"before_send_transaction": before_send_transaction, **WIRE_SHAPES["transaction"]}


def renamed(event: Any, hint: Any) -> Any:
    """A hook of an application, which names every transaction alike."""
    event["transaction"] = "job"
    return event


def doubled(event: Any, hint: Any) -> Any:
    """A hook of an application, which sends each span twice."""
    event["spans"] += [{**span, "origin": "auto.somebody"} for span in event["spans"]]
    return event


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"before_send_transaction": lambda event, hint: None}, "transaction: before_send"),
        ({"before_send_transaction": doubled, **WIRE_SHAPES["transaction"]}, "auto.somebody"),
        ({"before_send_transaction": renamed}, "'job'"),
        (tampering(lambda span: span.update(op="ai.chat")), "'ai.chat'"),
        (tampering(lambda span: span.update(description="x")), "'x'"),
        (tampering(lambda span: span.update(parent_span_id="a" * 16)), "not a child"),
        ({"trace_lifecycle": "stream", "ignore_spans": [probe.PIPELINE]}, "span: ignored"),
    ],
    ids=["dropped", "doubled", "root renamed", "other op", "other name", "other parent", "ignored"],
)
def test_the_probe_shows_what_an_application_does_to_spans(options: dict[str, Any], told: str) -> None:
    """A hook that drops, doubles, renames or moves the spans is found, with what the SDK or the span says."""
    finding = found(received.probe, **options)
    assert (finding.level, told in f"{finding.found} {finding.remedy}") == ("fail", True), finding


def test_without_a_model_span_nothing_else_is_judged() -> None:
    """What cannot be checked is neither fine nor wrong."""
    for check in OF_PROBE[1:]:
        finding = found(check, before_send_transaction=lambda event, hint: None)
        assert (finding.level, "not checked" in finding.found) == ("skipped", True)


def test_a_stream_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the probe itself raises, that is what is found."""

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(probe.ChatProbe, "_stream", broken)
    finding = found(received.probe)
    assert (finding.level, "RuntimeError: no such luck" in finding.found) == ("fail", True)


def test_what_the_handler_warns_of_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning that the handler logs while the probe runs would else be overlooked."""
    stream = probe._stream

    def warning() -> None:
        logger.warning("Sentry's %r integration is active too", "x")
        stream()

    monkeypatch.setattr(probe, "_stream", warning)
    finding = found(received.probe)
    assert (finding.level, "'x' integration is active too" in finding.found) == ("warning", True)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda span: span["data"].pop("gen_ai.request.model"), "gen_ai.request.model is missing"),
        (lambda span: span["data"].update({"ai.total_tokens": 70}), "ai.total_tokens is 70, not 7"),
        (lambda span: span["data"].update({"gen_ai.usage.input_tokens": "4"}), "is '4', not 4"),
        (lambda span: span["data"].update({"gen_ai.response.streaming": 1}), "is 1, not True"),
    ],
)
def test_attributes_must_be_there_and_right(change: Callable[[Any], None], told: str) -> None:
    """What is missing, other than it was, or of another type, is named."""
    finding = found(received.attributes, **tampering(change))
    assert (finding.level, told in finding.found) == ("fail", True), finding


UNKNOWN = "gen_ai.shoe_size"


@pytest.mark.parametrize("package", [True, False], ids=["sentry-conventions", "own table"])
@pytest.mark.parametrize(
    ("added", "level"),
    [
        ({}, "ok"),
        ({"my.shoe_size": {"eu": 43}}, "ok"),
        ({UNKNOWN: 43}, "warning"),
        ({"gen_ai.response.id": ["a", 1]}, "fail"),
        ({"langchain_stream.shoe": {"eu": 43}}, "fail"),
    ],
)
@needs("sentry_conventions")
def test_attributes_must_be_conventional(
    monkeypatch: pytest.MonkeyPatch, added: dict[str, Any], level: str, package: bool
) -> None:
    """Unknown AI keys are a warning, values of a wrong kind a failure; what is not about AI is none of ours."""
    if not package:
        monkeypatch.setitem(sys.modules, "sentry_conventions.attributes", None)
    finding = found(received.conventions, **tampering(lambda span: span["data"].update(added)))
    assert finding.level == level, finding
    assert level == "ok" or all(key in finding.found for key in added)
    assert level != "ok" or ("own table" in finding.found) != package


@needs("sentry_conventions")
def test_types_are_those_of_the_conventions() -> None:
    """A number that arrives as text is found with sentry-conventions, ours or another integration's."""
    finding = found(
        received.conventions, **tampering(lambda span: span["data"].update({"gen_ai.request.top_p": "high"}))
    )
    assert finding.found == "gen_ai.request.top_p is of type string, not double"


@pytest.mark.parametrize("package", [True, False], ids=["sentry-relay", "own rule"])
@pytest.mark.parametrize(
    ("added", "level", "told"),
    [
        ({}, "ok", "ai.total_tokens, as expected"),
        ({"langchain_stream.metadata.auth_level": "admin"}, "warning", "langchain_stream.metadata.auth_level"),
        ({"gen_ai.usage.cache_read.input_tokens": 1}, "ok", "removes ai.total_tokens, as expected"),
    ],
)
@needs("sentry_relay")
def test_what_the_scrubber_removes_is_told(
    monkeypatch: pytest.MonkeyPatch, added: dict[str, Any], level: str, told: str, package: bool
) -> None:
    """Only the one key that is meant to go may go, by Sentry's real scrubber and by the rule that stands in for it."""
    if not package:
        monkeypatch.setitem(sys.modules, "sentry_relay.processing", None)
    finding = found(received.scrubber, **tampering(lambda span: span["data"].update(added)))
    assert (finding.level, told in finding.found) == (level, True), finding
    assert ("real scrubber" in finding.found) == package


@needs("sentry_relay")
def test_the_rule_is_that_of_the_real_scrubber() -> None:
    """Without sentry-relay the doctor says the same as with it, for words in any place and for all of our own keys."""
    words = "token auth secret password passwd credentials api_key apikey private_key privatekey key session cookie id"
    keys = [made for word in words.split() for made in (word, f"my.{word}", f"{word.upper()}_1", f"x{word}s")]
    keys += [key for fact in FACTS.values() for key in (*fact.keys, *fact.added)]
    by_rule = [key for key in keys if received._SENSITIVE.search(key) and not received._is_conventional(key)]
    assert by_rule == received._scrubbed(keys)


def test_our_own_table_knows_what_is_conventional(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the keys that a scrubber would look at, it takes those for conventional that sentry-conventions has."""
    keys = [key for fact in FACTS.values() for key in (*fact.keys, *fact.added) if received._SENSITIVE.search(key)]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "sentry_conventions.attributes", None)
        by_table = [key for key in keys if received._is_conventional(key)]
    from sentry_conventions.attributes import ATTRIBUTE_METADATA

    assert by_table == [key for key in keys if key in ATTRIBUTE_METADATA]


# -- the probe leaves no trace ----------------------------------------------------------------------------------


def test_nothing_is_sent_by_the_probe() -> None:
    """Neither Sentry nor Spotlight gets anything, and afterwards the client is as it was."""

    def sampler(context: object) -> float:
        return 0.5

    with (
        playing_sentry() as sentry,
        application(dsn=sentry.dsn, spotlight=f"{sentry.url}/stream", traces_sampler=sampler) as client,
    ):
        transport, spotlight = client.transport, client.spotlight
        assert received.probe(Case(client, probe.run(client))).level == "ok"
        client.flush(timeout=HANG)
        assert sentry.paths == []
        assert (client.transport, client.spotlight) == (transport, spotlight)
        assert client.options["traces_sampler"] is sampler


def test_the_probe_is_not_left_over() -> None:
    """After the probe no span is active, and the next trace is another one."""
    with application() as client:
        first, second = probe.run(client), probe.run(client)
        assert sentry_sdk.get_current_span() is None
    assert first.trace_id != second.trace_id


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_what_is_active_does_not_matter(shape: str) -> None:
    """A span that the application's initialisation leaves active, or a trace that it continues, is not the probe's."""
    incoming = "c" * 32
    with application(**WIRE_SHAPES[shape]) as client:
        sentry_sdk.get_isolation_scope().generate_propagation_context({"sentry-trace": f"{incoming}-{'d' * 16}-0"})
        result = probe.run(client)
        assert received.probe(Case(client, result)).level == "ok"
        assert result.trace_id != incoming
        with active_span(shape):
            assert received.probe(Case(client, probe.run(client))).level == "ok"


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_only_the_probe_is_kept(shape: str) -> None:
    """What the application itself records meanwhile is not taken for the probe's."""

    def sampler(context: Any) -> float:
        if context["transaction_context"]["name"] == probe.PIPELINE:
            with sentry_sdk.new_scope() as scope:
                scope.set_new_propagation_context()
                sentry_sdk.capture_message("from the application")
        return 1.0

    with application(**WIRE_SHAPES[shape], traces_sampler=sampler) as client:
        result = probe.run(client)
    assert [span.name for span in sorted(result.spans, key=lambda span: not span.is_root)] == [
        probe.PIPELINE,
        f"chat {probe.MODEL}",
    ]
    kinds = {item.type for envelope in result.envelopes for item in envelope.items}
    assert kinds <= {"transaction", "span"}
