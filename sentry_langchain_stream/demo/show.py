"""Prints the demo on a terminal or to a file. The output is only appended to."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
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
from .verdict import Check, Expected, is_middleware, parent_of

LEADING = ("gen_ai.usage.total_tokens", "gen_ai.request.model", "gen_ai.pipeline.name")
"""The attributes to read first, under their current keys."""

STARRED = ("ai.total_tokens", "ai.model_id", "pipeline_name")
"""The older keys of the same facts, which the LLM Monitoring recipe of 2024 asks for."""

_OF_THE_SDK = ("process.", "sentry.", "server.", "thread.")
"""Prefixes of the keys that the SDK sets on every span."""


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
    console.print(Text.assemble("\n", ("question  ", "dim"), (printable(question), "bold")))
    console.print(Text("answer    ", style="dim"), end="")


def token(console: Console, text: str) -> None:
    """Print a token when it arrives."""
    console.print(printable(text, keep="\n"), end="", markup=False, highlight=False, soft_wrap=True)
    console.file.flush()


def spans(console: Console, captured: Sequence[CapturedSpan]) -> None:
    """Print the spans as a tree, and the attributes of the model spans."""
    console.print("\n\n[bold]What Sentry receives[/]")
    shown = [span for span in captured if not is_middleware(span)]
    for root in shown:
        if parent_of(root, captured) is None:
            console.print(_tree(root, captured))
    if len(shown) < len(captured):
        console.print(f"[dim]and {len(captured) - len(shown)} middleware spans between them[/]")
    for call in model_spans(captured):
        console.print(Padding(_attributes(call), (1, 0, 0, 0)))


def issues(console: Console, events: Sequence[dict[str, object]]) -> None:
    """Print the exceptions that Sentry receives as issues."""
    for event in events:
        exception = event.get("exception")
        values = exception.get("values", []) if isinstance(exception, dict) else []
        for value in values[-1:]:
            found = printable(f"{value.get('type')}: {value.get('value')}")
            console.print(Text(f"\nissue  {found}", style="red"))


def verdict(console: Console, checks: Sequence[Check]) -> None:
    """Print each check with a ✓ or a ✗, and the result."""
    console.print("\n[bold]Verdict[/]")
    table = Table(box=None, show_header=False, padding=(0, 1))
    for check in checks:
        mark = Text("✓", style="bold green") if check.holds else Text("✗", style="bold red")
        table.add_row(mark, Text(check.claim), Text(printable(check.seen), style="dim"))
    console.print(table)
    failed = sum(not check.holds for check in checks)
    style, result = ("red", f"{failed} of {len(checks)} checks failed") if failed else ("green", "The span is correct.")
    console.print(f"\n[bold {style}]{result}[/]")


def where_to_look(
    console: Console, delivery: Delivery, trace_id: str, expected: Expected, viewer: str | None = None
) -> None:
    """Print where to find the spans if they were sent, otherwise how to send them."""
    if viewer is not None:
        console.print(
            f"Look in Spotlight, {escape(printable(viewer.removesuffix('/stream')))}, at trace [bold]{trace_id[:8]}[/]"
        )
    elif delivery.sent_to is None:
        console.print("[dim]Nothing was sent. Set SENTRY_DSN to send the spans to Sentry.[/]")
    if delivery.sent_to is None:
        return
    console.print(f"Sent to {escape(printable(delivery.sent_to))}, trace id [bold]{trace_id}[/]")
    console.print("In Sentry, open Explore > Traces and search for this trace id.")
    if expected.dialect == "gen_ai":
        console.print("The model call is also shown under Insights > AI Agents.")
    else:
        console.print('Insights > AI Agents is shown for a project only after a span in dialect "gen_ai".')


def _tree(span: CapturedSpan, captured: Sequence[CapturedSpan], parent: Tree | None = None) -> Tree:
    milliseconds = f"{1000 * span.duration:.0f} ms"
    style = "bold cyan" if span in model_spans([span]) else "bold"
    label = Text.assemble(
        (printable(span.op or "(no op)"), style),
        f"  {printable(span.name)}  ",
        (milliseconds, "magenta"),
        f"  {printable(span.status or 'no status')}",
    )
    branch = parent.add(label) if parent is not None else Tree(label, guide_style="dim")
    for child in captured:
        if not is_middleware(child) and parent_of(child, captured) == span:
            _tree(child, captured, branch)
    return branch


def _attributes(call: CapturedSpan) -> Table:
    title = Text.assemble((call.op, "bold cyan"), ("  attributes, ★ the keys of the recipe of 2024", "dim"))
    table = Table(title=title, title_justify="left", title_style="", box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    starred = [key for key in STARRED if key in call.attributes]
    leading = [key for key in LEADING if key in call.attributes]
    first = leading + starred
    for key in first + sorted(set(call.attributes) - set(first)):
        is_starred = key in starred
        style = "bold" if key in leading else ("dim" if key.startswith(_OF_THE_SDK) else "")
        value = call.attributes[key]
        shown = printable(f"{value:.3f}" if isinstance(value, float) else str(value))
        table.add_row("★" if is_starred else "", Text(printable(key), style=style), Text(shown, style=style))
    return table
