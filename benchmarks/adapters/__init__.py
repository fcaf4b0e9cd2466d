"""One file per contestant, each with `setup(sink, variant)`; what it needs is installed where it runs, not here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Sink:
    """Swallows what a contestant would send over the network. While it is `watched` it notes what that is."""

    watched: bool = False
    models: list[str] = field(default_factory=list)
    """The model name of each model span."""
    text: list[str] = field(default_factory=list)
    """All that would be sent, as text, in which to look for prompts."""
    shape: list[tuple[str, int]] = field(default_factory=list)
    """Op and number of attributes of each span that is Sentry's."""
    address: str | None = None
    """Where to send to instead: the address of an HTTP server on this machine, `http://127.0.0.1:1234`."""

    def note(self, model: Any, said: object) -> None:
        """One span has arrived; `model` is the model's name if it is a model span, else `None`."""
        if model is not None:
            self.models.append(str(model))
        self.text.append(str(said))

    def clear(self) -> None:
        """Forget what has been noted."""
        self.models.clear()
        self.text.clear()
        self.shape.clear()


@dataclass(frozen=True, slots=True)
class Adapter:
    """A contestant that has been set up as its documentation advises for production, with a sink at its end.

    Args:
        callbacks: The handlers to pass to LangChain; none if it instruments LangChain globally.
        request: Opens what stands for a web request around calls.
        flush: Sends what is waiting, to the sink.
        live: How many runs it believes to be live, if it can tell.
        asgi: Wraps an ASGI application, as its documentation says; if there is no such thing, each request is inside of
            what `request` opens.
    """

    callbacks: list[Any] = field(default_factory=list)
    request: Callable[[], AbstractContextManager[Any]] = nullcontext
    flush: Callable[[], object] = lambda: None
    live: Callable[[], int | None] = lambda: None
    asgi: Callable[[Any], Any] | None = None
