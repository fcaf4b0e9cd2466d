"""The API that answers: OpenAI's if there is a key, else an endpoint on this machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

from .endpoint import Answer, create_endpoint
from .serve import serving


@contextmanager
def openai_or(answer: Answer) -> Iterator[bool]:
    """Let OpenAI's clients that are made in the block find an API, whether there is a key or not.

    Args:
        answer: What the endpoint on this machine answers, to any question.

    Yields:
        Whether the endpoint stands in, because the environment has no `OPENAI_API_KEY`.
    """
    # The OpenAI client starts `uname -p` for its first request; that belongs to no request of a running service.
    platform.processor()
    if os.environ.get("OPENAI_API_KEY"):
        yield False
        return
    with serving(create_endpoint(answer)) as url:
        # Clients that heed a proxy in the environment could not reach this machine's loopback through it.
        unproxied = ",".join(filter(None, (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), "127.0.0.1")))
        base = f"{url}/v1"  # LangChain knows it by an older name too, which would win
        with _environment(OPENAI_API_KEY="not-needed", OPENAI_BASE_URL=base, OPENAI_API_BASE=base, no_proxy=unproxied):
            yield True


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set variables for the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
