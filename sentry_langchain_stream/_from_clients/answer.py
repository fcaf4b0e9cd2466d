"""One streamed answer: what the chunks of a client library have brought so far."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from .._content.gathered import Gathered
from .._content.messages import output_messages
from .._content.policy import Policy
from .._content.reading import as_mapping, as_text, field
from .._runs.call import Response
from .._runs.usage import Usage

Kind = Literal["text", "reasoning", "call", "whole"]

_MOST_PARTS = 1_000
"""The number of parts of an answer that are kept, and of the citations of a text."""


@dataclass(slots=True, eq=False)
class _Part:
    """A part of an answer: a text, a piece of reasoning, a tool call, or a block that came whole."""

    kind: Kind
    gathered: Gathered
    id: str | None = None
    name: str | None = None
    type: str | None = None
    """The type of a call of one of the provider's own tools."""
    whole: Any = None
    """A block that came whole, or the arguments of a call that did."""
    citations: list[Any] = dataclasses.field(default_factory=list)

    def block(self) -> dict[str, Any]:
        """Return the part as a content block or a tool call, in a shape that `_content.parts` reads."""
        text = self.gathered.text()
        if self.kind == "text":
            return {"type": "text", "text": text, **({"citations": self.citations} if self.citations else {})}
        if self.kind == "reasoning":
            return {"type": "reasoning", "reasoning": text}
        if self.kind == "call":
            arguments = self.whole if self.whole is not None else text or {}
            return {"type": self.type or "tool_call", "id": self.id, "name": self.name, "args": arguments}
        return {**self.whole}


@dataclass(slots=True, eq=False)
class _Numbered:
    """The tool calls that have the same number, and which of them came last."""

    ids: dict[str, int] = dataclasses.field(default_factory=dict)
    last: int = 0


@dataclass(slots=True, eq=False)
class _Choice:
    """One of the answers to a prompt. Most requests ask for one."""

    parts: dict[tuple[Kind, Any], _Part] = dataclasses.field(default_factory=dict)
    reason: str | None = None

    def message(self) -> dict[str, Any]:
        blocks = [part.block() for part in self.parts.values() if part.kind != "call" or part.type is not None]
        calls = [part.block() for part in self.parts.values() if part.kind == "call" and part.type is None]
        return {"role": "assistant", "content": blocks, "tool_calls": calls}


class Answer:
    """Collects what the chunks of a stream bring. A reader calls these methods, chunk by chunk.

    Args:
        policy: What may be recorded. Without outputs no content is kept.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._choices: dict[int, _Choice] = {}
        self._last: tuple[int, Kind, int] = (-1, "whole", 0)
        self._numbered: dict[tuple[int, Any], _Numbered] = {}
        self.model: str | None = None
        self.id: str | None = None
        self.tier: str | None = None
        self.failed = False
        """Whether the provider reported in the stream that the answer failed."""
        self.kept_usage: dict[str, Any] = {}
        """What a reader has read of a usage that arrives in parts."""
        self.has_content = False
        """Whether the current chunk has a piece of the answer."""
        self.fresh = ""
        """The text in the current chunk."""
        self.usage: Usage | None = None
        """The usage in the current chunk."""
        self.usage_adds = False
        """Whether that usage may be one of several that add up, as servers with OpenAI's protocol send them."""
        self._turn: str | None = None
        self._total: Usage | None = None
        self._before: Usage | None = None

    def begin(self) -> None:
        """A chunk has arrived."""
        self.has_content, self.fresh, self.usage = False, "", None

    def text(self, piece: object, block: Any = 0, choice: int = 0) -> None:
        """Add a piece of text.

        Args:
            piece: The text. Anything else, and the empty text, is nothing.
            block: Which of the answer's texts it continues.
            choice: Which answer it belongs to.
        """
        if isinstance(piece, str) and piece:
            self.fresh += piece
            self._add("text", piece, block, choice)

    def thought(self, piece: object, block: Any = 0, choice: int = 0) -> None:
        """Add a piece of reasoning. The arguments are those of `text`."""
        if isinstance(piece, str) and piece:
            self._add("reasoning", piece, block, choice)

    def cited(self, citation: object, block: Any = 0) -> None:
        """Add a citation to a text."""
        self.has_content = True
        part = self._part("text", block, 0)
        if part is not None and len(part.citations) < _MOST_PARTS:
            part.citations.append(as_mapping(citation))

    def call(
        self,
        block: Any,
        *,
        id: object = None,
        name: object = None,
        arguments: object = None,
        type: str | None = None,
        choice: int = 0,
    ) -> None:
        """Start or continue a tool call.

        Args:
            block: Which of the answer's calls it is.
            id: The id of the call.
            name: The name of the tool.
            arguments: A piece of the arguments as JSON, or all of them as a mapping.
            type: The type of the block, for one of the provider's own tools.
            choice: Which answer it belongs to.
        """
        self.has_content = True
        part = self._part("call", block, choice)
        if part is None:
            return
        part.id, part.name, part.type = part.id or as_text(id), part.name or as_text(name), part.type or type
        if isinstance(arguments, str):
            part.gathered.add(arguments)
        elif arguments:
            part.whole = as_mapping(arguments)

    def whole(self, block: object, key: Any, choice: int = 0) -> None:
        """Add a block that came whole: the result of one of the provider's own tools, an image."""
        self.has_content = True
        part = self._part("whole", key, choice)
        if part is not None:
            part.whole = as_mapping(block)

    def next_block(self, kind: Kind, choice: int = 0) -> int:
        """Return the number of the block that a piece continues, for providers that do not number their blocks."""
        last_choice, last_kind, number = self._last
        if (last_choice, last_kind) != (choice, kind) or kind in ("call", "whole"):
            number += 1
        self._last = choice, kind, number
        return number

    def numbered_call(self, index: object, id: object, name: object, choice: int = 0) -> Any:
        """Return which of the answer's calls a piece continues, by its number: some servers number all of them 0.

        Args:
            index: The number of the call.
            id: The id of the call, if the piece has one.
            name: The name of the tool, if the piece has one. With it, an id that is new begins another call. Without
                it, it does not: some servers make up an id for each piece.
            choice: Which answer it belongs to.
        """
        place, call_id = (choice, index if isinstance(index, (int, str)) else 0), as_text(id)
        if place not in self._numbered and len(self._numbered) >= _MOST_PARTS:
            return place[1], 0
        known = self._numbered.setdefault(place, _Numbered())
        if call_id is not None:
            if (
                call_id not in known.ids
                and len(known.ids) < _MOST_PARTS
                and (not known.ids or as_text(name) is not None)
            ):
                known.ids[call_id] = len(known.ids)
            known.last = known.ids.get(call_id, known.last)
        return place[1], known.last

    def stopped(self, reason: object, choice: int = 0) -> None:
        """Record why the answer ended. An enumeration's member counts by its name."""
        text = as_text(getattr(reason, "name", reason))
        if text is not None:
            self._choice(choice).reason = text

    def named(self, model: object) -> None:
        """Record the model that answers. The first name counts."""
        self.model = self.model or as_text(model)

    def identified(self, id: object) -> None:
        """Record the id of the answer. The first one counts."""
        self.id = self.id or as_text(id)

    def in_tier(self, tier: object) -> None:
        """Record the service tier of the answer. The last one counts: the first may be the one that was asked for."""
        self.tier = as_text(tier) or self.tier

    def reports(self, raw: object, *, adds: bool = False) -> None:
        """Record the usage that the provider reports in this chunk.

        Args:
            raw: A mapping or an object in one of the providers' shapes.
            adds: Whether several reports may add up. Otherwise each one counts from the start of the stream.
        """
        if raw is None:
            return
        found, self.usage_adds = Usage.reported(as_mapping(raw)), adds
        if found is not None:
            self._total = self.usage = found if self._before is None else Usage.together((self._before, found))

    def continues(self, id: object) -> None:
        """The chunk is of the answer with this id. If it is another one, the usage of the one before it is added.

        Google's client asks again, in the same stream, when it has called a Python function that is among the tools.
        """
        turn = as_text(id)
        if turn is not None and self._turn not in (None, turn):
            self._before = self._total
        self._turn = turn or self._turn

    def response(self, policy: Policy) -> Response:
        """Return the response so far.

        Args:
            policy: What may be recorded of it.
        """
        choices = [choice for _, choice in sorted(self._choices.items())]
        reasons = tuple(choice.reason for choice in choices if choice.reason is not None)
        response = Response(self.model, self.id, reasons, tier=self.tier)
        answers: list[tuple[Any, str | None]] = [(each.message(), each.reason) for each in choices if each.parts]
        return response.with_messages(output_messages(answers, policy)) if answers else response

    def _add(self, kind: Kind, piece: str, block: Any, choice: int) -> None:
        self.has_content = True
        part = self._part(kind, block, choice)
        if part is not None:
            part.gathered.add(piece)

    def _part(self, kind: Kind, block: Any, choice: int) -> _Part | None:
        if not self._policy.outputs:
            return None
        parts = self._choice(choice).parts
        part = parts.get((kind, block))
        if part is None and len(parts) < _MOST_PARTS:
            part = parts[kind, block] = _Part(kind, Gathered(self._policy))
        return part

    def _choice(self, number: object) -> _Choice:
        index = number if isinstance(number, int) else 0
        if index not in self._choices and len(self._choices) >= _MOST_PARTS:
            index = 0
        return self._choices.setdefault(index, _Choice())


def kind_of(item: object) -> str:
    """Return the `type` of an event, or an empty string."""
    kind = field(item, "type")
    return kind if isinstance(kind, str) else ""


def made_by(item: object, package: str) -> bool:
    """Whether the class of an object, or one that it derives from, comes from this package."""
    return any(f"{cls.__module__}.".startswith(f"{package}.") for cls in type(item).__mro__)
