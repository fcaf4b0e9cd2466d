"""Nothing that may not be recorded leaves the process, and everything else does: told by words planted everywhere."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import sentry_sdk
from langchain_core.runnables import RunnableLambda
from sentry_sdk.envelope import Envelope

from sentry_langchain_stream import SentryStreamHandler, track_stream
from sentry_langchain_stream.demo.serve import serving
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit import HANG
from tests.kit.async_context import needs_async_context
from tests.kit.canary import SCENES, Canaries, Scene, refusing
from tests.kit.pairwise import in_pairs, pairwise, parameters
from tests.kit.wire import DEFAULT_SHAPE, WIRE_SHAPES, content_allowed

pytestmark = [
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
    pytest.mark.filterwarnings("ignore:The send_default_pii option is deprecated"),
    # A stream that is left in the middle leaves generators to the garbage collector, LangChain's own.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def content(inputs: bool, outputs: bool) -> dict[str, Any]:
    """The client's options that allow either direction, or not."""
    if inputs == outputs:
        return content_allowed(inputs)
    return {"data_collection": {"gen_ai": {"inputs": inputs, "outputs": outputs}}}


@dataclass(frozen=True)
class Capture:
    """What may be recorded.

    Args:
        client: The client's options.
        inputs: Whether inputs may be recorded.
        outputs: Whether outputs may be.
        settings: The handler's.
        redacts: Whether everything that is planted is redacted.
    """

    client: dict[str, Any]
    inputs: bool = False
    outputs: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    redacts: bool = False

    def allows(self, kind: str) -> bool:
        """Whether canaries of this kind may leave the process as they are."""
        if self.redacts:
            return False
        everything = self.inputs and self.outputs
        return {"in": self.inputs, "out": self.outputs, "frame": everything, "message": everything}[kind]


CAPTURES = {
    "off": Capture(content(False, False)),
    "default": Capture({}),
    "vetoed": Capture(content(True, True), settings={"include_prompts": False}),
    "inputs": Capture(content(True, False), inputs=True),
    "outputs": Capture(content(False, True), outputs=True),
    "all": Capture(content(True, True), inputs=True, outputs=True),
    "send_default_pii": Capture({"send_default_pii": True}, inputs=True, outputs=True),
    "redacted": Capture(content(True, True), inputs=True, outputs=True, redacts=True),
}

# Ways to say the same to the same policy; how what is kept is then sent, the others show for all wire shapes.
SPELLINGS = ("default", "send_default_pii")

SENT = [
    (capture, shape)
    for capture in CAPTURES
    for shape in WIRE_SHAPES
    if capture not in SPELLINGS or shape == DEFAULT_SHAPE
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server that refuses everything."""
    with serving(refusing()) as address:
        yield address


def sent(captured: Captured) -> bytes:
    """The raw bytes of all envelopes."""
    captured.client.flush(timeout=HANG)
    return b"".join(captured.envelopes)


def sent_without_messages(captured: Captured) -> bytes:
    """The same without what issues hold of exceptions, their messages and the variables of their frames."""
    found = b""
    for raw in captured.envelopes:
        envelope = Envelope.deserialize(raw)
        event = envelope.get_event()
        if event is None:
            found += raw
            continue
        for exception in event["exception"]["values"]:
            exception.pop("value", None)
            for frame in exception["stacktrace"]["frames"]:
                frame.pop("vars", None)
        found += json.dumps(event, default=str).encode()
    return found


def check(captured: Captured, canaries: Canaries, planted: Any, capture: Capture) -> None:
    """What was planted is found if, and only if, it may be; what was not planned is found nowhere."""
    everything, spans = sent(captured), sent_without_messages(captured)
    assert captured.spans, "nothing was recorded at all"
    for place, word in canaries.items():
        kinds = planted.get(place, {"in?", "out?", "frame?"} if capture.allows("frame") else set())
        demanded = any(capture.allows(kind) for kind in kinds if not kind.endswith("?"))
        allowed = demanded or any(capture.allows(kind.removesuffix("?")) for kind in kinds)
        found = word.encode() in everything
        assert found or not demanded, f"{place} is missing"
        assert allowed or not found, f"{place} leaks: {excerpt(everything, word)}"
        if "message" in kinds:
            assert word.encode() not in spans, f"{place} leaks outside of an issue: {excerpt(spans, word)}"
    if capture.redacts:
        assert b"[redacted]" in everything


def excerpt(raw: bytes, word: str) -> str:
    at = raw.index(word.encode())
    return raw[max(at - 200, 0) : at + 60].decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("scene", "way", "capture", "shape"),
    parameters(pairwise((scene, way, *sent) for scene in SCENES for way in scene.ways for sent in SENT)),
)
@needs_async_context(lambda scene: "agent" in scene.name or scene.name == "unreadable structure")
async def test_what_is_planted_leaves_if_it_may(scene: Scene, way: Any, capture: str, shape: str, url: str) -> None:
    """However a scene is run, the content of each direction is sent if, and only if, that direction is allowed."""
    chosen = CAPTURES[capture]
    canaries = Canaries(url)
    settings = {**chosen.settings, **({"redact": canaries.redact} if chosen.redacts else {})}
    with capture_spans(**WIRE_SHAPES[shape], **chosen.client, enable_logs=True) as captured:
        await scene.play(way, canaries, **settings)
    assert set(scene.planted) <= set(canaries)
    check(captured, canaries, scene.planted, chosen)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_variables_that_an_integration_adds_are_taken_out_again(shape: str) -> None:
    """Whatever adds variables to an event on its way (Sentry's PureEvalIntegration does), the issue has none."""
    canaries = Canaries("")

    def add(event: Any, hint: Any) -> Any:
        for exception in event["exception"]["values"]:
            for frame in exception["stacktrace"]["frames"]:
                frame["vars"] = {"prompt": canaries["variable"]}
        return event

    def refuse(text: str) -> str:
        raise ValueError("no")

    with capture_spans(**WIRE_SHAPES[shape], **content(False, False)) as captured:
        sentry_sdk.get_isolation_scope().add_event_processor(add)
        with pytest.raises(ValueError, match="no"):
            RunnableLambda(refuse).invoke("Hi", config={"callbacks": [SentryStreamHandler()]})
    assert len(captured.events) == 1
    assert set(canaries) == {"variable"}
    check(captured, canaries, {}, CAPTURES["off"])


@in_pairs(capture=CAPTURES, shape=WIRE_SHAPES, ending=("read", "left", "broken"), kind=("sync", "async"))
async def test_what_is_planted_in_a_tracked_stream(capture: str, shape: str, ending: str, kind: str) -> None:
    """Of `track_stream` the prompt is an input and the answer an output, also of a stream that is left or breaks."""
    chosen = CAPTURES[capture]
    canaries = Canaries("")

    def pieces() -> Iterator[str]:
        yield from ("It is ", canaries["answer"][:9], canaries["answer"][9:])
        if ending == "broken":
            raise RuntimeError(canaries["message"])
        yield "."

    async def apieces() -> AsyncIterator[str]:
        for piece in pieces():
            yield piece

    settings = {**chosen.settings, **({"redact": canaries.redact} if chosen.redacts else {})}
    with capture_spans(**WIRE_SHAPES[shape], **chosen.client) as captured:
        asked = f"What is {canaries['prompt']}?"
        stream: Any
        try:
            if kind == "sync":
                stream = track_stream(pieces(), model="m", prompt=asked, **settings)
                for number, _ in enumerate(stream):
                    if number == 2 and ending == "left":
                        break
                stream.close()
            else:
                stream = track_stream(apieces(), model="m", prompt=asked, **settings)
                at = 0
                async for _ in stream:
                    at += 1
                    if at == 3 and ending == "left":
                        break
                await stream.aclose()
        except RuntimeError:
            pass
    assert captured.events == []  # the exception is the application's to report
    check(captured, canaries, {"prompt": {"in"}, "answer": {"out"}, "message": set()}, chosen)
