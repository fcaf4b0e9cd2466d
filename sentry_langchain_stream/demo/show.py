"""Prints the demo on a terminal or to a file. The output is only appended to.

It must be readable on a dark and on a light background, and the program cannot know which it is. So all words are in
the terminal's own colour, at most bold. Other colours are only for marks that are clear without them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from ..testing import CapturedSpan
from ..testing.envelopes import model_spans
from ..testing.printable import printable
from .capture import Delivery
from .verdict import OLDER, Check, Expected, is_middleware, parent_of

_LABEL = "answer    "
_RIGHT, _WRONG = "bold #2e8b3d", "bold #e0383e"
"""The marks' colours: at least 3:1, WCAG's limit for graphics, on a white and on a dark grey background."""

_OF_THE_SDK = ("process.", "sentry.", "server.", "thread.")
"""Prefixes of the keys that the SDK sets on every span. They are shown last."""

_WIDE = r"\u2e80-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[^\s{_WIDE}]+")
_PARTS = re.compile(rf"\n|[^\S\n]+|[{_WIDE}]|{_WORD.pattern}")
"""A line end, spaces, a character of a script that breaks lines anywhere (Chinese, Japanese, Korean), or a word."""


def header(console: Console, question: str, expected: Expected, service: str) -> None:
    """Print what will happen, and the question."""
    is_local = expected.total_tokens is not None
    api = "a local endpoint: no key, no network" if is_local else "OpenAI's API"
    model, pipeline = escape(printable(expected.model)), escape(printable(expected.pipeline_name))
    lines = (
        f"client      reads SSE from {service}/answer",
        "FastAPI     relays a model's stream from an async generator",
        f"ChatOpenAI  calls [bold]{model}[/] at {api}",
        f"Sentry      gets spans: dialect [bold]{expected.dialect}[/], pipeline [bold]{pipeline}[/]",
    )
    console.print(Panel("\n".join(lines), title="a streamed answer, and its span", title_align="left", expand=False))
    console.print(Text.assemble("\n", "question  ", (printable(question), "bold")))
    console.print(_LABEL, end="")


class StreamedAnswer:
    """Prints an answer while it arrives, after its label.

    A terminal breaks a line anywhere, and a chunk may end in the middle of a word. So on a terminal a word is printed
    when its end has arrived, on the next line if it does not fit. Elsewhere each chunk is printed as it is.

    Args:
        console: Where to print.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = console.width - 1  # some terminals begin a new line when the last column is filled
        self._column = self._indent = len(_LABEL)
        self._space = self._word = ""

    def add(self, text: str) -> None:
        """Print a chunk, except for a word at its end that the next chunk may continue."""
        text = printable(text, keep="\n")
        if not self._console.is_terminal:
            self._print(text)
            return
        parts = _PARTS.findall(self._word + text)
        is_open = bool(parts) and _WORD.match(parts[-1]) and cell_len(parts[-1]) < self._width - self._indent
        self._word = parts.pop() if is_open else ""
        for part in parts:
            self._put(part)

    def end(self) -> None:
        """Print the last word."""
        self._put(self._word)
        self._word = ""

    def _put(self, part: str) -> None:
        if part.isspace() and part != "\n":
            self._space = part  # printed before the next word, if that is on the same line
            return
        room = self._width - self._column
        if part == "\n" or (cell_len(self._space + part) > room and self._column > self._indent):
            self._print("\n" + " " * self._indent)
            self._column, self._space = self._indent, ""
        if part != "\n":
            self._print(self._space + part)
            self._column += cell_len(self._space + part)
            self._space = ""

    def _print(self, text: str) -> None:
        self._console.print(text, end="", markup=False, highlight=False, soft_wrap=True)
        self._console.file.flush()


def spans(console: Console, captured: Sequence[CapturedSpan]) -> None:
    """Print the spans as a tree, and the attributes of the model spans."""
    console.print("\n\n[bold]What Sentry receives[/]")
    shown = [span for span in captured if not is_middleware(span)]
    for root in shown:
        if parent_of(root, captured) is None:
            console.print(_tree(root, captured))
    if len(shown) < len(captured):
        console.print(f"and {len(captured) - len(shown)} middleware spans between them")
    for call in model_spans(captured):
        console.print(Padding(_attributes(call), (1, 0, 0, 0)))


def issues(console: Console, events: Sequence[dict[str, object]]) -> None:
    """Print the exceptions that Sentry receives as issues."""
    for event in events:
        exception = event.get("exception")
        values = exception.get("values", []) if isinstance(exception, dict) else []
        for value in values[-1:]:
            found = printable(f"{value.get('type')}: {value.get('value')}")
            console.print(Text.assemble(("\nissue  ", "bold"), found))


def verdict(console: Console, checks: Sequence[Check]) -> None:
    """Print each check with a ✓ or a ✗, and the result."""
    console.print("\n[bold]Verdict[/]")
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for check in checks:
        mark = Text("✓", style=_RIGHT) if check.holds else Text("✗", style=_WRONG)
        table.add_row(mark, Text(check.claim), Text(printable(check.seen)))
    console.print(table)
    failed = sum(not check.holds for check in checks)
    result = f"{failed} of {len(checks)} checks failed" if failed else "The span is correct."
    console.print(Text(f"\n{result}", style="bold"))


def where_to_look(
    console: Console, delivery: Delivery, trace_id: str, expected: Expected, viewer: str | None = None
) -> None:
    """Print where to find the spans if they were sent, otherwise how to send them."""
    if viewer is not None:
        console.print(
            f"Look in Spotlight, {escape(printable(viewer.removesuffix('/stream')))}, at trace [bold]{trace_id[:8]}[/]"
        )
    elif delivery.sent_to is None:
        console.print("Nothing was sent. Set SENTRY_DSN to send the spans to Sentry.")
    if delivery.sent_to is None:
        return
    console.print(f"Sent to {escape(printable(delivery.sent_to))}, trace id [bold]{trace_id}[/]")
    console.print("In Sentry, open Explore > Traces and search for this trace id.")
    if expected.dialect == "gen_ai":
        console.print("The model call is also shown under Insights > AI Agents.")
    else:
        console.print('Insights > AI Agents is shown for a project only after a span in dialect "gen_ai".')


def _tree(span: CapturedSpan, captured: Sequence[CapturedSpan], parent: Tree | None = None) -> Tree:
    label = Text.assemble(
        (printable(span.op or "(no op)"), "bold" if model_spans([span]) else ""),
        f"  {printable(span.name)}  {1000 * span.duration:.0f} ms  {printable(span.status or 'no status')}",
    )
    branch = parent.add(label) if parent is not None else Tree(label, guide_style="")
    for child in captured:
        if not is_middleware(child) and parent_of(child, captured) == span:
            _tree(child, captured, branch)
    return branch


def _attributes(call: CapturedSpan) -> Table:
    title = Text.assemble((call.op, "bold"), "  attributes, ★ the keys of the recipe of 2024")
    table = Table(title=title, title_justify="left", title_style="", box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    starred = [key for key in OLDER.values() if key in call.attributes]
    leading = [key for key in OLDER if key in call.attributes]
    first = leading + starred
    for key in first + sorted(set(call.attributes) - set(first), key=lambda key: (key.startswith(_OF_THE_SDK), key)):
        is_starred = key in starred
        style = "bold" if key in leading else ""
        value = call.attributes[key]
        shown = printable(f"{value:.3f}" if isinstance(value, float) else str(value))
        table.add_row("★" if is_starred else "", Text(printable(key), style=style), Text(shown, style=style))
    return table
