"""Runs the service so that its page can show the spans, and answers itself where there is no key for OpenAI.

`python -m examples.fastapi_sse`, or `make example`.
"""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from typing import Any

import uvicorn
from sentry_sdk.consts import DEFAULT_OPTIONS

from examples.fastapi_sse.app import create_app
from examples.fastapi_sse.watch import watched
from sentry_langchain_stream.demo.api import openai_or
from sentry_langchain_stream.demo.capture import recording
from sentry_langchain_stream.demo.endpoint import Answer
from sentry_langchain_stream.demo.serve import listening

ANSWER = Answer(
    "You are reading this while it is being written, and Sentry's span is open for just as long: from the request to "
    "the model until the last of these words. Close it any earlier and it has no tokens to tell of, because the "
    "provider counts them at the very end. Ask again, and press Stop half-way. The span then ends where you left, says "
    "that nobody waited for the rest, and keeps what had arrived. It raises no alert: a reader who leaves is no error.",
    prompt_tokens=27,
    completion_tokens=104,
    cached_tokens=8,
    pause=0.06,
)
"""What is answered to any question where there is no key."""


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def main() -> None:
    """Serve on 127.0.0.1 until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m examples.fastapi_sse", description="A page that streams answers.")
    parser.add_argument("--port", type=_port, default=8000, help="0 for any that is free; 8000 by default")
    parser.add_argument("--content", action="store_true", help="record what is asked and answered on the spans")
    arguments = parser.parse_args()
    dsn = os.environ.get("SENTRY_DSN") or None
    with (
        recording(dsn, **content_options() if arguments.content else {}) as delivery,
        openai_or(ANSWER) as ours,
        listening(arguments.port) as listener,
        suppress(KeyboardInterrupt),  # uvicorn stops in order, then raises it again
    ):
        app = watched(create_app(), delivery.captured)
        print(f"Open http://127.0.0.1:{listener.getsockname()[1]} in a browser; Ctrl+C ends it.")
        print("The answer comes from this machine: there is no OPENAI_API_KEY." if ours else "OpenAI answers.")
        sent = f"sent to {delivery.sent_to}" if delivery.sent_to else "sent nowhere: there is no SENTRY_DSN"
        print(f"Spans are shown on the page, and {sent}.", flush=True)
        config = uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=2)
        uvicorn.Server(config).run(sockets=[listener])


def content_options() -> dict[str, Any]:
    """Return options of `sentry_sdk.init` with which questions and answers are recorded, see `docs/privacy.md`."""
    if "data_collection" not in DEFAULT_OPTIONS:  # sentry-sdk before 2.70, in which this allows client IPs too
        return {"send_default_pii": True}
    # Every category that is left out is collected, so the others are switched off here.
    collected = {
        "gen_ai": {"inputs": True, "outputs": True},
        "user_info": False,
        "cookies": {"mode": "off"},
        "http_headers": {"request": {"mode": "off"}},
        "http_bodies": [],
        "url_query_params": {"mode": "off"},
        "graphql": {"document": False, "variables": False},
        "database_query_data": False,
        "queues": False,
        "stack_frame_variables": False,
    }
    return {"data_collection": collected}


if __name__ == "__main__":
    main()
