"""The Celery worker of the soak: `celery -A tests.soak.servers.tasks worker`. Its queue is a folder."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from celery import Celery  # type: ignore[import-untyped, unused-ignore]

from . import books

OUT = "out"
"""Where tasks are written. Who has sent one moves it: a worker may otherwise read a file that is half written."""


def connect(folder: Path) -> Celery:
    """The queue in a folder."""
    for name in ("queue", OUT, "control", "results"):
        (folder / name).mkdir(exist_ok=True, parents=True)
    queue = Celery("soak", broker="filesystem://", backend=f"file://{folder / 'results'}")
    queue.conf.broker_transport_options = {
        "data_folder_in": str(folder / "queue"),
        "data_folder_out": str(folder / OUT),
        "control_folder": str(folder / "control"),
        "polling_interval": 0.02,
    }
    queue.conf.broker_connection_retry_on_startup = False
    queue.conf.worker_prefetch_multiplier = 1
    return queue


if books.BOOK in os.environ:  # in the worker's process
    from sentry_sdk.integrations.celery import CeleryIntegration

    from .calls import CONFIGS, chain

    books.init(CeleryIntegration())
    app = connect(Path(os.environ[books.BOOK]).parent)

    @app.task(name="answer", shared=False)  # type: ignore[untyped-decorator, unused-ignore]
    def answer(side: str, kind: str) -> dict[str, Any]:
        """Answer, as a whole or piece by piece; one that is slow says when it has begun."""
        if kind == "invoke":
            return {"text": str(chain("quick").invoke("Hi", CONFIGS[side]).content)}
        began = time.perf_counter()
        first = None
        text = ""
        for chunk in chain("failing" if kind == "failing" else "quick").stream("Hi", CONFIGS[side]):
            if first is None:
                first = time.perf_counter() - began
                if kind == "slow":
                    books.note("slow", side=side)
            if kind == "slow":
                time.sleep(0.1)  # with gevent others run meanwhile
            text += str(chunk.content)
        return {"text": text, "first": first}
