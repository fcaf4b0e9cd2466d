"""Makes the issue of a run's failure, as plain data, from an exception that is not kept."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import sentry_sdk

from .._content.policy import Policy
from .._runtime import tracebacks
from . import control_flow, internals, private_events


def event(error: BaseException, client: Any, policy: Policy, task: Any) -> Any | None:
    """Return the issue: the exception with its callers' frames in front. `None` if it is none for this client.

    Args:
        error: The exception.
        client: The client that will send it.
        policy: What may be recorded.
        task: The task that the run started in, if there is one.
    """
    if (
        internals.event_from_exception is None
        or control_flow.is_answer(error, client)
        or _is_ignored(type(error), client.options)
    ):
        return None
    trace = tracebacks.with_callers(error.__traceback__, task)
    options = {**client.options, "add_full_stack": False}
    with sentry_sdk.new_scope() as scope:
        if policy.redact is not None or not (policy.inputs and policy.outputs):
            scope.set_client(_without_variables(client, options))
        made, _ = internals.event_from_exception(
            (type(error), error, trace),
            client_options=options,
            mechanism={"type": "langchain_stream", "handled": True},
        )
    tracebacks.forget_variables(trace)
    private_events.keep_private(made, error, policy)
    private_events.shorten(made, policy)
    made["timestamp"] = datetime.now(timezone.utc)
    return made


class _Options:
    """Stands in for a client whose options are asked for.

    Garbage collection may end streams meanwhile, and whatever runs then asks for more of the client: that it has.
    """

    def __init__(self, client: Any, options: dict[str, Any]) -> None:
        self._client = client
        self.options = options

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def _without_variables(client: Any, options: dict[str, Any]) -> Any:
    """Change the options so that no variable of a frame is read: the SDK would look at each, to no end.

    `data_collection` overrides `include_local_variables`, and is taken from the current client (sentry-sdk 2.70).
    """
    options["include_local_variables"] = False
    if isinstance(options.get("data_collection"), dict):
        options["data_collection"] = {**options["data_collection"], "stack_frame_variables": False}
    return _Options(client, options)


def _is_ignored(cls: type, options: Any) -> bool:
    """Whether the client ignores a class of exceptions. It asks the exception, which is gone when the issue is sent."""
    names = {cls.__qualname__, f"{cls.__module__}.{cls.__qualname__}"}
    ignored = options.get("ignore_errors") or ()
    return any(each in names if isinstance(each, str) else issubclass(cls, each) for each in ignored)
