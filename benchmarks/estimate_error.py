"""How far the estimates of tokens are from what a tokenizer counts. Prints the tables of `docs/numbers.md`.

    pip install ".[bench]"
    python -m benchmarks.estimate_error

It needs no network: `bpe-openai` has the vocabularies of OpenAI's models in its wheel. Each number is read from the
span that the handler would send.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import bpe_openai
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from benchmarks.texts import DATA, LANGUAGES
from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans

ENCODINGS = {"o200k_base": "GPT-4o and later", "cl100k_base": "GPT-4"}

ENGLISH = """
The ferry to the island leaves twice a day, and in winter only when the harbour master says so. He stands at the end
of the pier with a paper cup of coffee, looks at the water for a while, and then either nods or shakes his head. Nobody
has ever seen him consult a forecast. Tourists find this charming until they have missed a train because of it; the
people who live on the island simply plan for two possible Tuesdays and are pleased with whichever one they get.

My grandmother kept a small shop there for forty-one years. She sold rope, candles, tinned peaches, newspapers that
were always a day late, and a kind of hard ginger biscuit which she baked herself and which could, she said, survive a
shipwreck. Accounts were settled at the end of each month, or at the end of the fishing season, or sometimes not at
all. When the bank on the mainland finally asked for her books, she sent them a crate of biscuits and a letter of nine
pages explaining who had been ill, whose boat had been sold, and why it would be unkind to insist.

I have the letter now. What strikes me is not how generous it is but how exact: every debt is there, with its date and
its reason, and beside each one a short remark on the weather. "March 3rd, £4.20, lamp oil. Gale from the north-west,
no ferry for six days." She had noticed, long before anyone drew a chart of it, that people pay late after storms.
"""

CHINESE = """
城南有一条不到两百米长的小街，街上只有一家修表铺。铺子的主人姓沈，今年七十三岁，十六岁起跟着父亲学手艺，
一做就是五十多年。店里没有招牌，门口只挂着一只停了的大钟，指针永远指向四点十分。有人问他为什么不把这只钟修好，
他总是笑着说：修好了，大家就不会停下来看它了。

来修表的人各有各的故事。有位老太太每年春天都会送来同一块旧手表，其实那块表走得很准，她只是想找人说说话。
也有年轻人拿着祖父留下的怀表，小心翼翼地问还能不能修。沈师傅从来不急着回答，他先把表放在耳边听一会儿，
再打开后盖，用放大镜慢慢地看。他说，机器和人一样，哪里不舒服，自己会讲，只是声音很轻，要有耐心才听得见。

去年秋天，街道要改造，沿街的铺面都要统一装修。施工队的负责人来劝他换一块电子显示屏，说这样更现代，也更引人注意。
沈师傅想了三天，最后只提了一个要求：那只停在四点十分的大钟必须留在原来的地方。负责人不明白，他就解释说，
他的妻子当年第一次走进这家店的时候，正好是下午四点十分。从那以后，无论生意好坏、天气冷热，
每天到了这个时刻，他都会放下手里的活，泡一杯茶，在门口坐上一刻钟。现在街上的行人多了起来，
很多人专门绕路来看这只不走的钟，还有人把自己的表也调到四点十分，拍一张照片再离开。
沈师傅觉得好笑，又有些感动。他说，时间嘛，本来就是大家一起商量出来的东西，偶尔停一停，也没有什么关系。
"""

CODE = '''
from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass, field


@dataclass(order=True)
class Visit:
    cost: float
    station: str = field(compare=False)
    path: tuple[str, ...] = field(compare=False, default=())


class Timetable:
    """Connections between stations, with the minutes that each one takes."""

    def __init__(self) -> None:
        self._edges: dict[str, list[tuple[str, float]]] = defaultdict(list)
        self._closed: set[str] = set()

    def connect(self, start: str, end: str, minutes: float, *, both_ways: bool = True) -> None:
        if minutes <= 0:
            raise ValueError(f"a connection takes time, not {minutes!r} minutes")
        self._edges[start].append((end, minutes))
        if both_ways:
            self._edges[end].append((start, minutes))

    def close(self, station: str) -> None:
        self._closed.add(station)

    def fastest(self, start: str, end: str, change: float = 4.0) -> Visit | None:
        queue = [Visit(0.0, start, (start,))]
        seen: dict[str, float] = {}
        while queue:
            here = heapq.heappop(queue)
            if here.station == end:
                return here
            if here.station in self._closed or seen.get(here.station, float("inf")) <= here.cost:
                continue
            seen[here.station] = here.cost
            for station, minutes in self._edges[here.station]:
                wait = change if len(here.path) > 1 else 0.0
                heapq.heappush(queue, Visit(here.cost + minutes + wait, station, (*here.path, station)))
        return None


if __name__ == "__main__":
    table = Timetable()
    for line in open("connections.csv", encoding="utf-8").read().splitlines()[1:]:
        start, end, minutes = line.split(",")
        table.connect(start.strip(), end.strip(), float(minutes))
    found = table.fastest("Central", "Harbour")
    print("no way" if found is None else f"{' > '.join(found.path)}: {found.cost:.1f} min")
'''

TEXTS = {"English": ENGLISH.strip(), "code": CODE.strip(), **DATA, "Chinese": CHINESE.strip(), **LANGUAGES}


class Reader(BaseChatModel):
    """A model that answers with these pieces and reports no usage."""

    pieces: tuple[str, ...]

    @property
    def _llm_type(self) -> str:
        return "reader"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content="".join(self.pieces)))])

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        for piece in self.pieces:
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))


def by_token(encoding: Any, text: str) -> Iterator[str]:
    """The text as a server sends it that sends each token: a character goes out when all its bytes are there."""
    pending = b""
    for token in encoding.encode(text):
        pending += encoding.decode_single_token_bytes(token)
        try:
            yield pending.decode()
        except UnicodeDecodeError:
            continue
        pending = b""


def grouped(pieces: Sequence[str], size: int) -> list[str]:
    """The same, several pieces to a chunk."""
    return ["".join(pieces[at : at + size]) for at in range(0, len(pieces), size)]


def told(prompt: str, pieces: Sequence[str], *, streamed: bool, counter: Callable[[str], int] | None = None) -> Any:
    """The attributes of the span of one call."""
    config: Any = {"callbacks": [SentryStreamHandler(token_counter=counter)]}
    model = Reader(pieces=tuple(pieces))
    with capture_spans() as captured:
        if streamed:
            for _ in model.stream(prompt, config=config):
                pass
        else:
            model.invoke(prompt, config=config)
    attributes = captured.find(op="gen_ai.chat").attributes
    assert attributes["langchain_stream.usage_source"] == "estimate"
    return attributes


def error(estimate: int, tokens: int) -> str:
    """An estimate's relative error."""
    return f"{(estimate - tokens) / tokens:+.1%}"


def row(encoding: Any, text: str) -> Iterator[str]:
    """The numbers of one text: its size, and the error of each estimate."""
    tokens = len(encoding.encode(text))
    pieces = list(by_token(encoding, text))
    words = re.findall(r"\s*\S+|\s+$", text)
    assert "".join(pieces) == "".join(words) == text

    def output(pieces: Sequence[str], *, streamed: bool = True, counter: Callable[[str], int] | None = None) -> str:
        attributes = told("Hi", pieces, streamed=streamed, counter=counter)
        return error(attributes["gen_ai.usage.output_tokens"], tokens)

    yield str(len(text))
    yield str(tokens)
    yield error(told(text, ["Hi"], streamed=True)["gen_ai.usage.input_tokens"], tokens)
    yield output([text], streamed=False)
    yield output(pieces)
    yield output(grouped(pieces, 4))
    yield output(words)
    yield output(words, counter=lambda piece: len(encoding.encode(piece)))


def main() -> None:
    """Print a table for each encoding."""
    columns = (
        *("text", "characters", "tokens", "prompt", "whole answer", "token by token", "4 tokens a chunk"),
        *("word by word", "word by word, with a `token_counter`"),
    )
    for name, models in ENCODINGS.items():
        encoding = bpe_openai.get_encoding(name)
        print(f"\n`{name}` ({models}):\n")
        print(f"| {' | '.join(columns)} |")
        print(f"|{'---|' * len(columns)}")
        for kind, text in TEXTS.items():
            print(f"| {kind} | {' | '.join(row(encoding, text))} |")


if __name__ == "__main__":
    main()
