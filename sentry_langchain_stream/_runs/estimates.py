"""Estimates tokens from texts, for providers that report none.

What is weighed are characters, by kind: a word in English is most often one token, but a few digits or a sign are one
as well, and so is a Chinese character, nearly. The rates are those of OpenAI's `o200k_base`. The error that remains,
and the script that measures it, are in docs/numbers.md.

This runs for each chunk, so nothing here loops over characters in Python.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from math import ceil
from numbers import Real
from typing import Any

from .._content.digests import digest
from .._content.reading import MOST, field
from .._runtime.containment import contained

_LETTER = 0.21
"""Tokens per letter of ASCII, and per space between words."""
_DIGIT = 0.55
_SIGN = 0.60
_RUN = 0.10
"""Tokens per character of an indentation or a ruled line."""
_ACCENTED = 0.55
"""Tokens per character of Latin-1 that is not ASCII."""

_DIGITS = b"0123456789"
_SIGNS = b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

_SCRIPTS = (
    (0x01, 0x02, 110),  # Latin with less common accents: Polish, Czech, Turkish
    (0x03, 0x03, 39),  # Greek
    (0x04, 0x04, 31),  # Cyrillic
    (0x05, 0x05, 44),  # Armenian, Hebrew
    (0x06, 0x08, 34),  # Arabic
    (0x09, 0x0D, 34),  # the scripts of India
    (0x0E, 0x11, 41),  # Thai and its neighbours, Georgian
    (0x12, 0x13, 200),  # Ethiopic
    (0x14, 0x1D, 100),  # smaller scripts
    (0x1E, 0x1F, 40),  # Vietnamese
    (0x20, 0x2D, 70),  # dashes, arrows, symbols
    (0x2E, 0xAB, 77),  # Chinese, Japanese
    (0xAC, 0xD7, 66),  # Korean
    (0xD8, 0xDB, 190),  # emoji, and all else that takes two units
    (0xE0, 0xFF, 77),  # full-width forms
)
"""First and last block of 256 characters, and hundredths of a token per character."""


def _table() -> bytes:
    table = bytearray(256)
    for first, last, hundredths in _SCRIPTS:
        table[first : last + 1] = bytes([hundredths]) * (last + 1 - first)
    return bytes(table)


_HUNDREDTHS = _table()
"""Hundredths of a token per character, by the upper byte of its UTF-16 unit. The second unit of a pair has none."""

_SAMPLED = 8_000
_SAMPLE = 1_000

TOKEN = 12
"""The length in characters up to which a text of ASCII is about a token. It needs no weighing: a quarter of a token per
character is accurate enough to distinguish a chunk of one token from a chunk of several."""

BUNDLED = 1.35
"""A stream whose text is so many times as many tokens as it has chunks sends several tokens with a chunk."""


def weight(text: str) -> float:
    """Estimate the tokens of a text, not rounded. Of a long text only parts are looked at."""
    if len(text) > _SAMPLED:
        step = len(text) // (_SAMPLED // _SAMPLE)
        sample = "".join(text[at : at + _SAMPLE] for at in range(0, len(text) - _SAMPLE, step))
        return _weight(sample) * len(text) / len(sample)
    return _weight(text)


def _weight(text: str) -> float:
    if text.isascii():
        return _plain(text.encode())
    plain = text.encode("ascii", "ignore")
    blocks = text.encode("utf-16-le", "surrogatepass")[1::2]
    # The first block is ASCII, which is weighed by itself, and Latin-1.
    accented = blocks.count(0) - len(plain)
    return _plain(plain) + _ACCENTED * accented + sum(blocks.translate(_HUNDREDTHS)) / 100


def _plain(text: bytes) -> float:
    size = len(text)
    if text.isalpha() or (text[:1] == b" " and text[1:].isalpha()):  # as most chunks are
        return size * _LETTER
    words = len(text.translate(None, _DIGITS + _SIGNS))
    digits = size - len(text.translate(None, _DIGITS))
    signs = size - words - digits
    indentation, rules = 2 * text.count(b"  "), 4 * text.count(b"----")
    return (words - indentation) * _LETTER + digits * _DIGIT + (signs - rules) * _SIGN + (indentation + rules) * _RUN


def approximate(text: str) -> int:
    """Estimate the tokens of a text."""
    return ceil(weight(text))


def counted(token_counter: Callable[[str], float], text: str) -> float:
    """Return what the user's `token_counter` counts. It may count parts of a token, as `len(text) / 4` does.

    Raises:
        ValueError: It has not returned a number of tokens.
    """
    tokens: Any = token_counter(text)
    is_number = isinstance(tokens, Real) and not isinstance(tokens, bool)
    if not is_number or not 0 <= tokens <= MOST:
        given = tokens if is_number else type(tokens).__name__
        raise ValueError(f"token_counter must return a number of tokens, not {given}")
    return float(tokens)


def of_text(text: str, token_counter: Callable[[str], float] | None) -> int:
    """Return the tokens of a text: the user's count, or an estimate if there is none or it fails."""
    if token_counter is not None and (found := all_counted(token_counter, [text])) is not None:
        return found
    return approximate(text)


def all_counted(token_counter: Callable[[str], float], texts: Sequence[str]) -> int | None:
    """Return what the user's `token_counter` counts in all texts, or `None` if it fails."""
    with contained("token_counter"):
        return ceil(sum(counted(token_counter, text) for text in texts))
    return None


def beyond_quarters(texts: Sequence[str]) -> int:
    """Return how many tokens these texts have above a quarter of their characters, which is LangChain's count."""
    return round(sum([weight(text) - len(text) / 4 for text in texts]))


class Prompt:
    """A prompt whose tokens are estimated when they are asked for: mostly the provider reports them."""

    __slots__ = ("_is_estimated", "_tokens")

    def __init__(self) -> None:
        self._is_estimated = False
        self._tokens: int | None = None

    @abstractmethod
    def _messages(self) -> Sequence[object]:
        """Return its messages or texts."""

    @abstractmethod
    def _estimate(self) -> int | None:
        """Return its estimated tokens, or `None` if there is no estimate."""

    def _beside(self) -> Sequence[object]:
        """Return what may have a mark for the provider's cache beside the messages: the request and its tools."""
        return ()

    def digest(self) -> int | None:
        """Return a number to compare it with another one, or `None` if nothing is known of it."""
        with contained("digest of a prompt"):
            messages = self._messages()
            return digest(messages) if messages else None
        return None

    def is_kept_for_an_hour(self) -> bool:
        """Return whether the provider's cache is asked to keep a part of it for an hour, as with Anthropic."""
        with contained("time to live of a prompt"):
            contents = [field(message, "content") for message in self._messages()]
            blocks = [block for content in contents if isinstance(content, (list, tuple)) for block in content]
            return any(map(_asks_for_an_hour, [*blocks, *self._beside()]))
        return False

    def tokens(self) -> int | None:
        """Return its estimated tokens, or `None` if there is no estimate. It is worked out once."""
        if not self._is_estimated:
            self._is_estimated = True
            with contained("extract.input estimate"):
                self._tokens = self._estimate()
        return self._tokens


def _asks_for_an_hour(part: object) -> bool:
    """Whether the mark for the cache in a block, a tool or a request says an hour. LangChain's blocks have extras."""
    return any(field(field(place, "cache_control"), "ttl") == "1h" for place in (part, field(part, "extras")))


class PromptBy(Prompt):
    """A prompt whose messages and estimate are returned by functions.

    Args:
        messages: Returns its messages or texts.
        estimate: Returns its estimated tokens, or `None` if there is no estimate.
        beside: Returns the request itself, and its tools, which may have marks for the provider's cache.
    """

    __slots__ = ("_estimated", "_listed", "_others")

    def __init__(
        self,
        messages: Callable[[], Sequence[object]],
        estimate: Callable[[], int | None],
        beside: Callable[[], Sequence[object]] = tuple,
    ) -> None:
        super().__init__()
        self._listed = messages
        self._estimated = estimate
        self._others = beside

    def _messages(self) -> Sequence[object]:
        return self._listed()

    def _beside(self) -> Sequence[object]:
        return self._others()

    def _estimate(self) -> int | None:
        return self._estimated()


def of_stream(chunks: int, texts: int, tokens: float) -> int:
    """Estimate the tokens of a streamed answer.

    A server that sends each token makes a chunk of it, so the number of chunks is right, whatever the language. A
    server that bundles is known by texts that are too long for that.

    Args:
        chunks: The number of chunks with content.
        texts: How many of them have a text.
        tokens: The estimate of these texts.
    """
    bundled = tokens > BUNDLED * texts
    return chunks - texts + ceil(tokens) if bundled else chunks
