"""Sentry's span models behind one protocol, and what stands for them where there are no spans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeVar

import sentry_sdk
from sentry_sdk.scope import Scope

from .._vocabulary.keys import AttributeValue
from . import joining

Status = Literal["ok", "cancelled", "internal_error"]

Attributes = Mapping[str, AttributeValue]
Facts = Mapping[str, Any]
NO_FACTS: Mapping[str, Any] = MappingProxyType({})


class AnySpan(Protocol):
    """A span of either model. Code outside of its backend uses only its ids."""

    @property
    def trace_id(self) -> str: ...
    @property
    def span_id(self) -> str: ...


S = TypeVar("S")


class SpanBackend(Protocol[S]):
    """One of Sentry's span models. Its methods never make a span the current one."""

    queues: bool
    """Whether finished spans are queued for sending, rather than collected in their transaction."""

    def current(self, scope: Scope) -> S | None:
        """Return the active span as a parent for a run, or `None` if there is none or it would not be sent.

        Args:
            scope: The current scope.
        """

    def start(
        self,
        parent: S | None,
        *,
        op: str,
        name: str,
        attributes: Attributes = ...,
        sampling: Facts = ...,
        trace: joining.Joined | None = ...,
    ) -> S:
        """Start a child of `parent`. Without a parent, start a root.

        Args:
            parent: The parent.
            op: The span op.
            name: The span's name.
            attributes: What is known by now. A `traces_sampler` gets the attributes of a root, and `ignore_spans` those
                of every streamed span.
            sampling: What else a `traces_sampler` gets of a root, by key. None of it is sent.
            trace: The trace that a root joins, if it is not the current one.
        """

    def recording(self, span: S) -> bool:
        """Whether this span will be sent. It is not if its root is not sampled."""

    def rename(self, span: S, *, op: str, name: str) -> None:
        """Change the op and the name of an open span, because more is now known about its run."""

    def forget(self, span: S, keys: Iterable[str]) -> None:
        """Take the values of these attributes from an open span."""

    def is_late(self, span: S) -> bool:
        """Whether this span, which has not ended, would have to be in a transaction that has."""

    def finish(self, span: S, attributes: dict[str, AttributeValue], status: Status, *, is_late: bool = False) -> None:
        """Set the attributes and the status, and end the span now, even if setting them fails.

        Args:
            span: The span.
            attributes: Its attributes.
            status: Its status.
            is_late: Whether its transaction is about to end in another thread, if it has not ended.
        """

    def outside(self) -> AnySpan | None:
        """Return what the issues of a root that starts now are linked to where its runs have no spans."""

    def link(self, scope: Scope, span: S) -> None:
        """Link events that are captured with this scope to this span."""


class NoSpans:
    """Tracing is off, or not Sentry's: runs are followed only for their errors and metrics."""

    queues = False

    def current(self, scope: Scope) -> None:
        return None

    def start(
        self,
        parent: None,
        *,
        op: str,
        name: str,
        attributes: Attributes = NO_FACTS,
        sampling: Facts = NO_FACTS,
        trace: joining.Joined | None = None,
    ) -> None:
        return None

    def recording(self, span: None) -> bool:
        return False

    def rename(self, span: None, *, op: str, name: str) -> None:
        return None

    def forget(self, span: None, keys: Iterable[str]) -> None:
        return None

    def is_late(self, span: None) -> bool:
        return False

    def finish(
        self, span: None, attributes: dict[str, AttributeValue], status: Status, *, is_late: bool = False
    ) -> None:
        return None

    def outside(self) -> joining.OtherSpan | None:
        return joining.other_span(joining.propagation_context(sentry_sdk.get_current_scope()))

    def link(self, scope: Scope, span: AnySpan) -> None:
        """Link events to a span of OpenTelemetry, also where the SDK would not, or no longer finds it."""
        scope.set_context("trace", {"trace_id": span.trace_id, "span_id": span.span_id})


def with_ids(span: S) -> S:
    """The same span, whose ids are made up now.

    Workaround: the SDK makes them up when they are first asked for, and twice if two threads ask at once (sentry-sdk
    2.44 to 2.75). Can go when it makes them with the span.
    """
    made: Any = span
    _ = made.trace_id, made.span_id
    return span
