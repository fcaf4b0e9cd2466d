"""Settings from the environment, for who operates an application without changing its code."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, get_args

from .._runtime.containment import warn_once
from .._vocabulary.keys import Dialect

PREFIX = "SENTRY_LANGCHAIN_"
"""What the name of each variable begins with. The rest is the argument's name in capitals."""

_WORDS: Mapping[str, bool] = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


def _truth(text: str) -> bool:
    try:
        return _WORDS[text.lower()]
    except KeyError:
        raise ValueError(f"must be one of {', '.join(_WORDS)}, not {text!r}") from None


def _number(kind: type) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            found = kind(text)
        except ValueError:
            raise ValueError(f"must be a number, not {text!r}") from None
        if not found > 0:  # which NaN is not, either
            raise ValueError(f"must be positive, not {text!r}")
        return found

    return read


def _dialect(text: str) -> str:
    if text not in get_args(Dialect):
        raise ValueError(f"must be one of {', '.join(get_args(Dialect))}, not {text!r}")
    return text


def _names(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())


READERS: Mapping[str, Callable[[str], Any]] = {
    "pipeline_name": str,
    "dialect": _dialect,
    "include_prompts": _truth,
    "capture_errors": _truth,
    "max_live_runs": _number(int),
    "max_idle_seconds": _number(float),
    "cost": _truth,
    "metrics": _truth,
    "chains": _truth,
    "nesting": _truth,
    "memory": _truth,
    "checkpoints": _truth,
    "metadata_keys": _names,
    "user_key": str,
    "prompt_variables": _names,
}
"""The arguments that may come from the environment, and what reads them. The others are functions or objects."""


def with_environment(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return these arguments, completed with those in the environment. An argument that is given wins.

    Args:
        given: The arguments that were passed, by name.

    Raises:
        ValueError: A variable cannot be read. The message names it, and what is allowed.
    """
    present = [each for each in os.environ if each.startswith(PREFIX)]
    if not present:
        return {**given}
    for each in present:
        if each[len(PREFIX) :].lower() not in READERS:
            known = ", ".join(PREFIX + name.upper() for name in READERS)
            warn_once(each, "The variable %s is no setting, so it changes nothing. There are %s.", each, known)
    found: dict[str, Any] = {}
    for name, read in READERS.items():
        text = os.environ.get(f"{PREFIX}{name.upper()}", "").strip()
        if text and name not in given:
            try:
                found[name] = read(text)
            except ValueError as error:
                raise ValueError(f"{PREFIX}{name.upper()} {error}") from None
    return {**found, **given}
