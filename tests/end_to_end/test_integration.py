"""`SentryStreamIntegration`: no callbacks to pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sentry_sdk
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from sentry_sdk.integrations.langchain import LangchainIntegration

from sentry_langchain_stream import SentryStreamHandler, SentryStreamIntegration
from sentry_langchain_stream.testing import capture_spans
from tests.kit.async_context import is_async, needs_async_context
from tests.kit.fresh import Fresh
from tests.kit.pairwise import in_pairs
from tests.kit.subjects import SUBJECTS, Subject
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way, fake_model


def models(captured: Any) -> list[Any]:
    """Every span that Sentry would take for a model call's."""
    return [span for span in captured.spans if span.op.startswith(("gen_ai.chat", "ai.chat_completions"))]


@in_pairs(subject=SUBJECTS, shape=WIRE_SHAPES, way=WAYS)
@needs_async_context(lambda subject, way: subject.name in ("agent", "tool") and is_async(way))
async def test_every_run_is_covered_once(subject: Subject, shape: str, way: Way) -> None:
    """Without any callbacks each model call has one span, ours, in the tree that a handler by hand would make."""
    trees = []
    for config, options in (
        ({}, {"integrations": [SentryStreamIntegration(pipeline_name="support-bot")]}),
        ({"callbacks": [SentryStreamHandler("support-bot")]}, {}),
    ):
        with capture_spans(**WIRE_SHAPES[shape], **options) as captured:
            await way.run(subject.make(ScriptedModel()), subject.question, config)
        assert len(models(captured)) == subject.calls
        assert {span.attributes["pipeline_name"] for span in models(captured)} == {"support-bot"}
        trees.append(captured.tree())
    assert trees[0] == trees[1]


async def test_a_handler_by_hand_wins() -> None:
    """A run with a handler of its own has that one's span and no other, also below a run without."""
    other = SentryStreamHandler("by hand")
    with capture_spans(integrations=[SentryStreamIntegration("everywhere")]) as captured:
        fake_model().invoke("Hi", config={"callbacks": [other]})
        chain: Any = RunnableLambda(lambda text: fake_model().invoke(text, config={"callbacks": [other]}))
        (chain | StrOutputParser()).invoke("Hi")
    assert [span.attributes["pipeline_name"] for span in models(captured)] == ["by hand", "by hand"]


def test_other_handlers_are_left_alone() -> None:
    """What else stands in the callbacks stays there, and the user's list is not changed."""

    class Own(BaseCallbackHandler):
        starts = 0

        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            Own.starts += 1

    callbacks: list[Any] = [Own()]
    with capture_spans(integrations=[SentryStreamIntegration()]) as captured:
        fake_model().invoke("Hi", config={"callbacks": callbacks})
    assert (Own.starts, len(callbacks), len(models(captured))) == (1, 1, 1)


def test_a_client_without_it_is_left_alone() -> None:
    """The patch stays, as Sentry's own do; without the integration Sentry's handler does what it did."""
    with capture_spans(integrations=[SentryStreamIntegration()]):
        pass
    with capture_spans() as captured, sentry_sdk.start_transaction(name="request"):
        fake_model().invoke("Hi")
    assert {span.origin for span in models(captured)} == {"auto.ai.langchain"}
    with capture_spans(disabled_integrations=[LangchainIntegration]) as captured:
        fake_model().invoke("Hi")
    assert captured.spans == []


def test_without_sentrys_own_integration() -> None:
    """It does not need LangchainIntegration, though that one keeps the providers' integrations off."""
    options: dict[str, Any] = {"disabled_integrations": [LangchainIntegration]}
    with capture_spans(integrations=[SentryStreamIntegration("bot")], **options) as captured:
        fake_model().invoke("Hi")
    assert captured.tree() == "function  bot\n  gen_ai.chat  chat"


ORDERS = {
    "ours with theirs": "sentry_sdk.init(integrations=[ours], **options)",
    "theirs first": "sentry_sdk.init(**options); sentry_sdk.init(integrations=[ours], **options)",
    "ours first": "sentry_sdk.init(integrations=[ours], auto_enabling_integrations=False, **options); "
    "sentry_sdk.init(integrations=[ours], **options)",
    "ours twice": "sentry_sdk.init(integrations=[ours], **options); sentry_sdk.init(integrations=[ours], **options)",
}


@pytest.mark.parametrize("order", ORDERS)
def test_whichever_wraps_outside(order: str, fresh: Fresh) -> None:
    """In a fresh process, in whatever order both set themselves up, a call has one model span, and it is ours."""
    script = f"""
import sentry_sdk
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from sentry_sdk.transport import Transport
from sentry_langchain_stream import SentryStreamIntegration

origins = []

class Keep(Transport):
    def capture_envelope(self, envelope):
        for item in envelope.items:
            if item.type == "transaction":
                origins.extend(span["origin"] for span in item.payload.json["spans"] if span["op"] == "gen_ai.chat")

ours = SentryStreamIntegration("bot")
options = dict(
    dsn="http://k@127.0.0.1:9/1", transport=Keep, traces_sample_rate=1.0, **{WIRE_SHAPES["transaction"]!r}
)
{ORDERS[order]}
FakeListChatModel(responses=["Yes."]).invoke("Hi")
sentry_sdk.flush()
print(origins)
"""
    done = fresh.run(script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['auto.ai.langchain_stream']"


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: SentryStreamIntegration(dialect=1), ValueError),  # type: ignore[arg-type]
        (lambda: SentryStreamIntegration(dialect="x"), ValueError),  # type: ignore[arg-type]
        (lambda: SentryStreamIntegration(unknown=True), TypeError),  # type: ignore[call-arg]
    ],
)
def test_it_takes_the_handlers_arguments(make: Callable[[], object], error: type[Exception]) -> None:
    """Arguments are those of the handler, checked where they are written."""
    with pytest.raises(error):
        make()
    assert SentryStreamIntegration(dialect="ai").handler.live_runs == 0
