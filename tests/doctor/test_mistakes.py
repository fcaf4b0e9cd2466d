"""The mistakes of a new user, each planted in an application, and each named by the doctor's command."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from sentry_sdk import integrations
from sentry_sdk.consts import DEFAULT_OPTIONS

from sentry_langchain_stream.demo.endpoint import Answer, create_endpoint
from sentry_langchain_stream.demo.serve import serving
from sentry_langchain_stream.doctor.command import main
from sentry_langchain_stream.doctor.content import ALLOW
from tests.kit.sentry_server import NOWHERE, VARIABLES, kept_client, playing_sentry
from tests.kit.wire import WIRE_SHAPES

Run = Callable[..., tuple[int, dict[str, dict[str, Any]]]]

RIGHT = """
import sentry_sdk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from sentry_langchain_stream import SentryStreamHandler, SentryStreamIntegration

sentry_sdk.init(dsn={dsn!r}, traces_sample_rate=1.0, **{options!r})
handler = SentryStreamHandler("support-bot")
model = ChatOpenAI(model="gpt-4o-mini", api_key="x")
chain = ChatPromptTemplate.from_template("{{tone}}: {{question}}") | model | StrOutputParser()
bound = chain.with_config(callbacks=[handler])
"""


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run the command on an application, and return the exit code and the findings by name.

    The application is the right one, with some of its text replaced.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    # An application that is written again within a second, and is as long, would be read from its old bytecode.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str, dsn: str = NOWHERE, options: Any = None, **replaced: str) -> Any:
        source = RIGHT.format(dsn=dsn, options=options or {})
        for old, new in (pair.split("=>") for pair in replaced.values()):
            assert old in source
            source = source.replace(old, new)
        (tmp_path / "shop.py").write_text(source, encoding="utf-8")
        code = main([*(arguments or ("--app", "shop:bound")), "--json"])
        findings = json.loads(capsys.readouterr().out)
        return code, {finding["name"]: finding for finding in findings}

    with kept_client():
        yield run
    sys.modules.pop("shop", None)


def wrong(findings: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Name and level of each finding that is not fine, but for the Python that the tests run on."""
    found = {name: each["level"] for name, each in findings.items() if each["level"] in ("warning", "fail")}
    if sys.version_info < (3, 11):
        assert found.pop("python", "warning") == "warning"
    return found


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_right_application_has_nothing_to_look_at(doctor: Run, shape: str) -> None:
    """The probe goes through its own chain, prompt and parser, and the provider is not called."""
    code, findings = doctor(options=WIRE_SHAPES[shape])
    assert (code, wrong(findings)) == (0, {})
    assert findings["handlers"]["found"] == (
        "one handler sees a run of shop:bound: shop.handler (pipeline_name='support-bot')"
    )
    assert findings["chain"]["found"] == (
        "each model call of shop:bound makes one span (1, answered by a scripted provider); pipeline support-bot"
    )
    assert findings["stream-usage"]["found"] == "shop.model requests the usage of a stream"


def test_a_handler_that_calls_pass_is_tried(doctor: Run) -> None:
    """A chain without callbacks is probed with the application's handler, and the finding says so."""
    code, findings = doctor("--app", "shop:chain")
    assert (code, wrong(findings)) == (0, {})
    assert 'callbacks": [shop.handler]' in findings["handlers"]["remedy"]


def test_a_client_keeps_its_connections_to_the_provider(doctor: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection belongs to the event loop that it was made in, so a probe is repeated in the same one."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    endpoint = create_endpoint(Answer("Hello."))
    with serving(endpoint) as url:
        address = f'api_key="x"=>api_key="x", base_url="{url}/v1", stream_usage=True, max_retries=0'
        code, findings = doctor("--app", "shop:chain", "--live", model=address)
    assert (code, wrong(findings), len(endpoint.state.requests)) == (0, {}, 2)


def test_a_client_of_an_async_set_up_is_used_by_the_chain(doctor: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an async function has connected is connected when the chain that it returns is probed."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(create_endpoint(Answer("Hello."))) as url:
        set_up = f'''from_template("{{tone}}: {{question}}") | model=>from_template("{{tone}}: {{question}}") | model
async def set_up():
    import httpx
    client = httpx.AsyncClient(base_url="{url}")
    async def look_up(given):
        await client.get("/")
        return {{"tone": "kind", "question": given}}
    await client.get("/")
    return (look_up | chain).with_config(callbacks=[handler])
chain = chain'''
        code, findings = doctor("--app", "shop:set_up", set_up=set_up)
    assert (code, wrong(findings)) == (0, {})


def test_an_input_that_does_not_fit_is_named(doctor: Run) -> None:
    """The chain fails on the doctor's own input, and runs on the one that is given with `--input`."""
    picky = "ChatPromptTemplate.from_template(=>(lambda given: given['about']) | ChatPromptTemplate.from_template("
    code, findings = doctor(picky=picky)
    assert (code, wrong(findings)) == (1, {"chain": "fail"})
    assert findings["chain"]["found"].startswith("shop:bound raised ")
    assert "--input JSON" in findings["chain"]["remedy"]
    sys.modules.pop("shop")
    given = json.dumps({"about": {"tone": "kind", "question": "Why?"}})
    code, findings = doctor("--app", "shop:bound", "--input", given, picky=picky)
    assert (code, wrong(findings)) == (0, {})
    assert findings["chain"]["found"].startswith("each model call of shop:bound makes one span (1, ")


def test_the_provider_is_called_only_if_asked(doctor: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `--live` the chain's own provider answers, and its failure is named; without it nobody is called."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    right, refusing = create_endpoint(Answer("Hello.")), create_endpoint(Answer(status=401))
    with serving(right) as url:
        address = f'api_key="x"=>api_key="x", base_url="{url}/v1", stream_usage=True, max_retries=0'
        code, findings = doctor(model=address)
        assert (code, wrong(findings), right.state.requests) == (0, {}, [])
        sys.modules.pop("shop")
        code, findings = doctor("--app", "shop:bound", "--live", model=address)
        assert (code, wrong(findings), len(right.state.requests)) == (0, {}, 1)
        assert "(1, answered really)" in findings["chain"]["found"]
    sys.modules.pop("shop")
    with serving(refusing) as url:
        address = f'api_key="x"=>api_key="x", base_url="{url}/v1", stream_usage=True, max_retries=0'
        code, findings = doctor("--app", "shop:bound", "--live", model=address)
    assert (code, wrong(findings), len(refusing.state.requests)) == (1, {"chain": "fail"}, 1)
    assert "AuthenticationError" in findings["chain"]["found"]
    assert "--live" not in findings["chain"]["remedy"]


def test_no_handler_is_named(doctor: Run) -> None:
    """It is one failure for a chain, and a warning if the doctor has no chain to try."""
    without = {"first": 'handler = SentryStreamHandler("support-bot")=>', "second": "callbacks=[handler]=>"}
    code, findings = doctor(**without)
    assert (code, wrong(findings)) == (1, {"handlers": "fail"})
    assert findings["handlers"]["found"].startswith("no handler sees the runs of shop:bound")
    sys.modules.pop("shop")
    code, findings = doctor("--app", "shop", **without)
    assert (code, wrong(findings)) == (0, {"handlers": "warning"})
    assert "SentryStreamHandler()" in findings["handlers"]["remedy"]


def test_two_handlers_are_named(doctor: Run) -> None:
    """Both see a run, and each is named with its settings."""
    code, findings = doctor(
        model='api_key="x"=>api_key="x", callbacks=[SentryStreamHandler(chains=True)]',
    )
    assert (code, wrong(findings)) == (0, {"handlers": "warning"})
    assert findings["handlers"]["found"].startswith("2 handlers see one run of shop:bound")
    for told in ("shop.handler (pipeline_name='support-bot')", "(chains=True)"):
        assert told in findings["handlers"]["found"]


def test_a_second_handler_that_calls_pass_is_named(doctor: Run) -> None:
    """The doctor does not see with which handler the application calls its chain, so it names those that it made."""
    beside = 'api_key="x"=>api_key="x", callbacks=[SentryStreamHandler(chains=True)]'
    code, findings = doctor("--app", "shop:chain", model=beside)
    assert (code, wrong(findings)) == (0, {"handlers": "warning"})
    assert findings["handlers"]["found"] == (
        "one handler is part of shop:chain: SentryStreamHandler (chains=True). "
        "Others were made: shop.handler (pipeline_name='support-bot')"
    )


def test_no_usage_is_named(doctor: Run) -> None:
    """The model object that streams without usage is named."""
    address = 'api_key="x"=>api_key="x", base_url="http://127.0.0.1:9/v1"'
    code, findings = doctor(model=address)
    assert (code, wrong(findings)) == (0, {"stream-usage": "warning"})
    assert findings["stream-usage"]["found"].startswith("shop.model requests no usage")
    sys.modules.pop("shop")
    _, findings = doctor("--app", "shop", model=address)
    assert findings["stream-usage"]["found"].startswith("shop.model requests no usage")


def test_no_tracing_is_named(doctor: Run) -> None:
    """It is the only failure: what could not be checked because of it is skipped."""
    code, findings = doctor(off="traces_sample_rate=1.0, =>")
    assert (code, wrong(findings)) == (1, {"sampling": "fail"})
    assert findings["probe"]["level"] == findings["chain"]["level"] == "skipped"


def test_a_rate_of_0_is_named(doctor: Run) -> None:
    """It is the only failure."""
    code, findings = doctor(rate="traces_sample_rate=1.0=>traces_sample_rate=0.0")
    assert (code, wrong(findings)) == (1, {"sampling": "fail"})
    assert findings["sampling"]["found"].startswith("traces_sample_rate is 0")


def test_a_missing_client_is_named_once(doctor: Run) -> None:
    """Seven checks need a client, and one of them says that there is none."""
    code, findings = doctor(init="sentry_sdk.init(=>dict(")
    assert (code, wrong(findings)) == (1, {"client": "fail"})


def test_a_wrong_dsn_is_named(doctor: Run) -> None:
    """One that is none at once; one of another server or project as soon as something is sent."""
    code, findings = doctor(dsn="nonsense")
    assert (code, wrong(findings)) == (1, {"app": "fail"})
    assert "DSN" in findings["app"]["remedy"]
    sys.modules.pop("shop", None)
    with playing_sentry(403, {}, '{"detail": "event submission rejected with_reason: ProjectId"}') as sentry:
        code, findings = doctor("--app", "shop:bound", "--send", dsn=sentry.dsn)
    assert (code, wrong(findings)) == (1, {"delivery": "fail"})
    assert "ProjectId" in findings["delivery"]["found"]


def test_a_provider_integration_without_ours_is_named(doctor: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """If only Sentry's own integrations make spans, the finding says which, and how to add ours."""
    # In this process the SDK has set all of them up, and goes by this set alone.
    monkeypatch.setattr(integrations, "_installed_integrations", {*integrations._installed_integrations, "openai"})
    code, findings = doctor(
        first='handler = SentryStreamHandler("support-bot")=>',
        second="callbacks=[handler]=>",
        third="**{}=>integrations=[__import__('sentry_sdk.integrations.openai', fromlist=['x']).OpenAIIntegration()]",
    )
    assert (code, wrong(findings)) == (1, {"handlers": "fail"})
    assert "openai" in findings["handlers"]["found"]
    assert "SentryStreamIntegration()" in findings["handlers"]["remedy"]


def test_the_integration_is_a_handler_for_all(doctor: Run) -> None:
    """With `SentryStreamIntegration` a chain without callbacks has one handler, and it is named as that."""
    code, findings = doctor(
        "--app",
        "shop:chain",
        first='handler = SentryStreamHandler("support-bot")=>',
        second="callbacks=[handler]=>",
        third="**{}=>integrations=[SentryStreamIntegration()]",
    )
    assert (code, wrong(findings)) == (0, {})
    assert "SentryStreamIntegration (default settings)" in findings["handlers"]["found"]


@pytest.mark.skipif("data_collection" not in DEFAULT_OPTIONS, reason="needs sentry-sdk 2.70")
def test_content_that_is_off_is_named(doctor: Run) -> None:
    """A handler's veto over what the client allows is a warning; any other reason fails if content is expected."""
    allowed = eval(f"dict({ALLOW})")
    code, findings = doctor(options=allowed, veto='"support-bot"=>"support-bot", include_prompts=False')
    assert (code, wrong(findings)) == (0, {"data-collection": "warning"})
    assert "shop.handler sees the run: it has include_prompts=False" in findings["data-collection"]["found"]
    sys.modules.pop("shop")
    code, findings = doctor("--app", "shop:bound", "--expect-content")
    assert (code, wrong(findings)) == (1, {"data-collection": "fail"})
    assert ALLOW in findings["data-collection"]["remedy"]
    sys.modules.pop("shop")
    code, findings = doctor("--app", "shop:bound", "--expect-content", options=allowed, by='"support-bot"=>redact=str')
    assert (code, wrong(findings)) == (0, {})
    assert "redact of shop.handler changes each text" in findings["data-collection"]["found"]


def test_an_old_sdk_is_named(doctor: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version fails, with the range to install."""
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "2.43.0" if name == "sentry-sdk" else version(name))
    code, findings = doctor()
    assert (code, wrong(findings)) == (1, {"sentry-sdk": "fail"})
    assert "sentry-sdk 2.44 or newer" in findings["sentry-sdk"]["remedy"]
