"""The picture of spans: a table that says everything in words, with bars beside them."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from sentry_langchain_stream.testing.envelopes import CapturedSpan
from sentry_langchain_stream.testing.timeline import MOST_ROWS, as_html, walk
from tests.kit.contrast import contrast

SVG = "{http://www.w3.org/2000/svg}"


def span(
    name: str,
    start: float,
    end: float,
    below: CapturedSpan | None = None,
    *,
    op: str = "gen_ai.chat",
    status: str | None = "ok",
    **attributes: Any,
) -> CapturedSpan:
    """A span whose id is its name; in the names of attributes `__` stands for a dot."""
    return CapturedSpan(
        op=op,
        name=name,
        trace_id="trace",
        span_id=name,
        parent_id=below.span_id if below else None,
        start=start,
        end=end,
        status=status,
        origin="manual",
        is_root=below is None,
        attributes={key.replace("__", "."): value for key, value in attributes.items()},
        shape="span",
    )


class Page(HTMLParser):
    """What a browser sees of a page: the elements, the words in each row's cells, and the images."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.replace("\xa0", " ").rstrip("\n")

    def column(self, title: str) -> list[str]:
        """The words below a head."""
        index = self.rows[0].index(title)
        return [row[index] for row in self.rows[1:]]

    def images(self) -> list[ElementTree.Element]:
        """The pictures, of which the first is the axis."""
        sources = [attributes["src"] or "" for tag, attributes in self.elements if tag == "img"]
        return [ElementTree.fromstring(b64decode(source.partition("base64,")[2])) for source in sources]


def boxes(image: ElementTree.Element) -> list[tuple[float, float, bool]]:
    """Where each box of a bar begins and ends, and whether it is pale."""
    found = []
    for box in image.iter(f"{SVG}rect"):
        left, width = float(box.attrib["x"]), float(box.attrib["width"])
        found.append((left, left + width, "fill-opacity" in box.attrib))
    return found


def colours(spans: Sequence[CapturedSpan]) -> list[set[str]]:
    """The colours of each span's bar."""
    return [{box.attrib["fill"] for box in image.iter(f"{SVG}rect")} for image in Page(as_html(spans)).images()[1:]]


def test_rows_stand_as_a_tree() -> None:
    """A row per span, indented below its parent, and siblings by their start, whatever the order they came in."""
    root = span("root", 0, 9, op="function")
    early, late = span("early", 1, 8, root), span("late", 2, 3, root)
    below = span("below", 2, 3, early)
    labels = Page(as_html([late, below, early, root])).column("span")
    assert labels == [
        "root  function",
        "    early  gen_ai.chat",
        "        below  gen_ai.chat",
        "    late  gen_ai.chat",
    ]


def test_spans_that_start_together_keep_their_order() -> None:
    """Siblings with the same start stand as they came."""
    spans = [span(name, 0, 1) for name in "cab"]
    assert [each.name for _, each in walk(spans)] == ["c", "a", "b"]


def test_a_span_whose_parent_is_not_there_is_a_root() -> None:
    """A span below one of another process is at the top, not lost."""
    orphan = span("orphan", 0, 1, span("elsewhere", 0, 1))
    assert list(walk([orphan])) == [(0, orphan)]


def test_a_tree_may_be_deep() -> None:
    """Thousands of spans, each below the one before, are walked to the end."""
    spans = [span("0", 0, 1)]
    for number in range(1, 5_000):
        spans.append(span(str(number), number, number + 1, spans[-1]))
    assert [depth for depth, _ in walk(spans)] == list(range(5_000))


def test_a_row_says_everything_in_words() -> None:
    """Duration, time to the first chunk, tokens, outcome with the kind of error, and the model that answered."""
    call = span(
        "chat small",
        100,
        101.5,
        gen_ai__request__model="small",
        gen_ai__response__model="small-2024",
        gen_ai__response__time_to_first_chunk=0.25,
        gen_ai__usage__input_tokens=1200,
        gen_ai__usage__output_tokens=0,
        langchain_stream__outcome="failed",
        error__type="TimeoutError",
    )
    assert Page(as_html([call])).rows == [
        ["span", "", "duration", "first chunk", "tokens", "outcome", "model"],
        ["chat small  gen_ai.chat", "", "1.50 s", "250 ms", "1,200 → 0", "● failed: TimeoutError", "small-2024"],
    ]


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"gen_ai__usage__input_tokens": 19, "gen_ai__usage__output_tokens": 18}, "19 → 18"),
        ({"gen_ai__usage__output_tokens": 18}, "? → 18"),
        ({"gen_ai__usage__total_tokens": 37}, "37"),
        ({"gen_ai__usage__output_tokens": 4, "langchain_stream__usage_source": "estimate"}, "≈ ? → 4"),
    ],
)
def test_tokens_are_told_as_far_as_they_are_known(attributes: dict[str, Any], told: str) -> None:
    """Input and output, or all of them; what is missing is a question mark, and an estimate is marked."""
    assert Page(as_html([span("call", 0, 1, **attributes)])).column("tokens") == [told]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 ms"), (0.0042, "4.2 ms"), (0.042, "42 ms"), (4.2, "4.20 s"), (59.99, "59.99 s"), (119.8, "2 min 0 s")],
)
def test_durations_are_told_as_people_say_them(seconds: float, told: str) -> None:
    """Milliseconds, seconds or minutes, whichever is read most easily."""
    assert Page(as_html([span("call", 0, seconds)])).column("duration") == [told]


def test_what_no_span_knows_has_no_column() -> None:
    """Without model calls there are no columns for model, tokens and first chunk."""
    assert Page(as_html([span("work", 0, 1, op="task")])).rows[0] == ["span", "", "duration", "outcome"]


def test_bars_share_one_axis() -> None:
    """A bar begins and ends where its span does between the earliest start and the latest end."""
    root = span("root", 1000, 1010)
    axis, *bars = Page(as_html([root, span("second half", 1005, 1010, root)])).images()
    ((begin, end, _),), ((left, right, _),) = map(boxes, bars)
    assert left == pytest.approx((begin + end) / 2, abs=0.2)
    assert right == pytest.approx(end, abs=0.2)
    assert [label.text for label in axis.iter(f"{SVG}text")] == ["0 s", "5 s"]


def test_the_first_chunk_is_marked() -> None:
    """The bar of a streamed answer is pale until its first chunk came, and a line stands there."""
    call = span("call", 0, 10, gen_ai__response__time_to_first_chunk=2.5)
    (bar,) = Page(as_html([call])).images()[1:]
    (left, first, pale), (again, right, solid) = boxes(bar)
    assert (pale, solid) == (True, False)
    assert again == pytest.approx(first, abs=0.2)
    assert first - left == pytest.approx((right - left) / 4, abs=0.2)
    marks = [path.attrib["d"] for path in bar.iter(f"{SVG}path") if path.get("stroke-width")]
    assert marks == [f"M{again:.1f} 0V16"]


@pytest.mark.parametrize("first", [-1, 11, "soon", True, None])
def test_a_first_chunk_that_cannot_be_is_not_marked(first: Any) -> None:
    """A time outside of the span, or no number at all, leaves a plain bar."""
    (bar,) = Page(as_html([span("call", 0, 10, gen_ai__response__time_to_first_chunk=first)])).images()[1:]
    assert [pale for _, _, pale in boxes(bar)] == [False]


@pytest.mark.parametrize(("start", "end"), [(0, 0), (10, 10), (5, 5), (5, 4)])
def test_a_moment_can_be_seen(start: float, end: float) -> None:
    """A span that took no time, or less, has a bar within the picture all the same, also at its very end."""
    root = span("root", 0, 10)
    ((left, right, _),) = boxes(Page(as_html([root, span("moment", start, end, root)])).images()[2])
    assert 0 <= left < right <= 240


def test_how_a_span_ended_is_seen() -> None:
    """Failed bars have one colour, those that were left another, and both differ from what went well."""
    ends: list[tuple[str | None, dict[str, Any]]] = [
        ("ok", {"langchain_stream__outcome": "completed"}),
        ("ok", {}),
        (None, {}),
        ("ok", {"langchain_stream__outcome": "cancelled"}),
        ("ok", {"langchain_stream__outcome": "abandoned"}),
        ("cancelled", {}),
        ("error", {"langchain_stream__outcome": "failed"}),
        ("error", {}),
        ("internal_error", {}),
    ]
    seen = colours([span(str(number), number, 10, status=status, **more) for number, (status, more) in enumerate(ends)])
    well, left, failed = seen[:3], seen[3:6], seen[6:]
    assert [len(set(map(frozenset, group))) for group in (well, left, failed)] == [1, 1, 1]
    assert len({frozenset(group[0]) for group in (well, left, failed)}) == 3


def test_kinds_of_spans_are_seen() -> None:
    """Model calls of both dialects look alike; agents, tools and the rest each have a colour of their own."""
    ops = ("gen_ai.chat", "ai.chat_completions.create.openai", "gen_ai.invoke_agent", "gen_ai.execute_tool", "task")
    chat, older, *rest = map(frozenset, colours([span(op, 0, 1, op=op) for op in ops]))
    assert chat == older
    assert len({chat, *rest}) == 4


THEMES = {
    # The text's colour and opacity, and the grounds that a row of a table may have: plain, every second, pointed at.
    "JupyterLab light": ("#000000", 0.87, ("#ffffff", "#f5f5f5", "#e1f5fe")),
    "JupyterLab dark": ("#ffffff", 0.87, ("#111111", "#212121", "#0e3041")),
    "VS Code light": ("#3b3b3b", 1.0, ("#ffffff", "#f8f8f8")),
    "VS Code dark": ("#cccccc", 1.0, ("#1f1f1f", "#1e1e1e", "#2a2d2e")),
    "GitHub dark": ("#f0f6fc", 1.0, ("#0d1117", "#151b23")),
}
GROUNDS = [pytest.param(*theme, id=name) for name, theme in THEMES.items()]
ENDS = ("completed", "cancelled", "abandoned", "failed")


def mixed(colour: str, ground: str, opacity: float) -> str:
    """What is seen of a colour that lets its ground through."""
    pairs = ((int(colour[at : at + 2], 16), int(ground[at : at + 2], 16)) for at in (1, 3, 5))
    return "#" + "".join(f"{round(below + (own - below) * opacity):02x}" for own, below in pairs)


@pytest.mark.parametrize(("text", "opacity", "grounds"), GROUNDS)
def test_every_word_can_be_read_in_every_theme(text: str, opacity: float, grounds: tuple[str, ...]) -> None:
    """Words have the page's own colour, and where that is faint still a contrast of 4.5; only marks have another."""
    html = as_html([span(how, 0, 1, langchain_stream__outcome=how) for how in ENDS])
    coloured = re.findall(r'style="color: [^"]+">([^<]*)<', html)
    assert coloured == ["●"] * 3
    assert html.count("color:") == len(coloured)
    for faint in map(float, re.findall(r"opacity: ([\d.]+)", html)):
        for ground in grounds:
            assert contrast(mixed(text, ground, opacity * faint), ground) >= 4.5, ground


@pytest.mark.parametrize(("text", "opacity", "grounds"), GROUNDS)
def test_every_bar_and_mark_can_be_seen_in_every_theme(text: str, opacity: float, grounds: tuple[str, ...]) -> None:
    """Nobody knows what page it is shown on: each colour has the contrast of 3 that WCAG asks of graphics."""
    ops = ("gen_ai.chat", "gen_ai.invoke_agent", "gen_ai.execute_tool", "task")
    spans = [span(op, 0, 1, op=op) for op in ops] + [span(how, 0, 1, langchain_stream__outcome=how) for how in ENDS]
    seen = set().union(*colours(spans)) | set(re.findall(r'style="color: ([^"]+)"', as_html(spans)))
    assert len(seen) == 6
    assert [(each, ground) for each in seen for ground in grounds if contrast(each, ground) < 3] == []


def test_the_labels_of_the_axis_have_a_ground_of_their_own() -> None:
    """An image cannot know the page's theme, so its words are on a ground that covers it, with a contrast of 4.5."""
    axis = Page(as_html([span("call", 0, 1)])).images()[0]
    (ruler,) = axis.iter(f"{SVG}path")
    (labels,) = axis.iter(f"{SVG}g")
    assert ruler.attrib["d"] == "M0 0H240V16H0Z"
    assert contrast(labels.attrib["fill"], ruler.attrib["fill"]) >= 4.5
    assert [each.tag for each in axis] == [ruler.tag, labels.tag]  # the words are above the ground


def test_whatever_a_span_says_is_text() -> None:
    """Markup in a name, op, model, outcome, status or error is shown as it was written, and makes no element."""
    hostile = """"><script src=//x>'&lt;</td>"""
    spans = [
        span(
            hostile,
            0,
            1,
            op=hostile,
            gen_ai__response__model=hostile,
            langchain_stream__outcome=hostile,
            error__type=hostile,
        ),
        span("status", 0, 1, status=hostile),
    ]
    page = Page(as_html(spans))
    assert {tag for tag, _ in page.elements} == {"table", "tr", "th", "td", "div", "span", "small", "img"}
    assert page.rows[1] == [f"{hostile}  {hostile}", "", "1.00 s", f"● {hostile}: {hostile}", hostile]
    assert page.rows[2][3] == f"● {hostile}"


def test_it_needs_nothing_from_elsewhere() -> None:
    """No script, no style sheet, no address: each image is in the page itself."""
    html = as_html([span("call", 0, 1, gen_ai__response__time_to_first_chunk=0.5)])
    page = Page(html)
    sources = [attributes["src"] or "" for tag, attributes in page.elements if tag == "img"]
    assert len(sources) == 2
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert not {"script", "style", "link", "svg"} & {tag for tag, _ in page.elements}
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert "//" not in re.sub(r"base64,[^\"]*", "", html)


def test_the_axis_is_labelled_within_the_picture() -> None:
    """However long it all took, there are two to five labels, and none reaches out of the picture."""
    for exponent in range(-40, 60):
        length = 10 ** (exponent / 10)
        (axis, _) = Page(as_html([span("call", 0, length)])).images()
        labels = list(axis.iter(f"{SVG}text"))
        assert 2 <= len(labels) <= 5, length
        assert all(float(label.attrib["x"]) + 3 * len(label.text or "") <= 240 for label in labels)


@pytest.mark.parametrize("length", [1.9999999999999998, 0.19999999999999998, 1999999999.9999998])
def test_an_axis_just_short_of_a_round_number_has_labels(length: float) -> None:
    """Where the logarithm of a length is rounded up, the axis is as if the length had been."""
    [axis, _] = Page(as_html([span("chat", 0.0, length)])).images()
    assert len([*axis.iter(f"{SVG}text")]) >= 2


def test_too_many_spans_are_counted() -> None:
    """Of a great many spans the first are drawn, and the number of the others is told."""
    page = Page(as_html([span(str(number), number, number + 1) for number in range(MOST_ROWS + 1_234)]))
    assert len(page.rows) == 1 + MOST_ROWS + 1
    assert page.rows[-1] == ["and 1,234 more spans"]


def test_a_long_name_is_cut() -> None:
    """A name of many characters ends in an ellipsis, so that the bars stay in sight."""
    (label,) = Page(as_html([span("x" * 500, 0, 1, op="")])).column("span")
    assert label == "x" * 43 + "…"


def test_nothing_to_show_is_said() -> None:
    """Without spans there is no empty table."""
    assert as_html([]) == "<p>(no spans)</p>"


def test_the_longest_gap_the_rate_and_the_cost_are_shown() -> None:
    """The bar is pale in the gap, and the numbers stand beside it."""
    call = span(
        "chat",
        0.0,
        4.0,
        gen_ai__response__time_to_first_chunk=1.0,
        langchain_stream__longest_gap_at=2.0,
        langchain_stream__longest_gap=1.5,
        gen_ai__response__tokens_per_second=41.26,
        gen_ai__cost__total_tokens=0.000123,
    )
    html = as_html([call])
    for told in ("longest gap", "1.50 s", "rate", "41/s", "cost", "$0.00012", "longest gap from 2.00 s to 3.50 s"):
        assert told in html
    (bar,) = [b64decode(each).decode() for each in re.findall(r"base64,([^\"]+)", html)][1:]
    assert re.findall(r'<rect x="([\d.]+)" y="4" width="([\d.]+)"[^>]*?( fill-opacity="0.4")?/>', bar) == [
        ("1.0", "59.5", ' fill-opacity="0.4"'),
        ("60.5", "59.5", ""),
        ("120.0", "89.2", ' fill-opacity="0.4"'),
        ("209.2", "29.8", ""),
    ]
    without = as_html([span("chat", 0.0, 4.0)])
    assert not [title for title in ("longest gap", "rate", "cost") if title in without]
