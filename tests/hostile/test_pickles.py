"""A handler in another process: what of a subclass is pickled."""

from __future__ import annotations

import pickle
import threading
from typing import Any

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._to_sentry import asking
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import ScriptedModel, content_allowed


class Tenant(SentryStreamHandler):
    """A handler with a constructor of its own, and with state."""

    def __init__(self, tenant: str, plan: str) -> None:
        self.tenant = tenant
        super().__init__(f"{tenant}-bot", metrics=True)
        self.plans = [plan]


class Locked(SentryStreamHandler):
    """A handler with an attribute that cannot be pickled."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.lock = threading.Lock()
        self.seen = 3

    def __getstate__(self) -> Any:
        state = super().__getstate__()
        del state["lock"]
        return state

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.lock = threading.Lock()


def again(handler: Any) -> Any:
    """The handler in another process."""
    return pickle.loads(pickle.dumps(handler))


def test_a_subclass_with_its_own_constructor() -> None:
    """The settings and the subclass's attributes arrive, and its constructor is not called."""
    made = again(again(Tenant("acme", "free")))
    assert (made.tenant, made.plans) == ("acme", ["free"])
    assert isinstance(made, Tenant)
    with capture_spans() as captured:
        ScriptedModel().invoke("Hi", {"callbacks": [made]})
    assert captured.find(op="gen_ai.chat").attributes["pipeline_name"] == "acme-bot"


def test_a_subclass_chooses_its_state() -> None:
    """`__getstate__` and `__setstate__` work as in any class."""
    made = again(Locked(pipeline_name="bot"))
    assert made.seen == 3
    assert not made.lock.locked()


def shout(text: str) -> str:
    """A `redact` that can be pickled."""
    return text.upper()


def test_functions_are_pickled_as_they_are() -> None:
    """`redact` arrives, and nothing of a plain handler but its settings is in the pickle."""
    handler = SentryStreamHandler(redact=shout)
    for each in (handler, again(handler)):
        settings, own = each.__reduce__()[2]
        assert settings["redact"] is shout
        assert not own


class Scrubbing(SentryStreamHandler):
    """A handler whose `redact` is its own method."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        super().__init__("bot", redact=self.scrub)

    def scrub(self, text: str) -> str:
        return text.replace(self.secret, "[gone]")


def test_a_subclass_whose_redact_is_its_own_method() -> None:
    """The method arrives bound to the handler that arrives."""
    made = again(again(Scrubbing("ada")))
    with capture_spans(**content_allowed(True)) as captured:
        ScriptedModel().invoke("ada asks", {"callbacks": [made]})
    assert "[gone] asks" in captured.find(op="gen_ai.chat").attributes["gen_ai.input.messages"]
    assert asking.plain(made._settings.redact).__self__ is made
