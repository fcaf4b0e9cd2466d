"""The worker of docs/recipes.md: it cancels what is open before gunicorn kills it."""

from typing import Any, ClassVar

from uvicorn.workers import UvicornWorker


class Worker(UvicornWorker):
    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {**UvicornWorker.CONFIG_KWARGS, "timeout_graceful_shutdown": 1}
