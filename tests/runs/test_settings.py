"""What the user may set."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, get_args

import pytest

from sentry_langchain_stream._content.policy import Limits
from sentry_langchain_stream._runs.settings import Settings
from sentry_langchain_stream._vocabulary.keys import Dialect


def count(text: str) -> int:
    """A token counter."""
    return len(text)


def test_the_defaults() -> None:
    """Nothing needs to be set, and what is not set is as documented."""
    assert dataclasses.asdict(Settings()) == {
        "pipeline_name": None,
        "dialect": "gen_ai",
        "include_prompts": True,
        "redact": None,
        "token_counter": None,
        "capture_errors": True,
        "max_live_runs": 50_000,
        "max_idle_seconds": 3_600.0,
        "cost": False,
        "metrics": False,
        "chains": False,
        "nesting": True,
        "memory": False,
        "checkpoints": False,
        "metadata_keys": (),
        "user_key": None,
        "prompt_variables": (),
        "limits": None,
    }


@pytest.mark.parametrize(
    "given",
    [
        {"pipeline_name": "support-bot"},
        {"pipeline_name": " a b "},
        *({"dialect": dialect} for dialect in get_args(Dialect)),
        {"include_prompts": False},
        {"redact": str.upper},
        {"token_counter": count},
        {"capture_errors": False},
        {"cost": True},
        {"metrics": True},
        {"chains": True},
        {"nesting": False},
        {"metadata_keys": ["plan"]},
        {"metadata_keys": {"plan": "a key of a mapping"}.keys()},
        {"metadata_keys": frozenset()},
        {"limits": Limits()},
        {"max_live_runs": 1},
        {"max_idle_seconds": 1},
        {"max_idle_seconds": 0.001},
        {"max_idle_seconds": math.inf},
    ],
    ids=" ".join,
)
def test_what_is_allowed_is_kept_as_given(given: dict[str, Any]) -> None:
    """A valid argument is stored unchanged."""
    settings = Settings(**given).as_arguments()
    assert {name: settings[name] for name in given} == given


def test_the_dialects() -> None:
    """There are two dialects."""
    assert set(get_args(Dialect)) == {"gen_ai", "ai"}


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"pipeline_name": 3}, TypeError, "pipeline_name must be a str or None, not int"),
        ({"pipeline_name": b"x"}, TypeError, "pipeline_name must be a str or None, not bytes"),
        ({"pipeline_name": ""}, ValueError, "pipeline_name must not be empty"),
        ({"pipeline_name": " \n"}, ValueError, "pipeline_name must not be empty"),
        ({"dialect": "otel"}, ValueError, "dialect must be 'gen_ai' or 'ai', not 'otel'"),
        ({"dialect": None}, ValueError, "dialect must be 'gen_ai' or 'ai', not None"),
        ({"dialect": ["ai"]}, ValueError, "dialect must be 'gen_ai' or 'ai'"),
        ({"include_prompts": 1}, TypeError, "include_prompts must be True or False, not int"),
        ({"include_prompts": None}, TypeError, "include_prompts must be True or False, not NoneType"),
        ({"capture_errors": "no"}, TypeError, "capture_errors must be True or False, not str"),
        ({"cost": 1}, TypeError, "cost must be True or False, not int"),
        ({"metrics": None}, TypeError, "metrics must be True or False, not NoneType"),
        ({"chains": 1}, TypeError, "chains must be True or False, not int"),
        ({"nesting": None}, TypeError, "nesting must be True or False, not NoneType"),
        ({"limits": 20_000}, TypeError, "limits must be a Limits or None, not int"),
        ({"metadata_keys": "plan"}, TypeError, "metadata_keys must be a collection of str, not 'plan'"),
        ({"metadata_keys": None}, TypeError, "metadata_keys must be a collection of str, not None"),
        ({"metadata_keys": ["plan", 3]}, TypeError, "metadata_keys must be a collection of str, not ['plan', 3]"),
        pytest.param(
            {"metadata_keys": iter(["plan"])},
            TypeError,
            "metadata_keys must be a collection of str, not <",
            id="an iterator",
        ),
        ({"metadata_keys": ["plan", " "]}, ValueError, "metadata_keys must not have an empty name"),
        ({"prompt_variables": [""]}, ValueError, "prompt_variables must not have an empty name"),
        ({"user_key": " "}, ValueError, "user_key must not be empty"),
        ({"redact": "***"}, TypeError, "redact must be a callable that takes a str, or None, not str"),
        ({"max_live_runs": True}, TypeError, "max_live_runs must be an int, not bool"),
        ({"max_live_runs": 1.0}, TypeError, "max_live_runs must be an int, not float"),
        ({"max_live_runs": 0}, ValueError, "max_live_runs must be at least 1, not 0"),
        ({"max_idle_seconds": True}, TypeError, "max_idle_seconds must be a number of seconds, not bool"),
        ({"max_idle_seconds": "1"}, TypeError, "max_idle_seconds must be a number of seconds, not str"),
        ({"max_idle_seconds": 0}, ValueError, "max_idle_seconds must be above 0, not 0"),
        ({"max_idle_seconds": math.nan}, ValueError, "max_idle_seconds must be above 0, not nan"),
        ({"token_counter": 4}, TypeError, "token_counter must be a callable that takes a str, or None, not int"),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(given: dict[str, Any], error: type[Exception], message: str) -> None:
    """An invalid argument raises at once, and the message names it, what is allowed and what was given."""
    with pytest.raises(error) as caught:
        Settings(**given)
    assert str(caught.value).startswith(message)


def test_settings_do_not_change() -> None:
    """Settings cannot be changed once they were checked."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().dialect = "ai"  # type: ignore[misc]
