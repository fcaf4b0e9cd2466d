"""`user_key`: the user's id from a run's metadata, where `set_user` was not called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import sentry_sdk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from sentry_langchain_stream import SentryStreamHandler, SentryStreamIntegration
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way

CANARY = "canary77ab"
ID = UUID("0f2c1d3e-8b4a-4d6f-9a51-7c3e5b2d1f60")


def chain() -> Any:
    """A chain around a model."""
    return ChatPromptTemplate.from_template("{question}") | ScriptedModel() | StrOutputParser()


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_the_user_of_the_metadata_is_on_every_span(shape: str, way: Way) -> None:
    """With the key chosen, pipeline and model have the user, also where content is off."""
    config: dict[str, Any] = {"metadata": {"user_id": CANARY}}
    for app in (chain(), ScriptedModel()):
        asked: Any = "Hi" if isinstance(app, ScriptedModel) else {"question": "Hi"}
        with capture_spans(**WIRE_SHAPES[shape]) as captured:
            await way.run(app, asked, {**config, "callbacks": [SentryStreamHandler(user_key="user_id")]})
        assert len(captured.spans) == 2
        assert [span.attributes.get("user.id") for span in captured.spans] == [CANARY, CANARY]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_set_user_wins(shape: str, way: Way) -> None:
    """Where the application has set a user in Sentry, the metadata's leaves nothing."""
    handler = SentryStreamHandler(user_key="user_id")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        sentry_sdk.set_user({"id": "7"})
        await way.run(chain(), {"question": "Hi"}, {"callbacks": [handler], "metadata": {"user_id": CANARY}})
    assert len(captured.spans) == 2
    assert CANARY.encode() not in b"".join(captured.envelopes)


@pytest.fixture
def everywhere() -> Iterator[sentry_sdk.Scope]:
    """The global scope, which has no user afterwards."""
    scope = sentry_sdk.get_global_scope()
    yield scope
    scope.set_user(None)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_user_of_the_whole_process_wins(shape: str, everywhere: sentry_sdk.Scope) -> None:
    """A user that the application has set on the global scope is one that it has set, too."""
    handler = SentryStreamHandler(user_key="user_id")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        everywhere.set_user({"id": "7"})
        chain().invoke({"question": "Hi"}, {"callbacks": [handler], "metadata": {"user_id": CANARY}})
    assert len(captured.spans) == 2
    assert CANARY.encode() not in b"".join(captured.envelopes)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_without_a_key_no_user_leaves(shape: str) -> None:
    """An id in the metadata stays in the process unless its key was chosen."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        config: Any = {"callbacks": [SentryStreamHandler()], "metadata": {"user_id": CANARY}}
        chain().invoke({"question": "Hi"}, config)
    assert len(captured.spans) == 2
    assert CANARY.encode() not in b"".join(captured.envelopes)


VALUES: list[tuple[dict[str, Any], dict[str, Any], str | None]] = [
    ({"user_id": 42}, {}, "42"),
    ({"user_id": ID}, {}, str(ID)),
    ({"user_id": "x" * 500}, {}, "x" * 197 + "..."),
    ({"user_id": ""}, {}, None),
    ({"user_id": True}, {}, None),
    ({"user_id": {"id": CANARY}}, {}, None),
    ({"tenant": CANARY}, {}, None),
    ({"user_id": f"a {CANARY}"}, {"redact": lambda text: text.replace(CANARY, "[hidden]")}, "a [hidden]"),
    ({"user_id": CANARY}, {"redact": lambda text: text[99]}, None),
]


def test_what_is_an_id(caplog: pytest.LogCaptureFixture, lenient: None) -> None:
    """A text, a number or a UUID is one, cut and redacted; anything else is left out."""
    for metadata, settings, expected in VALUES:
        handler = SentryStreamHandler(user_key="user_id", **settings)
        with capture_spans() as captured:
            chain().invoke({"question": "Hi"}, {"callbacks": [handler], "metadata": metadata})
        assert {span.attributes.get("user.id") for span in captured.spans} == {expected}
        if expected is None or CANARY not in expected:
            assert CANARY.encode() not in b"".join(captured.envelopes)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_from_configurable_the_integration_and_the_environment(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`configurable` counts as metadata, and the integration has the setting, also by the environment."""
    monkeypatch.setenv("SENTRY_LANGCHAIN_USER_KEY", "user_id")
    with capture_spans(integrations=[SentryStreamIntegration(providers=False)], **WIRE_SHAPES[shape]) as captured:
        chain().invoke({"question": "Hi"}, {"configurable": {"user_id": "u-1"}})
    assert {span.attributes.get("user.id") for span in captured.spans} == {"u-1"}


def test_a_key_is_a_text() -> None:
    """A wrong key is refused where the handler is made."""
    wrong: Any
    for wrong, error in ((3, TypeError), ("", ValueError)):
        with pytest.raises(error, match="user_key must"):
            SentryStreamHandler(user_key=wrong)
    wrong = "language"
    with pytest.raises(TypeError, match="prompt_variables must be a collection of str"):
        SentryStreamHandler(prompt_variables=wrong)
