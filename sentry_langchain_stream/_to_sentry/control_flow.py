"""Exceptions by which code controls a framework, and which the framework does not report: "404" is no failure."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from .._content.reading import field
from .._runtime import tracebacks

_ALWAYS: Mapping[str, frozenset[str]] = {
    "arq": frozenset({"JobExecutionFailed", "Retry", "RetryJob"}),
    "celery": frozenset({"Ignore", "Reject", "Retry"}),
    "chalice": frozenset({"ChaliceViewError"}),
    "django": frozenset({"BadRequest", "Http404", "MultiPartParserError", "PermissionDenied", "SuspiciousOperation"}),
    "dramatiq": frozenset({"Retry"}),
    "falcon": frozenset({"HTTPStatus"}),
    "fastapi": frozenset({"RequestValidationError", "WebSocketRequestValidationError"}),
    "grpc": frozenset({"AbortError"}),
    "huey": frozenset({"CancelExecution", "RetryTask", "TaskLockedException"}),
    "ninja": frozenset({"AuthenticationError", "HttpError", "ValidationError"}),
    "pyramid": frozenset({"HTTPException"}),
    "rest_framework": frozenset({"APIException"}),
    "starlette": frozenset({"WebSocketException"}),
    "tornado": frozenset({"Finish", "HTTPError"}),
    "trytond": frozenset({"TrytonException"}),
    "werkzeug": frozenset({"HTTPException"}),
}
"""The classes that neither the framework nor Sentry's integration of it reports (sentry-sdk 2.44 to 2.75), by package.
werkzeug's are Flask's and Quart's."""

_BY_STATUS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "aiohttp": ("HTTPException", "status", ("aiohttp",)),
    "bottle": ("HTTPResponse", "status_code", ("bottle",)),
    "falcon": ("HTTPError", "status", ("falcon",)),
    "litestar": ("HTTPException", "status_code", ("litestar",)),
    "starlette": ("HTTPException", "status_code", ("starlette", "fastapi")),
}
"""The classes that an integration reports if the status is one of its `failed_request_status_codes`: class, attribute,
and the integrations, by package."""

_SERVER_ERRORS = range(500, 600)


def is_answer(error: BaseException, client: Any) -> bool:
    """Whether a web framework answers with this exception, or whether it controls what a task queue does with the task.

    Args:
        error: The exception.
        client: The client, whose integrations know which statuses are failures.
    """
    for cls in type(error).__mro__:
        package, name = cls.__module__.partition(".")[0], cls.__name__
        if name in _ALWAYS.get(package, ()):
            return True
        if (package, name) == ("sanic", "SanicException"):
            return bool(field(type(error), "quiet"))  # Sentry's integration asks the class, too
        wanted, attribute, integrations = _BY_STATUS.get(package, ("", "", ()))
        if name == wanted:
            status = _status(error, attribute)
            return status is not None and not any(status in _failed(client, each) for each in integrations)
    return _is_abort(error)


def _status(error: BaseException, attribute: str) -> int | None:
    """The status of an answer. Falcon's may be a text: "404 Not Found"."""
    status = field(error, attribute)
    if isinstance(status, str) and status[:3].isdecimal():
        return int(status[:3])
    return status if isinstance(status, int) else None


def _is_abort(error: BaseException) -> bool:
    """Whether gRPC's `context.abort` has raised it: without asyncio a bare exception, which only its place tells."""
    raised = tracebacks.innermost(error) if type(error) is Exception else None
    if raised is None:
        return False
    module = str(raised.tb_frame.f_globals.get("__name__"))
    return module.partition(".")[0] == "grpc" and raised.tb_frame.f_code.co_name == "abort"


def _failed(client: Any, integration: str) -> Container[int]:
    """The statuses that an integration reports."""
    found = getattr(client, "integrations", {}).get(integration)
    for name in ("failed_request_status_codes", "_failed_request_status_codes"):  # the latter is aiohttp's
        codes = field(found, name)
        if isinstance(codes, Container):
            return codes
    return _SERVER_ERRORS
