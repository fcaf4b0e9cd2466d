"""Exceptions by which code controls a framework, and which the framework does not report: "404" is no failure."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from .._content.reading import field

_ALWAYS: Mapping[str, frozenset[str]] = {
    "arq": frozenset({"JobExecutionFailed", "Retry", "RetryJob"}),
    "celery": frozenset({"Ignore", "Reject", "Retry"}),
    "django": frozenset({"BadRequest", "Http404", "MultiPartParserError", "PermissionDenied", "SuspiciousOperation"}),
    "dramatiq": frozenset({"Retry"}),
    "fastapi": frozenset({"RequestValidationError", "WebSocketRequestValidationError"}),
    "huey": frozenset({"CancelExecution", "RetryTask", "TaskLockedException"}),
    "rest_framework": frozenset({"APIException"}),
    "tornado": frozenset({"Finish", "HTTPError"}),
    "werkzeug": frozenset({"HTTPException"}),
}
"""The classes that neither the framework nor Sentry's integration of it reports (sentry-sdk 2.44 to 2.75), by package.
werkzeug's are Flask's and Quart's."""

_BY_STATUS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "aiohttp": ("HTTPException", "status", ("aiohttp",)),
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
        wanted, attribute, integrations = _BY_STATUS.get(package, ("", "", ()))
        if name == wanted:
            status = field(error, attribute)
            return isinstance(status, int) and not any(status in _failed(client, each) for each in integrations)
    return False


def _failed(client: Any, integration: str) -> Container[int]:
    """The statuses that an integration reports."""
    found = getattr(client, "integrations", {}).get(integration)
    for name in ("failed_request_status_codes", "_failed_request_status_codes"):  # the latter is aiohttp's
        codes = field(found, name)
        if isinstance(codes, Container):
            return codes
    return _SERVER_ERRORS
