"""Makes texts of others safe to print: a server, a model or an environment must not control the terminal."""

from __future__ import annotations

import re

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line separators, marks that change the direction of text, and lone surrogates."""


def printable(text: str, *, keep: str = "") -> str:
    """Return a text with Python's escape sequence in place of each character that is not to be printed.

    Args:
        text: The text.
        keep: Characters that are printed all the same, for example a line end.
    """
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")
