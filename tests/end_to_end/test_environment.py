"""Settings from the environment: for who operates an application."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from sentry_langchain_stream import SentryStreamHandler, SentryStreamIntegration, track_stream
from sentry_langchain_stream._runs.environment import PREFIX, READERS
from sentry_langchain_stream._runs.settings import Settings
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, content_allowed

EXAMPLES: dict[str, tuple[str, Any]] = {
    "pipeline_name": ("from outside", "from outside"),
    "dialect": ("ai", "ai"),
    "include_prompts": ("No", False),
    "capture_errors": ("0", False),
    "max_live_runs": ("7", 7),
    "max_idle_seconds": ("1.5", 1.5),
    "cost": ("true", True),
    "metrics": ("on", True),
    "chains": ("yes", True),
    "nesting": ("off", False),
    "memory": ("on", True),
    "checkpoints": ("yes", True),
    "metadata_keys": ("tenant, plan", ("tenant", "plan")),
    "user_key": ("user_id", "user_id"),
    "prompt_variables": ("topic, language", ("topic", "language")),
}
NEEDS = {"cost": "genai_prices", "memory": "langgraph", "checkpoints": "langgraph"}
"""The packages of an extra that a setting needs."""


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize("how", ["handler", "integration"])
def test_what_the_environment_says_is_on_the_span(how: str, shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline's name, the veto on content and the chosen metadata hold for a handler and for the integration."""
    monkeypatch.setenv(f"{PREFIX}PIPELINE_NAME", "from outside")
    monkeypatch.setenv(f"{PREFIX}INCLUDE_PROMPTS", "false")
    options: dict[str, Any] = {**WIRE_SHAPES[shape], **content_allowed(True)}
    if how == "integration":
        options["integrations"] = [SentryStreamIntegration(providers=False)]
    config: Any = {} if how == "integration" else {"callbacks": [SentryStreamHandler()]}
    with capture_spans(**options) as captured:
        ScriptedModel().invoke("Hi", config)
    span = captured.find(op="gen_ai.chat")
    assert span.attributes["pipeline_name"] == "from outside"
    assert "gen_ai.input.messages" not in span.attributes


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_variable_sets_its_argument_unless_that_is_given(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument wins, also if it is the default; without it the variable counts; pickled, the handler keeps both."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    text, value = EXAMPLES[name]
    monkeypatch.setenv(f"{PREFIX}{name.upper()}", text)
    assert getattr(SentryStreamHandler()._settings, name) == value
    default = getattr(Settings(), name)
    given: Any = {name: default}
    handler = SentryStreamHandler(**given)
    assert getattr(handler._settings, name) == default
    assert getattr(pickle.loads(pickle.dumps(handler))._settings, name) == default
    monkeypatch.setenv(f"{PREFIX}{name.upper()}", " ")
    assert getattr(SentryStreamHandler()._settings, name) == default


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("include_prompts", "maybe", "must be one of 1, true, yes, on, 0, false, no, off, not 'maybe'"),
        ("max_live_runs", "many", "must be a number, not 'many'"),
        ("dialect", "english", "DIALECT must be one of gen_ai, ai, not 'english'"),
        ("max_idle_seconds", "nan", "MAX_IDLE_SECONDS must be positive, not 'nan'"),
    ],
)
def test_what_cannot_be_read_is_refused(name: str, text: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable, and what is allowed."""
    monkeypatch.setenv(f"{PREFIX}{name.upper()}", text)
    with pytest.raises(ValueError, match=message):
        SentryStreamHandler()


def test_every_setting_that_a_text_can_say_has_a_variable() -> None:
    """What has none is a function or an object."""
    assert set(READERS) == set(EXAMPLES)
    assert set(Settings().as_arguments()) - set(READERS) == {"redact", "token_counter", "limits"}


def test_a_misspelt_variable_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It may be one that was to keep content back."""
    monkeypatch.setenv("SENTRY_LANGCHAIN_INCLUDE_PROMPT", "false")
    SentryStreamHandler()
    SentryStreamHandler()
    (record,) = [each for each in caplog.records if "SENTRY_LANGCHAIN_INCLUDE_PROMPT " in each.getMessage()]
    assert "SENTRY_LANGCHAIN_INCLUDE_PROMPTS" in record.getMessage()


def test_an_argument_of_track_stream_wins_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a tracked stream, the dialect and the content are those of the environment, unless they are given."""
    monkeypatch.setenv(f"{PREFIX}DIALECT", "ai")
    monkeypatch.setenv(f"{PREFIX}INCLUDE_PROMPTS", "false")
    with capture_spans(**content_allowed(True)) as captured:
        list(track_stream(iter(["one"]), model="m", prompt="Hi"))
        list(track_stream(iter(["one"]), model="m", prompt="Hi", dialect="gen_ai", include_prompts=True))
    (outside,) = captured.find_all(op="ai.chat_completions.create.langchain")
    assert "gen_ai.input.messages" not in outside.attributes
    assert "gen_ai.input.messages" in captured.find(op="gen_ai.chat").attributes
