"""The package's regular expressions look at each character of a long text a bounded number of times."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import sentry_langchain_stream
from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._from_langchain import answers
from sentry_langchain_stream.testing import capture_spans
from tests.hostile.steps import Matcher
from tests.kit.wire import ScriptedModel

ROOT = Path(sentry_langchain_stream.__file__).parent
TOOLS = ("demo", "doctor", "testing", "cli", "__main__")
"""These look at what they have made themselves."""


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    """Every pattern of the package, by its module and name."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if parts[0] in TOOLS or not any(
            isinstance(node, ast.Import) and node.names[0].name == "re" for node in tree.body
        ):
            continue
        module = importlib.import_module(".".join(("sentry_langchain_stream", *parts)))
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                yield f"{parts[-1]}.{name}", value


PATTERNS = dict(patterns())

PIECES = (
    *("a", "A", "1", "=", "/", "\\", "-", "_", " ", "\n", "'", '"', "%", "{", "}", "(", ":", ";", ",", "."),
    *("aA1", "A/", "\\n", "\\/", "\\\\n", "data:", "data:a/b", "data:a/b;", ";a=b", ";base64,", "data:a/b;base64,"),
    *(f"{'aB3d' * 10}\n", f"{'aB3d' * 10}\\n", f"{'aB3d' * 49}.", "%(", "%(a", "{a", "During task with name '", "a://"),
    *("\\x00", "\\x00aaaa", "b'", "b'\\x00", "b\"b'", "b'\\'", "\\\\x0"),
    *("seq:step:", "condition:1", "graph:step:1", "é", "#", "<svg", "</svg>"),
)
"""A long text repeats one of them, and ends with something else."""

LENGTHS = (150, 450)
"""Of a text, in characters; it is compared with one twice as long. If the first seems quadratic, the second counts."""

MOST_AT_ONCE = 30


def shrunk(pattern: re.Pattern[str]) -> re.Pattern[str]:
    """The same pattern, with at most so many repetitions where it has a bound.

    Steps that grow with the square of a bound seem to grow with that of the text's length, as long as that is not many
    times the bound. And then they take long to count.
    """

    def bound(found: re.Match[str]) -> str:
        return re.sub(r"\d+", lambda number: str(min(int(number[0]), MOST_AT_ONCE)), found[0])

    return re.compile(re.sub(r"\{\d*,?\d*\}", bound, pattern.pattern), pattern.flags)


@pytest.mark.parametrize("name", PATTERNS)
def test_a_text_twice_as_long_takes_twice_as_many_steps(name: str) -> None:
    """For whatever a text repeats, a pattern's steps grow with the text's length, and no faster."""
    pattern = shrunk(PATTERNS[name])
    for piece in PIECES:
        for tail in ("", "!a"):
            assert any(is_linear(pattern, piece, tail, length) for length in LENGTHS), (piece, tail)


def is_linear(pattern: re.Pattern[str], piece: str, tail: str, length: int) -> bool:
    """Whether twice as many pieces take about twice as many steps."""
    times = max(1, length // len(piece))
    short, long = (Matcher(pattern, piece * each + tail) for each in (times, 2 * times))
    return long.search_all() + long.fullmatch() <= 2.5 * (short.search_all() + short.fullmatch()) + 2_000


def test_the_counter_counts() -> None:
    """A pattern that is quadratic is found to be so."""
    pattern = re.compile(r"\W*\d{0,3}\W*")
    counts = [Matcher(pattern, "-" * length + "a").fullmatch() for length in (450, 900)]
    assert counts[1] > 3.5 * counts[0]
    assert not any(is_linear(pattern, "-", "a", length) for length in LENGTHS)


def test_no_pattern_is_hidden() -> None:
    """Patterns are compiled as constants of modules, where this test finds them."""
    for path in ROOT.rglob("*.py"):
        if path.relative_to(ROOT).parts[0].removesuffix(".py") in TOOLS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                is_re = isinstance(owner, ast.Name) and owner.id == "re"
                assert not is_re or node.func.attr in ("compile", "split"), path


@pytest.mark.parametrize(
    ("reason", "recorded"),
    [
        ("stop" * 3, "stop"),
        ("stop", "stop"),
        ("lengthstop", "length,stop"),
        ("x" * 128_000, "x"),
        ("xy" * 64_000, "xy"),
    ],
)
def test_a_long_finish_reason(reason: str, recorded: str) -> None:
    """What a finish reason repeats is recorded once, and of a long one only the beginning is looked at."""
    model = ScriptedModel(response_metadata={"finish_reason": reason})
    with capture_spans() as captured:
        model.invoke("Hi", {"callbacks": [SentryStreamHandler()]})
    assert captured.find(op="gen_ai.chat").attributes["gen_ai.response.finish_reasons"] == recorded


def test_a_finish_reason_is_bounded_before_it_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison with itself gets a thousand characters at most."""
    seen: list[int] = []
    once = answers.once

    def counted(reason: str) -> str:
        seen.append(len(reason))
        return once(reason)

    monkeypatch.setattr(answers, "once", counted)
    with capture_spans():
        model = ScriptedModel(response_metadata={"finish_reason": "ab" * 500_000})
        model.invoke("Hi", {"callbacks": [SentryStreamHandler()]})
    assert seen
    assert max(seen) <= 1_000
