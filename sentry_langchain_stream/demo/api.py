"""Chooses the API that answers: OpenAI's if there is a key, otherwise an endpoint on this machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

from .endpoint import Answer, create_endpoint
from .serve import serving


@contextmanager
def openai_or(answer: Answer) -> Iterator[bool]:
    """Provide an API for OpenAI clients that are made in the block, with or without a key.

    Args:
        answer: The answer of the endpoint on this machine to every question.

    Yields:
        Whether the endpoint on this machine is used, because there is no `OPENAI_API_KEY` in the environment.
    """
    # The OpenAI client runs `uname -p` on its first request. Run it now, so that it makes no span in that request.
    platform.processor()
    if os.environ.get("OPENAI_API_KEY"):
        yield False
        return
    with serving(create_endpoint(answer)) as url:
        # Clients that use a proxy from the environment could not reach the loopback of this machine through it.
        unproxied = ",".join(filter(None, (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), "127.0.0.1")))
        base = f"{url}/v1"  # LangChain also reads an older name, which takes precedence
        with _environment(OPENAI_API_KEY="not-needed", OPENAI_BASE_URL=base, OPENAI_API_BASE=base, no_proxy=unproxied):
            yield True


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set environment variables for the block."""
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
