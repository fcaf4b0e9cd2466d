"""The settings of a handler, checked once when the handler is made."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, fields, replace
from typing import Any, TypedDict, get_args

from .._content.policy import Limits
from .._runtime.arguments import check_callable, check_optional_text
from .._to_sentry.asking import guarded, plain
from .._vocabulary.keys import Dialect


class HandlerOptions(TypedDict, total=False):
    """The keyword arguments of `SentryStreamHandler`, for type checkers of what passes them on."""

    dialect: Dialect
    include_prompts: bool
    redact: Callable[[str], str] | None
    token_counter: Callable[[str], float] | None
    capture_errors: bool
    max_live_runs: int
    max_idle_seconds: float
    cost: bool
    metrics: bool
    chains: bool
    nesting: bool
    memory: bool
    checkpoints: bool
    metadata_keys: Collection[str]
    user_key: str | None
    prompt_variables: Collection[str]
    limits: Limits | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The constructor arguments of `SentryStreamHandler`, which documents them.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument has a value that is not allowed.
    """

    pipeline_name: str | None = None
    dialect: Dialect = "gen_ai"
    include_prompts: bool = True
    redact: Callable[[str], str] | None = None
    token_counter: Callable[[str], float] | None = None
    capture_errors: bool = True
    max_live_runs: int = 50_000
    max_idle_seconds: float = 3_600.0
    cost: bool = False
    metrics: bool = False
    chains: bool = False
    nesting: bool = True
    memory: bool = False
    checkpoints: bool = False
    metadata_keys: Collection[str] = ()
    user_key: str | None = None
    prompt_variables: Collection[str] = ()
    limits: Limits | None = None

    def as_arguments(self) -> dict[str, Any]:
        """Return the arguments that make a handler with these settings."""
        return {each.name: plain(getattr(self, each.name)) for each in fields(self)}

    def with_metadata_keys(self, keys: Collection[str]) -> Settings:
        """Return the same settings with these keys of metadata to record."""
        return replace(self, metadata_keys=keys)

    def __post_init__(self) -> None:
        check_optional_text("pipeline_name", self.pipeline_name)
        if self.pipeline_name is not None and not self.pipeline_name.strip():
            raise ValueError("pipeline_name must not be empty; leave it out to name the pipeline after the run")
        if self.dialect not in get_args(Dialect):
            allowed = " or ".join(repr(each) for each in get_args(Dialect))
            raise ValueError(f"dialect must be {allowed}, not {self.dialect!r}")
        for name in (
            "include_prompts",
            "capture_errors",
            "cost",
            "metrics",
            "chains",
            "nesting",
            "memory",
            "checkpoints",
        ):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, not {type(getattr(self, name)).__name__}")
        for name in ("redact", "token_counter"):
            value = getattr(self, name)
            check_callable(name, value)
            object.__setattr__(self, name, guarded(value))  # the class is frozen
        if isinstance(self.max_live_runs, bool) or not isinstance(self.max_live_runs, int):
            raise TypeError(f"max_live_runs must be an int, not {type(self.max_live_runs).__name__}")
        if self.max_live_runs < 1:
            raise ValueError(f"max_live_runs must be at least 1, not {self.max_live_runs}")
        if isinstance(self.max_idle_seconds, bool) or not isinstance(self.max_idle_seconds, (int, float)):
            raise TypeError(f"max_idle_seconds must be a number of seconds, not {type(self.max_idle_seconds).__name__}")
        if not self.max_idle_seconds > 0:
            raise ValueError(f"max_idle_seconds must be above 0, not {self.max_idle_seconds}")
        if self.limits is not None and not isinstance(self.limits, Limits):
            raise TypeError(f"limits must be a Limits or None, not {type(self.limits).__name__}")
        for name in ("metadata_keys", "prompt_variables"):
            given = getattr(self, name)
            if (
                isinstance(given, str)
                or not isinstance(given, Collection)
                or not all(isinstance(each, str) for each in given)
            ):
                raise TypeError(f"{name} must be a collection of str, not {given!r}")
            if not all(each.strip() for each in given):
                raise ValueError(f"{name} must not have an empty name, as in {given!r}")
        check_optional_text("user_key", self.user_key)
        if self.user_key is not None and not self.user_key.strip():
            raise ValueError("user_key must not be empty; leave it out to record no user")
