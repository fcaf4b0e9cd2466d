"""The task of a background worker: `celery -A tests.kit.apps.celery_worker worker`.

Its environment names a folder and the wire shape. The queue, the results and what is sent to Sentry are files in that
folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import Celery  # type: ignore[import-untyped, unused-ignore]
from langchain_core.runnables import RunnableLambda

from sentry_langchain_stream import SentryStreamHandler
from tests.kit.processes import send_to
from tests.kit.wire import ScriptedModel, fake_model

FOLDER, SHAPE = "NESTING_TEST_FOLDER", "NESTING_TEST_SHAPE"
"""The environment variables."""

SENT = "sent"
"""The file that Sentry's envelopes go to."""


def connect(folder: Path) -> Celery:
    """The queue in a folder, with its tasks: one answers, one fails and is retried once."""
    for name in ("queue", "control", "results"):
        (folder / name).mkdir(exist_ok=True)
    app = Celery("tests", broker="filesystem://", backend=f"file://{folder / 'results'}")
    app.conf.broker_transport_options = {
        "data_folder_in": str(folder / "queue"),
        "data_folder_out": str(folder / "queue"),
        "control_folder": str(folder / "control"),
        "polling_interval": 0.05,
    }
    app.conf.broker_connection_retry_on_startup = False
    handler = SentryStreamHandler(pipeline_name="worker")
    chain: Any = RunnableLambda(str) | fake_model("one two")

    @app.task(name="answer", shared=False)  # type: ignore[untyped-decorator, unused-ignore]
    def answer(question: str) -> str:
        return str(chain.invoke(question, {"callbacks": [handler]}).content)

    def refuse(_: int) -> None:
        raise ConnectionError("Connection refused")

    broken: Any = RunnableLambda(str) | ScriptedModel(before=refuse)
    retried = {"autoretry_for": (ConnectionError,), "default_retry_delay": 0, "max_retries": 1}

    @app.task(name="fail", shared=False, **retried)  # type: ignore[untyped-decorator, unused-ignore]
    def fail(question: str) -> str:
        return str(broken.invoke(question, {"callbacks": [handler]}).content)

    return app


if FOLDER in os.environ:
    import tests.kit.lean  # noqa: F401 -- before `sentry_sdk.init`

    send_to(Path(os.environ[FOLDER]) / SENT, os.environ[SHAPE])
    app = connect(Path(os.environ[FOLDER]))
