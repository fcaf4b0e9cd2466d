"""Estimates tokens from texts, for providers that report none.

LangChain's rule of thumb, four characters a token, holds for English and code. A Chinese character is most of a token,
and other scripts are between the two. The rates are those of OpenAI's `o200k_base` on prose in each script. The error
that remains, and the script that measures it, are in docs/numbers.md.
"""

from __future__ import annotations

import re
from math import ceil

_LATIN = 0.25
"""Tokens per character of ASCII."""

_RATES: tuple[tuple[re.Pattern[str], float], ...] = tuple(
    (re.compile(f"[{characters}]+"), rate)
    for characters, rate in (
        ("\u0080-\u036f", 0.70),  # accented Latin
        ("\u1e00-\u1eff", 0.30),  # Vietnamese
        ("\u0370-\u03ff\u1f00-\u1fff", 0.42),  # Greek
        ("\u0400-\u052f", 0.28),  # Cyrillic
        ("\u0530-\u08ff", 0.42),  # Armenian, Hebrew, Arabic
        ("\u0900-\u0dff", 0.35),  # the scripts of India
        ("\u0e00-\u1cff", 0.45),  # Thai and its neighbours, Georgian, Ethiopic
        ("\u2e80-\ua4cf\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef", 0.80),  # Chinese, Japanese, Korean
        ("\U00010000-\U0010ffff", 1.20),  # emoji
    )
)
"""Characters of a script, and tokens per character. What is in none of them, as dashes and arrows, counts as ASCII."""

_SAMPLED = 8_000
_SAMPLE = 1_000

BUNDLED = 1.5
"""A stream whose text is so many times as many tokens as it has chunks sends several tokens with a chunk."""


def weight(text: str) -> float:
    """Estimate the tokens of a text, not rounded. Of a long text only parts are looked at."""
    if text.isascii():
        return len(text) * _LATIN
    if len(text) > _SAMPLED:
        step = len(text) // (_SAMPLED // _SAMPLE)
        sample = "".join(text[at : at + _SAMPLE] for at in range(0, len(text) - _SAMPLE, step))
        return _weight(sample) * len(text) / len(sample)
    return _weight(text)


def _weight(text: str) -> float:
    found, rest = 0.0, text
    for characters, rate in _RATES:
        left = characters.sub("", rest)
        found += (len(rest) - len(left)) * rate
        if left.isascii():
            return found + len(left) * _LATIN
        rest = left
    return found + len(rest) * _LATIN


def approximate(text: str) -> int:
    """Estimate the tokens of a text."""
    return ceil(weight(text))


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
