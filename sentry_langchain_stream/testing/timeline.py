"""Draws spans as a tree with bars on a common time axis, as HTML for a notebook.

Viewers remove different parts of HTML. JupyterLab drops inline SVG from an untrusted notebook, and GitHub is known to
drop style sheets and `style` attributes too. So this is a plain table. All information is text in its cells, indented
with spaces, and the bars are SVG images in data URLs. Styles only improve the look. There is no script, and nothing is
fetched.

No colour can be read as text on a white page and on a dark one, and nothing here can ask which it is. So words have
the page's own colour. Bars and marks have colours that are clear on both. The labels of the axis are on a ground of
their own.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from html import escape
from math import floor, log10

from .envelopes import CapturedSpan
from .printable import printable

MOST_ROWS = 500
"""The maximum number of spans that are drawn. Of the rest only the number is shown."""

_WIDTH, _HEIGHT = 240, 16
"""The size of a bar's image, in pixels."""

_LONGEST_NAME = 44
_MODEL, _AGENT, _TOOL, _OTHER = "#3b82f6", "#8b5cf6", "#12937f", "#7f8896"
_COLOURS = (
    ("gen_ai.chat", _MODEL),
    ("gen_ai.text_completion", _MODEL),
    ("ai.chat_completions.", _MODEL),
    ("gen_ai.invoke_agent", _AGENT),
    ("gen_ai.execute_tool", _TOOL),
)
"""Prefix of an op, and the colour of its bar. All colours are visible on white and on black."""

_FAILED, _LEFT, _GREY = "#e5484d", "#c47208", "#888888"
_RULER, _ON_RULER = "#5b6470", "#ffffff"
_FAINT = 0.8
"""The opacity of what is less important. Less could not be read in VS Code's light theme, whose text is grey."""
_OUTCOMES = {None: "completed", "ok": "completed", "unset": "completed", "cancelled": "cancelled"}
"""Status -> outcome, for a span without an outcome attribute. Any other status means that it failed."""


def walk(spans: Sequence[CapturedSpan]) -> Iterator[tuple[int, CapturedSpan]]:
    """Yield `(depth, span)` for every span: a parent before its children, siblings ordered by start time."""
    known = {span.span_id for span in spans}
    children: dict[str | None, list[CapturedSpan]] = {}
    for span in sorted(spans, key=lambda span: span.start):
        children.setdefault(span.parent_id if span.parent_id in known else None, []).append(span)
    pending = [(0, span) for span in reversed(children.pop(None, []))]
    while pending:
        depth, span = pending.pop()
        yield depth, span
        pending += [(depth + 1, child) for child in reversed(children.pop(span.span_id, []))]


def outcome(span: CapturedSpan) -> str | None:
    """Return the outcome that the handler recorded: `"completed"`, `"cancelled"`, `"abandoned"` or `"failed"`."""
    recorded = span.attributes.get("langchain_stream.outcome")
    return recorded if isinstance(recorded, str) else None


def as_html(spans: Sequence[CapturedSpan]) -> str:
    """Return the spans as a table with one row per span, for `_repr_html_`."""
    if not spans:
        return "<p>(no spans)</p>"
    axis = _Axis(min(span.start for span in spans), max(span.end for span in spans))
    rows = [row for row, _ in zip(walk(spans), range(MOST_ROWS), strict=False)]
    columns = [
        (title, texts, align)
        for title, text_of, align in _COLUMNS
        if any(texts := [text_of(span) for _, span in rows])  # an empty column is left out
    ]
    heads = [_cell("span", tag="th"), _cell(axis.scale(), tag="th")]
    heads += [_cell(escape(title), align, tag="th") for title, _, align in columns]
    lines = ["".join(heads)]
    for index, (depth, span) in enumerate(rows):
        cells = [_cell(_label(depth, span)), _cell(axis.bar(span))]
        cells += [_cell(_marked(texts[index], span, title), align) for title, texts, align in columns]
        lines.append("".join(cells))
    if len(spans) > len(rows):
        lines.append(_cell(f"<small>and {len(spans) - len(rows):,} more spans</small>"))
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<table style="border-collapse: collapse; font-size: 12px">\n{body}\n</table>'


class _Axis:
    """The common time axis.

    Args:
        start: Its first point in time, in the unit of the spans' times.
        end: Its last point in time.
    """

    def __init__(self, start: float, end: float) -> None:
        self._start = start
        self._length = max(end - start, 0.001)
        step = 10.0 ** floor(log10(self._length / 2))
        # No factor matches if the logarithm was rounded up.
        step *= next((factor for factor in (5, 2, 1) if factor * step <= self._length / 2), 1)
        self._ticks = [index * step for index in range(floor(self._length / step + 1e-9) + 1)]

    def scale(self) -> str:
        """Return the image of the axis."""
        labels = []
        for index, tick in enumerate(self._ticks):
            label = f"{tick:.6g} s" if self._length >= 1 else f"{1000 * tick:.6g} ms"
            x, half = self._x(tick), 3.2 * len(label)
            if x + half <= _WIDTH:  # a label that does not fit is left out
                anchor = "middle" if index else "start"
                labels.append(f'<text x="{max(x, 4):.1f}" y="12" text-anchor="{anchor}">{label}</text>')
        ruler = f'<path d="M0 0H{_WIDTH}V{_HEIGHT}H0Z" fill="{_RULER}"/>'
        shapes = f'<g font-family="sans-serif" font-size="10" fill="{_ON_RULER}">{"".join(labels)}</g>'
        return _image(ruler + shapes, f"0 to {_seconds(self._length)}")

    def bar(self, span: CapturedSpan) -> str:
        """Return the bar of a span. A line marks the first chunk. The bar is pale before it, and in the longest gap."""
        begin, end = span.start - self._start, span.end - self._start
        colour, tooltip = _colour(span), f"from {_seconds(begin)} to {_seconds(end)}"
        lines = "".join(f"M{self._x(tick):.1f} 0V{_HEIGHT}" for tick in self._ticks)
        shapes = [f'<path d="{lines}" stroke="{_GREY}" stroke-opacity="0.3"/>']
        left, right = self._x(begin), self._x(end)
        first = _number(span, "gen_ai.response.time_to_first_chunk")
        if first is not None and 0 <= first <= end - begin:
            middle = self._x(begin + first)
            shapes.append(_box(left, middle, colour, pale=True))
            gap = _gap(span)
            if gap is not None:
                from_, to = self._x(begin + gap[0]), self._x(begin + gap[1])
                shapes.append(_box(middle, from_, colour, least=0) + _box(from_, to, colour, pale=True))
                shapes.append(_box(to, right, colour))
            else:
                shapes.append(_box(middle, right, colour))
            shapes.append(f'<path d="M{middle:.1f} 0V{_HEIGHT}" stroke="{colour}" stroke-width="2"/>')
            tooltip += f", first chunk at {_seconds(begin + first)}"
            if gap is not None:
                tooltip += f", longest gap from {_seconds(begin + gap[0])} to {_seconds(begin + gap[1])}"
        else:
            shapes.append(_box(left, right, colour))
        return _image("".join(shapes), tooltip)

    def _x(self, seconds: float) -> float:
        # A line is two pixels wide, and a line at either end must be visible too.
        return 1 + (_WIDTH - 2) * seconds / self._length


def _box(left: float, right: float, colour: str, *, pale: bool = False, least: float = 2) -> str:
    width = max(right - left, 0 if pale else least)
    left = min(left, _WIDTH - width)
    opacity = ' fill-opacity="0.4"' if pale else ""
    return f'<rect x="{left:.1f}" y="4" width="{width:.1f}" height="{_HEIGHT - 8}" fill="{colour}"{opacity}/>'


def _image(shapes: str, tooltip: str) -> str:
    size = f'width="{_WIDTH}" height="{_HEIGHT}"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {_WIDTH} {_HEIGHT}">{shapes}</svg>'
    data = b64encode(svg.encode()).decode()
    # The style of the page may give images margins, or shrink them to nothing in a narrow cell.
    style = f"margin: 0; max-width: none; vertical-align: middle; width: {_WIDTH}px; height: {_HEIGHT}px"
    return f'<img src="data:image/svg+xml;base64,{data}" {size} alt="{tooltip}" title="{tooltip}" style="{style}">'


def _cell(content: str, align: str = "left", tag: str = "td") -> str:
    # Jupyter's style sheet aligns cells to the right. The div aligns the content even if `style` is dropped.
    style = "padding: 1px 8px; white-space: nowrap; vertical-align: middle; border: none"
    return f'<{tag} nowrap style="{style}"><div align="{align}">{content}</div></{tag}>'


def _label(depth: int, span: CapturedSpan) -> str:
    indent = "&nbsp;" * 4 * depth
    name = span.name if len(span.name) <= _LONGEST_NAME else f"{span.name[: _LONGEST_NAME - 1]}…"
    name = printable(name)
    op = f'&nbsp; <small style="opacity: {_FAINT}">{escape(printable(span.op))}</small>' if span.op else ""
    return f"{indent}{escape(name) or '(no name)'}{op}"


def _marked(text: str, span: CapturedSpan, title: str) -> str:
    """Return the text of a cell. An outcome other than `completed` has a mark in the colour of the span's bar."""
    colour = _colour_of_end(span) if title == "outcome" else None
    shown = escape(printable(text))
    return f'<span style="color: {colour}">●</span> {shown}' if colour else shown


def _colour(span: CapturedSpan) -> str:
    kind = next((colour for start, colour in _COLOURS if span.op.startswith(start)), _OTHER)
    return _colour_of_end(span) or kind


def _colour_of_end(span: CapturedSpan) -> str | None:
    """Return the colour of a span that did not complete."""
    how = outcome(span) or _OUTCOMES.get(span.status, "failed")
    return {"completed": None, "failed": _FAILED}.get(how, _LEFT)


def _outcome_text(span: CapturedSpan) -> str:
    how = outcome(span) or span.status or ""
    kind = span.attributes.get("error.type")
    return f"{how}: {kind}" if isinstance(kind, str) else how


def _model_text(span: CapturedSpan) -> str:
    keys = ("gen_ai.response.model", "gen_ai.request.model", "ai.model_id")
    return next((value for key in keys if isinstance(value := span.attributes.get(key), str)), "")


def _tokens_text(span: CapturedSpan) -> str:
    """Return input and output tokens, or the total if only that is known. `≈` marks an estimate."""
    sides = [_number(span, f"gen_ai.usage.{side}_tokens") for side in ("input", "output")]
    total = _number(span, "gen_ai.usage.total_tokens")
    if sides != [None, None]:
        text = " → ".join("?" if side is None else f"{side:,.0f}" for side in sides)
    else:
        text = "" if total is None else f"{total:,.0f}"
    estimated = span.attributes.get("langchain_stream.usage_source") == "estimate"
    return f"≈ {text}" if text and estimated else text


def _first_chunk_text(span: CapturedSpan) -> str:
    first = _number(span, "gen_ai.response.time_to_first_chunk")
    return "" if first is None else _seconds(first)


def _gap(span: CapturedSpan) -> tuple[float, float] | None:
    """Return begin and end of the longest gap between two chunks, in seconds from the start of the span."""
    begin, length = _number(span, "langchain_stream.longest_gap_at"), _number(span, "langchain_stream.longest_gap")
    if begin is None or length is None or not 0 <= begin <= begin + length <= span.end - span.start:
        return None
    return begin, begin + length


def _gap_text(span: CapturedSpan) -> str:
    length = _number(span, "langchain_stream.longest_gap")
    return "" if length is None else _seconds(length)


def _rate_text(span: CapturedSpan) -> str:
    rate = _number(span, "gen_ai.response.tokens_per_second")
    return "" if rate is None else f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"


def _cost_text(span: CapturedSpan) -> str:
    """Return the cost in US dollars, with two digits that count."""
    cost = _number(span, "gen_ai.cost.total_tokens")
    if cost is None:
        return ""
    return f"${cost:,.2f}" if cost >= 1 or cost <= 0 else f"${cost:.{1 - floor(log10(cost))}f}"


def _number(span: CapturedSpan, key: str) -> float | None:
    value = span.attributes.get(key)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _seconds(time: float) -> str:
    """Return a duration in a readable unit."""
    if time >= 60:
        minutes, seconds = divmod(round(time), 60)
        return f"{minutes} min {seconds} s"
    if time >= 1:
        return f"{time:.2f} s"
    return f"{1000 * time:.0f} ms" if time >= 0.01 or time <= 0 else f"{1000 * time:.1f} ms"


_COLUMNS: tuple[tuple[str, Callable[[CapturedSpan], str], str], ...] = (
    ("duration", lambda span: _seconds(span.end - span.start), "right"),
    ("first chunk", _first_chunk_text, "right"),
    ("longest gap", _gap_text, "right"),
    ("tokens", _tokens_text, "right"),
    ("rate", _rate_text, "right"),
    ("cost", _cost_text, "right"),
    ("outcome", _outcome_text, "left"),
    ("model", _model_text, "left"),
)
"""The columns next to the bars: title, text of a span, alignment."""
