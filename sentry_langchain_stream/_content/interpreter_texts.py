"""Which messages are those of the interpreter or the operating system.

That an exception was raised by no Python code does not say who wrote its message: `future.set_exception(...)` and
`generator.throw(...)` raise what the application made. So a message has to consist of the interpreter's own words,
and of names that stand in the code.
"""

from __future__ import annotations

import builtins
import errno
import os
import re
from collections.abc import Collection
from types import CodeType

_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_CALLED = re.compile(r"[\w.<>]{1,200}(?=\(\) )")
"""The function that was called wrongly."""
_WORD = re.compile(r"[^\s,;:()?]+")
_SMALL = re.compile(r"\d{1,2}|[-+*/%&|^~<>=!@.]{0,3}")
_WORDS = frozenset(
    """
    #0 a abstract access all an and any are arg argument arguments as assign assignment associated at attribute
    attributes await back bad base be been before being between both bound but by bytearray bytes bytes-like call
    callable calling can can't cannot character class code comparison complex concatenate context conversion convert
    converted could define defined delete deletion depth derive descriptor dictionary did different division divmod
    does doesn't during element empty enclosing encoding enough exactly exceeded exceptions expected expression
    extended float for forgot format formatting found free from function generator given global got greater had has
    hashable have implementation implicitly import in index indexing indices inherit initialize instance instances
    instantiate integer integers interpreted invalid is it item items iterable iterator json just keyword
    keyword-only keywords len length like list local long manager mapping maximum may mean meant meta method methods
    missing module modulo more most multiple must name named names negative no non-empty non-iterable not null
    number object objects of on one only op operand operation operator or os.pathlike out passed perhaps pop
    positional positional-and-keyword positional-only power protocol python raised range read-only readonly real
    recursion refer referenced required requires returned s scope sequence set setting shorter should slice slices
    some step str string subscriptable subscripted support supported take takes than that the this to too tuple two
    type types unary unbound unexpected unhashable union unpack unsupported update use used using value values
    variable was were where while with without writable yield zero zero-dimensional
    """.split()  # noqa: SIM905
)
"""The words of the messages of `_INTERPRETERS`, of CPython 3.10 to 3.15."""
_RESOLVER = frozenset(
    """
    address argument associated bad bytes cannot error failure family file flags for hostname in known memory name
    no node nodename non non-recoverable not of or out provided resolution resolve resource security service
    servname supported system temporarily temporary the to unavailable unknown
    """.split()  # noqa: SIM905
)
"""The words of what the C library says when a host's name cannot be resolved."""
_INTERPRETERS = (
    AttributeError,
    IndexError,
    MemoryError,
    NameError,
    RecursionError,
    TypeError,
    ZeroDivisionError,
)


def of_interpreter(error: BaseException, text: str, code: CodeType | None, types: Collection[str]) -> str | None:
    """Return the message of an exception that the interpreter may have raised, without names that are content.

    Args:
        error: The exception, which no Python code raised.
        text: Its message.
        code: The code that was running, if it is source code of the application or of a library.
        types: Names of classes that may be sent.
    """
    if not isinstance(error, _INTERPRETERS) or type(error).__module__ != "builtins":
        return None
    names = {*vars(builtins), "NoneType", *types}
    if code is not None:
        names |= {code.co_name, *getattr(code, "co_qualname", "").split("."), *code.co_names}
        names |= {*code.co_varnames, *code.co_freevars, *code.co_cellvars}
        for each in code.co_consts:  # the names of keyword arguments, in Python 3.11 and later
            names |= {each} if isinstance(each, str) else set(each) if isinstance(each, tuple) else set()
    qualified = _CALLED.match(text)
    words = text
    if qualified is not None and set(qualified[0].split(".")) <= {
        *names,
        "<locals>",
        "<lambda>",
        "__init__",
        "__new__",
    }:
        words = text[qualified.end() :]
    if not _are(_QUOTED.sub("", words), _WORDS, names):
        return None
    return _QUOTED.sub(lambda quoted: quoted[0] if (quoted[1] or quoted[2]) in names else "'[Filtered]'", text)


def of_system(error: OSError, *, from_c: bool) -> str | None:
    """Return what the operating system says, without the name of a file: a model may have chosen it."""
    said, number = error.strerror, error.errno
    if not isinstance(said, str) or not said or not isinstance(number, int):
        return None
    is_resolver = from_c and type(error).__module__ == "socket" and _are(said, _RESOLVER, ())
    return f"[Errno {number}] {said}" if is_resolver or said == strerror(number) else None


def strerror(number: int) -> str | None:
    """What the operating system says of an error, or `None` if there is no such error."""
    return os.strerror(number) if number in errno.errorcode else None


def _are(text: str, words: Collection[str], names: Collection[str]) -> bool:
    """Whether a text is made of these words and names, of small numbers and of operators."""
    found = [each.rstrip(".") for each in _WORD.findall(text)]
    return any(each.lower() in words for each in found) and all(
        each.lower() in words or set(each.split(".")) <= {*names} or _SMALL.fullmatch(each) for each in found
    )
