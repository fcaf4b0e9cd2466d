"""The doctor's command: from the application's own initialisation to the exit code, and what a server answers."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk import integrations
from sentry_sdk.transport import Transport

from sentry_langchain_stream.doctor import command, delivery, one_loop, probe, setup
from sentry_langchain_stream.doctor.case import Case, installed
from sentry_langchain_stream.doctor.command import main
from sentry_langchain_stream.doctor.delivery import deliver
from sentry_langchain_stream.doctor.findings import Finding, exit_code
from tests.kit import HANG, lean_environment
from tests.kit.absent import needs
from tests.kit.async_context import HAS_ASYNC_CONTEXT
from tests.kit.sentry_server import NOWHERE, VARIABLES, Sentry, application, kept_client, playing_sentry
from tests.kit.wire import WIRE_SHAPES

# -- delivery ---------------------------------------------------------------------------------------------------


def delivered(sentry: Sentry, *, seconds: float = 20.0, **options: Any) -> tuple[Finding, str | None]:
    """What the doctor says of sending the probe there, and the probe's trace id."""
    with application(dsn=sentry.dsn, **options) as client:
        result = probe.run(client)
        return deliver(client, result, seconds), result.trace_id


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_probe_is_delivered(shape: str) -> None:
    """With an answer of 200 the trace to look for is told, and it is the one that arrived."""
    with playing_sentry() as sentry:
        finding, trace = delivered(
            sentry,
            **WIRE_SHAPES[shape],
            _experiments={"transport_compression_level": 0, "transport_compression_algo": "gzip"},
        )
    assert finding.level == "ok", finding
    assert finding.found == f"HTTP 200; trace {trace}"
    assert "Explore > Traces" in str(finding.remedy)
    assert set(sentry.paths) == {"api/42/envelope"}
    assert all(str(trace).encode() in body for body in sentry.bodies)


@pytest.mark.parametrize(
    ("status", "headers", "body", "level", "told"),
    [
        (
            403,
            {},
            '{"detail": "event submission rejected with_reason: ProjectId"}',
            "fail",
            "HTTP 403; event submission",
        ),
        (400, {}, "not json", "fail", "HTTP 400; trace"),
        (500, {}, "{}", "fail", "HTTP 500; trace"),
        (413, {}, "[]", "fail", "HTTP 413; trace"),
        (
            429,
            {"x-sentry-rate-limits": "60:transaction;span:organization:quota, 2700::project"},
            "{}",
            "fail",
            "HTTP 429; rate limited for 60 s: span, transaction; rate limited for 2700 s: everything",
        ),
        (429, {"retry-after": "17"}, "{}", "fail", "HTTP 429; rate limited for 17 s: everything"),
        (
            200,
            {"x-sentry-rate-limits": "60:span:organization"},
            "{}",
            "warning",
            "HTTP 200; rate limited for 60 s: span",
        ),
        (
            200,
            {"x-sentry-rate-limits": "60:replay:organization"},
            "{}",
            "ok",
            "HTTP 200; rate limited for 60 s: replay",
        ),
    ],
)
def test_a_server_that_refuses_is_told(status: int, headers: dict[str, str], body: str, level: str, told: str) -> None:
    """Status, rate limits and what the server says stand in the finding, with what to do about it."""
    with playing_sentry(status, headers, body) as sentry:
        finding, trace = delivered(sentry)
    assert (finding.level, finding.found.startswith(told)) == (level, True), finding
    assert f"trace {trace}" in finding.found
    assert finding.remedy


def test_a_server_that_does_not_answer_is_told() -> None:
    """After the time-out the doctor goes on, and says for how long it has waited."""
    with playing_sentry(gate=threading.Event()) as sentry:
        finding, _ = delivered(sentry, seconds=0.2)
    assert (finding.level, finding.found.startswith("no answer within 0.2 s")) == ("fail", True)


def test_a_server_that_is_not_there_is_told() -> None:
    """The reason why there was no connection is told."""
    with playing_sentry() as sentry:
        pass
    finding, _ = delivered(sentry)
    assert (finding.level, finding.found.startswith("no answer: MaxRetryError")) == ("fail", True), finding


def test_a_rate_limit_is_asked_about_again() -> None:
    """The server's own answer counts, whether or not the application's transport was told to wait before."""
    with playing_sentry(429, {"retry-after": "60"}) as sentry, application(dsn=sentry.dsn) as client:
        findings = [deliver(client, probe.run(client), 20.0) for _ in range(2)]
    assert [(finding.level, finding.found[:8]) for finding in findings] == [("fail", "HTTP 429")] * 2


def test_envelopes_after_a_rate_limit_are_held_back() -> None:
    """What the SDK does not even send, because an earlier answer told it to wait, is no success."""
    with playing_sentry(429, {"retry-after": "60"}) as sentry, application(dsn=sentry.dsn) as client:
        envelopes = [probe.run(client).envelopes[0] for _ in range(2)]
        first, second = delivery._answers(delivery._listening(client), envelopes, 20.0)
    assert (first.status, second.status) == (429, None)
    assert "rate limited before" in second.detail


def test_what_cannot_be_sent_is_told() -> None:
    """Without a DSN, or without anything to send, nothing is tried."""
    with application(dsn="") as client:
        assert "no DSN" in deliver(client, probe.run(client), 1.0).found
    with application(before_send_transaction=lambda event, hint: None) as client:
        assert "nothing to send" in deliver(client, probe.run(client), 1.0).found


def test_a_transport_of_the_applications_own_is_used() -> None:
    """It gets the probe, and as it shows no answer that is a warning."""
    sent: list[Any] = []

    class Own(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            sent.append(envelope)

    with application(transport=Own) as client:
        finding = deliver(client, probe.run(client), 1.0)
    assert (finding.level, "Own" in finding.found, len(sent)) == ("warning", True, 1)


def test_answers_to_others_are_not_counted() -> None:
    """What the application sends at the same time says nothing about the probe."""
    with playing_sentry() as sentry, application(dsn=sentry.dsn) as client:
        ours, other = probe.run(client).envelopes[0], probe.run(client).envelopes[0]
        client.transport.capture_envelope(other)
        answers = delivery._answers(delivery._listening(client), [ours], 20.0)
        client.flush(timeout=20.0)
    assert [answer.status for answer in answers] == [200]
    assert len(sentry.paths) == 2


def test_the_transport_is_left_as_it_was() -> None:
    """What the application sends later passes through nothing of ours."""
    with playing_sentry() as sentry, application(dsn=sentry.dsn) as client:
        before = dict(vars(client.transport))
        deliver(client, probe.run(client), 20.0)
        assert vars(client.transport).keys() == before.keys()


# -- the command ------------------------------------------------------------------------------------------------

HEALTHY = """
from contextlib import asynccontextmanager, contextmanager
from functools import partial
import sentry_sdk
from sentry_sdk.integrations.boto3 import Boto3Integration
from sentry_sdk import integrations
from sentry_sdk.integrations import Integration
from sentry_langchain_stream import SentryStreamHandler

handler = SentryStreamHandler()
print("the application says hello")

def setup(dsn={dsn!r}):
    print("and is set up")
    sentry_sdk.init(dsn=dsn, traces_sample_rate=1.0, disabled_integrations=[Boto3Integration()])

async def setup_later():
    setup()

def asgi(scope, receive, send):
    raise AssertionError("not to be called")

class nested:
    setup = staticmethod(setup)

def wsgi(env, start_response):
    raise AssertionError("not to be called")

class Framework:
    def __call__(self, request):
        raise AssertionError("not to be called")

framework = Framework()

def configured(settings):
    setup()

class Settings:
    def apply(self, settings):
        setup()

settings = Settings()
half = partial(lambda settings, more: setup(), "some")

def fixture():
    setup()
    yield

@contextmanager
def lifespan():
    setup()
    yield

@asynccontextmanager
async def serving():
    setup()
    yield

number = 1
"""

PLAIN = """
import sentry_sdk

def setup():
    sentry_sdk.init(dsn={dsn!r}, traces_sample_rate=1.0)
"""

UNTRACED = """
import sentry_sdk

sentry_sdk.init(dsn={dsn!r})
"""


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the environment that a check would see."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Writes a module of an application into the current directory, and keeps the process's client."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    with application():
        pass  # from now on the SDK has set up all of its integrations, and disables none of them any more
    monkeypatch.setattr(integrations, "_installed_integrations", integrations._installed_integrations - {"boto3"})
    with kept_client():

        def write_module(name: str, source: str) -> None:
            (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")

        yield write_module
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    """What `--json` has printed, by name."""
    findings = json.loads(capsys.readouterr().out)
    return {finding["name"]: finding for finding in findings}


without_warnings = pytest.mark.skipif(
    not HAS_ASYNC_CONTEXT, reason="on Python 3.10 the doctor warns of what LangGraph cannot do there"
)


@without_warnings
@pytest.mark.parametrize(
    ("target", "how"),
    [
        ("shop:setup", "shop was imported, and setup() called"),
        ("shop:setup_later", "shop was imported, and setup_later() called"),
        ("shop:nested.setup", "shop was imported, and nested.setup() called"),
    ],
)
@needs("boto3")
def test_the_applications_own_initialisation_is_checked(
    write: Any, capsys: pytest.CaptureFixture[str], target: str, how: str
) -> None:
    """A healthy application passes even strictly, and what it prints does not get into the JSON."""
    write("shop", HEALTHY.format(dsn=NOWHERE))
    assert main(["--app", target, "--json", "--strict"]) == 0
    findings = told(capsys)
    assert findings["app"]["found"] == how
    assert findings["dsn"]["found"] == "project 42 at 127.0.0.1:9"
    assert {name for name, finding in findings.items() if finding["level"] != "ok"} == {"chain"}
    assert "delivery" not in findings


@pytest.mark.parametrize("target", ["shop", "shop:asgi", "shop:wsgi", "shop:framework"])
@needs("boto3")
def test_what_takes_arguments_is_not_called(write: Any, capsys: pytest.CaptureFixture[str], target: str) -> None:
    """To import an ASGI application is enough, as its server does; here nobody has called `sentry_sdk.init` then."""
    write("shop", HEALTHY.format(dsn=NOWHERE))
    assert main(["--app", target, "--json"]) == 1
    findings = told(capsys)
    assert findings["app"]["level"] == "ok"
    assert findings["app"]["found"].startswith("shop was imported")
    assert findings["client"]["level"] == "fail"


@needs("boto3")
def test_what_is_neither_a_chain_nor_a_function_is_to_look_at(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """With a wrong name nothing is probed: that is no success, and says what may be named."""
    write("shop", HEALTHY.format(dsn=NOWHERE))
    main(["--app", "shop:setup", "--app", "shop:number", "--json"])
    found = told(capsys)["app"]
    assert found["level"] == "warning"
    assert "number is of type int, which cannot be probed or called" in found["found"]
    assert "a chain, graph or model" in found["remedy"]


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("configured", "needs arguments, so it was not called"),
        ("settings.apply", "needs arguments, so it was not called"),
        ("half", "needs arguments, so it was not called"),
        ("Case", "needs arguments, so it was not called"),
        ("fixture", "is a generator or context manager, so nothing in it was run"),
        ("lifespan", "is a generator or context manager, so nothing in it was run"),
        ("serving", "is a generator or context manager, so nothing in it was run"),
    ],
)
@needs("boto3")
def test_a_function_that_did_not_run_is_to_look_at(
    write: Any, capsys: pytest.CaptureFixture[str], target: str, why: str
) -> None:
    """The application may look healthy without what the function would have done."""
    write("shop", HEALTHY.format(dsn=NOWHERE) + "class Case:\n    def __init__(self, name): pass\n")
    main(["--app", f"shop:{target}", "--json"])
    found = told(capsys)["app"]
    assert (found["level"], found["found"]) == ("warning", f"shop was imported; {target} {why}")
    assert "a function without arguments" in found["remedy"]


LOOPS = """
import asyncio, sentry_sdk

class Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self):
        made = super().new_event_loop()
        made.is_chosen = True
        return made

asyncio.set_event_loop_policy(Policy())

async def setup():
    assert asyncio.get_running_loop().is_chosen
    sentry_sdk.init(dsn={dsn!r}, traces_sample_rate=1.0)
"""


NEVER_ENDS = """
import asyncio, sentry_sdk
from langchain_core.runnables import RunnableLambda

left = []

async def poll():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

async def begin(question):
    left.append(asyncio.ensure_future(poll()))
    return question

async def setup():
    await begin("")
    sentry_sdk.init(dsn={dsn!r}, traces_sample_rate=1.0)

async def fails():
    try:
        await asyncio.sleep(60)
    finally:
        raise ValueError("fails")

async def with_a_failure():
    left.append(asyncio.ensure_future(fails()))
    await asyncio.sleep(0.01)
    sentry_sdk.init(dsn={dsn!r}, traces_sample_rate=1.0)

def plain():
    sentry_sdk.init(dsn={dsn!r}, traces_sample_rate=1.0)

chain = RunnableLambda(begin)
"""


@pytest.mark.parametrize(
    ("targets", "is_stuck"),
    [(["setup"], True), (["plain", "chain"], True), (["with_a_failure"], False), (["plain"], False)],
    ids=str,
)
def test_a_task_that_does_not_end_hides_no_finding(
    write: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    targets: list[str],
    is_stuck: bool,
) -> None:
    """A task that swallows its cancellation is left after a while, and all that was found is printed, with its name."""
    monkeypatch.setattr(one_loop, "PATIENCE", 0.1)
    write("shop", NEVER_ENDS.format(dsn=NOWHERE))
    main([*(word for target in targets for word in ("--app", f"shop:{target}")), "--json"])
    findings = told(capsys)
    assert findings["app"]["level"] == findings["client"]["level"] == "ok"
    assert ("tasks" in findings) is is_stuck
    if is_stuck:
        assert findings["tasks"]["level"] == "warning"
        assert findings["tasks"]["found"] == "cancelled, but still running after 0.1 s: poll"
    sys.modules["shop"].left.clear()
    gc.collect()
    assert not [record for record in caplog.records if record.name == "asyncio"]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="policies are deprecated")
def test_the_application_chooses_the_kind_of_event_loop(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Uvloop is chosen by a policy, and so is the loop that some clients need on Windows."""
    write("shop", LOOPS.format(dsn=NOWHERE))
    before = asyncio.get_event_loop_policy()
    try:
        main(["--app", "shop:setup", "--json"])
    finally:
        asyncio.set_event_loop_policy(before)
    assert told(capsys)["app"]["level"] == "ok"


async def test_the_command_may_be_called_in_a_running_loop(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing of the application is async, as in a cell of a notebook."""
    write("shop", PLAIN.format(dsn=NOWHERE))
    assert main(["--app", "shop:setup", "--json"]) == 0
    assert told(capsys)["app"]["level"] == "ok"


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        ("raise RuntimeError('no\\n database')", "shop", "RuntimeError: no database"),
        ("def setup(): import no_such_package", "shop:setup", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("import no_such_package", "shop", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("raise SystemExit(3)", "shop", "SystemExit: 3"),
        ("import sentry_sdk; sentry_sdk.init(dsn='nonsense')", "shop", "BadDsn"),
    ],
)
def test_an_application_that_raises_is_a_finding(
    write: Any, capsys: pytest.CaptureFixture[str], source: str, target: str, reason: str
) -> None:
    """Its exception is told, and only the environment is checked besides."""
    write("shop", source)
    assert main(["--app", target, "--json", "--send"]) == 1
    findings = told(capsys)
    assert (findings["app"]["level"], reason in findings["app"]["found"]) == ("fail", True), findings["app"]
    assert set(findings) == {"app", *(each for each in findings if each in NAMES[1:9])}


NAMES = [
    "app",
    "python",
    "sentry-langchain-stream",
    "sentry-sdk",
    "langchain-core",
    "langgraph",
    "provider-packages",
    "stream-usage",
    "shutdown",
    "client",
    "dsn",
    "sampling",
    "tracing-mode",
    "data-collection",
    "integrations",
    "handlers",
    "chain",
    "probe",
    "attributes",
    "conventions",
    "scrubber",
    "delivery",
]
"""The names of all checks, which somebody's CI may rely on."""


@needs("boto3")
def test_names_and_fields_are_stable(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON is a list of objects with four fields, one for each check, in the order of the lines."""
    write("shop", HEALTHY.format(dsn=""))
    assert main(["--app", "shop:setup", "--json", "--send"]) == 1
    findings = json.loads(capsys.readouterr().out)
    assert [finding["name"] for finding in findings] == NAMES
    assert all(list(finding) == ["name", "level", "found", "remedy"] for finding in findings)


@without_warnings
@needs("boto3")
def test_a_line_per_check(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """As text there is a line for each check, first what is wrong and how to mend it, and the sum."""
    write("shop", HEALTHY.format(dsn=""))
    assert main(["--app", "shop:setup"]) == 1
    lines = capsys.readouterr().out.splitlines()
    failed = lines[0]
    assert [line.split()[1] for line in lines[1:-4]] == [name for name in NAMES[:-1] if name not in ("chain", "dsn")]
    assert failed.split(None, 2)[1:] == [
        "dsn",
        "there is none, so nothing is sent. Set SENTRY_DSN, or pass dsn=... to sentry_sdk.init.",
    ]
    assert lines[-1] == f"{len(NAMES) - 3} ok, 0 to look at, 1 failed"


def test_without_an_application_the_set_up_is_plain(
    write: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The DSN comes from the environment, and the first line says what was done."""
    monkeypatch.setenv("SENTRY_DSN", NOWHERE)
    assert main(["--json"]) == 0
    findings = told(capsys)
    assert "sentry_sdk.init(traces_sample_rate=1.0)" in findings["app"]["found"]
    assert findings["dsn"]["level"] == "ok"
    monkeypatch.setenv("SENTRY_DSN", "nonsense")
    assert main(["--json"]) == 1
    assert "BadDsn" in told(capsys)["app"]["found"]


def test_the_command_sends(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """`--send` sends the probe, and tells its trace id; a server that does not answer in time is a failure."""
    with playing_sentry() as sentry:
        write("shop", HEALTHY.format(dsn=sentry.dsn))
        assert main(["--app", "shop:setup", "--json", "--send"]) == 0
    assert told(capsys)["delivery"]["found"].startswith("HTTP 200; trace ")
    with playing_sentry(gate=threading.Event()) as sentry:
        write("slow", HEALTHY.format(dsn=sentry.dsn))
        assert main(["--app", "slow:setup", "--json", "--send", "--timeout", "0.2"]) == 1
    assert told(capsys)["delivery"]["found"].startswith("no answer within 0.2 s")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--app", "nowhere"], "no module 'nowhere'"),
        (["--app", "shop.nowhere"], "no module 'shop.nowhere'"),
        (["--app", "shop:nowhere"], "no 'nowhere' in shop"),
        (["--app", "shop.py"], "no module 'shop.py'"),
        (["--app", "./shop"], "module:name"),
        (["--app", "shop:"], "module:name"),
        (["--app", "shop.py:chain"], "write it without .py"),
        (["--timeout", "soon"], "not a number of seconds above 0"),
        (["--timeout", "0"], "not a number of seconds above 0"),
        (["--timeout", "-1"], "--timeout"),
        (["--input", "Hello"], "'Hello' is not JSON"),
        (["--nonsense"], "--nonsense"),
        (["--live"], "--live: --app names no chain"),
        (["--app", "shop", "--input", "{}"], "--input: --app names no chain"),
    ],
)
def test_a_wrong_argument_is_a_usage_error(
    write: Any, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    """It has the exit code 2, and its reason goes to stderr."""
    write("shop", "")
    try:
        code = main(arguments)
    except SystemExit as error:
        code = int(str(error.code))
    printed = capsys.readouterr()
    assert (code, printed.out, reason in printed.err) == (2, "", True), printed.err


@pytest.mark.parametrize(
    ("levels", "strict", "code"),
    [
        (["ok", "ok"], True, 0),
        (["ok", "warning"], False, 0),
        (["ok", "warning"], True, 1),
        (["fail", "ok"], False, 1),
    ],
)
def test_the_exit_code_is_for_machines(levels: list[Any], strict: bool, code: int) -> None:
    """A failure is 1, a warning only if strict."""
    assert exit_code([Finding("x", level, "") for level in levels], strict=strict) == code


@needs("boto3")
def test_a_check_that_breaks_does_not_hide_the_others(
    write: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It becomes a warning under its name, and the rest is told as ever."""

    def tracing_mode(case: Case) -> Finding:
        raise LookupError("surprise")

    monkeypatch.setattr(command, "OF_APPLICATION", (tracing_mode, setup.client))
    write("shop", HEALTHY.format(dsn=NOWHERE))
    assert main(["--app", "shop:setup", "--json"]) == 0
    findings = told(capsys)
    assert (findings["tracing-mode"]["level"], "surprise" in findings["tracing-mode"]["found"]) == ("warning", True)
    assert findings["client"]["level"] == "ok"


def test_the_command_line_lists_it(write: Any) -> None:
    """The commands of the extra name the doctor too, and pass all of its arguments on."""
    from typer.testing import CliRunner

    from sentry_langchain_stream.cli import app as command_line

    assert "doctor" in CliRunner().invoke(command_line, ["--help"]).output
    assert "--strict" in CliRunner().invoke(command_line, ["doctor", "--help"]).output
    assert CliRunner().invoke(command_line, ["doctor", "--app", "nowhere"]).exit_code == 2


OF_OTHERS = "ignore:'asyncio.iscoroutinefunction' is deprecated:DeprecationWarning"
"""A warning of Python 3.14 about other packages."""


def as_process(*arguments: str, without: tuple[str, ...] = (), **environ: str) -> subprocess.CompletedProcess[str]:
    """`python -m sentry_langchain_stream doctor`, with warnings as errors, and some packages missing."""
    program = (
        f"import runpy, sys; sys.modules.update(dict.fromkeys({without!r})); sys.argv[0] = 'doctor';"
        "runpy.run_module('sentry_langchain_stream', run_name='__main__')"
    )
    kept = {name: value for name, value in lean_environment().items() if name not in VARIABLES}
    return subprocess.run(
        [sys.executable, "-W", "error", "-W", OF_OTHERS, "-c", program, "doctor", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG,
        env={**kept, **environ},
    )


def test_the_process_needs_no_extra_and_no_network(write: Any) -> None:
    """With the runtime dependencies alone, and LangSmith's tracer on, a healthy set-up passes; nobody is called."""
    with playing_sentry() as elsewhere:
        write("shop", PLAIN.format(dsn=elsewhere.dsn))
        result = as_process(
            "--app",
            "shop:setup",
            without=("typer", "rich", "fastapi", "httpx_sse", "sse_starlette", "sentry_conventions", "sentry_relay"),
            LANGSMITH_TRACING="true",
            LANGSMITH_ENDPOINT=elsewhere.url,
            LANGSMITH_API_KEY="x",
        )
        assert elsewhere.paths == []
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 failed" in result.stdout
    assert "LangSmith's tracer is on too" in result.stdout


def test_the_process_tells_by_its_exit_code(write: Any) -> None:
    """1 is a check that failed, here because tracing is off; 2 a usage error."""
    write("shop", UNTRACED.format(dsn=NOWHERE))
    failed = as_process("--json", "--app", "shop")
    assert failed.returncode == 1, failed.stderr
    assert "sampling" in [finding["name"] for finding in json.loads(failed.stdout) if finding["level"] == "fail"]
    wrong = as_process("--app", "nowhere")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "Traceback" not in wrong.stderr


@pytest.mark.parametrize("options", [[], ["--json"]])
@needs("boto3")
def test_a_reader_that_leaves_is_no_failure(write: Any, monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    """Whoever reads only the first lines, as `head` does, breaks the pipe: nothing is raised for Sentry to report."""
    write("shop", HEALTHY.format(dsn=""))
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        assert main(["--app", "shop:setup", *options]) == 1


def test_packages_are_looked_up() -> None:
    """The version of a distribution is the one that is installed."""
    assert installed("sentry-sdk") == sentry_sdk.VERSION
    assert installed("no-such-distribution") is None
