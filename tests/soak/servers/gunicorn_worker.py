"""The worker of docs/recipes.md: it cancels what is open before gunicorn kills it."""

from typing import Any

from uvicorn.workers import UvicornWorker

KWARGS: dict[str, Any] = {**UvicornWorker.CONFIG_KWARGS, "timeout_graceful_shutdown": 1}


class Worker(UvicornWorker):
    CONFIG_KWARGS = KWARGS
