"""What a live stream costs in memory: as much after ten thousand chunks as after ten."""

from __future__ import annotations

import gc
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sentry_langchain_stream import SentryStreamHandler, track_stream
from sentry_langchain_stream._content.gathered import Gathered
from sentry_langchain_stream._content.policy import Limits
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, content_allowed, needs_v3

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

WORD = "lorem ipsum dolor "


def size(root: object) -> int:
    """The bytes of all that an object holds, but for code, and for what is Sentry's, LangChain's or asyncio's."""
    seen: set[int] = set()
    ahead = [root]
    total = 0
    while ahead:
        each = ahead.pop()
        if id(each) in seen or isinstance(each, (type, types.ModuleType, types.FunctionType, types.GeneratorType)):
            continue
        if type(each).__module__.startswith(("sentry_sdk", "langchain", "langgraph", "asyncio", "_asyncio", "weakref")):
            continue
        seen.add(id(each))
        total += sys.getsizeof(each)
        ahead.extend(gc.get_referents(each))
    return total


def by_handler(chunks: int, **settings: Any) -> Iterator[int]:
    handler = SentryStreamHandler(**settings)
    stream = ScriptedModel(pieces=(WORD,) * chunks).stream("Hi", config={"callbacks": [handler]})
    for _ in range(chunks):
        next(stream)
    yield size(handler)
    stream.close()  # type: ignore[attr-defined]


def by_events(chunks: int, **settings: Any) -> Iterator[int]:
    handler = SentryStreamHandler(**settings)
    model = ScriptedModel(pieces=(WORD,) * chunks)
    stream: Any = iter(model.stream_events("Hi", config={"callbacks": [handler]}, version="v3"))
    for _ in range(chunks):
        next(stream)
    yield size(handler)
    for _ in stream:
        pass


def by_track_stream(chunks: int, **settings: Any) -> Iterator[int]:
    stream = track_stream((WORD for _ in range(chunks + 1)), model="m", prompt="Hi", **settings)
    for _ in range(chunks):
        next(stream)
    yield size((stream._runs, stream._call))
    stream.close()


KINDS: dict[str, Callable[..., Iterator[int]]] = {
    "handler": by_handler,
    "v3": by_events,
    "track_stream": by_track_stream,
}


EACH = [pytest.param(kind, marks=needs_v3 if kind == "v3" else ()) for kind in KINDS]


@contextmanager
def live(kind: str, chunks: int, **settings: Any) -> Iterator[int]:
    """A stream of which so many chunks have arrived; yields what it costs in bytes."""
    yield from KINDS[kind](chunks, **settings)


@pytest.mark.parametrize("kind", EACH)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_without_content_a_stream_costs_the_same_however_long_it_is(shape: str, kind: str) -> None:
    """With capture off nothing is kept of a chunk: ten thousand of them take no more memory than ten."""
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(False)):
        with live(kind, 10) as short:
            pass
        with live(kind, 10_000, token_counter=len) as long:
            pass
    # On Python 3.10 it is 2,500, all of them in the first thousand chunks.
    assert long - short < (2_000 if sys.version_info >= (3, 11) else 4_000)


@pytest.mark.parametrize("kind", EACH)
def test_with_content_a_stream_costs_no_more_than_may_be_sent(kind: str) -> None:
    """With capture on the ends of the text are kept: as much after 200 KB as after 400 KB."""
    with capture_spans(**content_allowed(True)):
        with live(kind, 100) as short:
            pass
        for chunks in (11_000, 22_000):
            with live(kind, chunks) as long:
                pass
            # Besides the characters each piece that has not been joined yet is an object, here the same one.
            assert short < long < 3 * Limits().part + 8 * 2 * Limits().part // len(WORD) + 20_000


def test_what_redact_has_to_see_as_a_whole_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `redact` a text is kept up to its bound, and of one that is longer nothing is sent but its length."""
    monkeypatch.setattr(Gathered, "MOST", 50_000)
    with capture_spans(**content_allowed(True)) as captured:
        with live("track_stream", 2_000, redact=str.upper) as below:
            pass
        with live("track_stream", 3_000, redact=str.upper) as above:
            pass
    assert below - above > 8 * 1_000
    kept, dropped = (span.attributes["gen_ai.output.messages"] for span in captured.find_all(op="gen_ai.chat"))
    assert WORD.upper() in kept
    assert "LOREM" not in dropped
    assert "[... 54000 CHARACTERS CUT ...]" in dropped
