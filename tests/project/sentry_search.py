"""As much of Sentry's search as the queries of `examples/sentry` use, over captured spans."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sentry_langchain_stream.testing import CapturedSpan, capture_spans
from tests.kit.helpers import Clock, handler_on
from tests.kit.wire import WIRE_SHAPES, ScriptedModel

PRICE = 0.01
"""What a token costs here, in USD."""

TERM = re.compile(r"!?(tags\[[\w.]+,number\]|[\w.]+):(>?)(\[[\w,]+\]|[\w.]+)")
CALL = re.compile(r"(\w+)\(([^()]+)\)")


def key(attribute: str) -> str:
    """The key of an attribute, as it is sent."""
    return attribute.removeprefix("tags[").removesuffix(",number]")


def split(text: str) -> list[str]:
    """The arguments of a call."""
    return re.findall(r"tags\[[^\]]+\]|[^,]+", text)


def attributes(field: str) -> list[str]:
    """The attributes of a field: an attribute, an aggregate or an equation."""
    return [split(each[2])[0] for each in CALL.finditer(field)] or [field]


def searched(conditions: str) -> list[re.Match[str]]:
    """The terms of a search, all of which must be understood."""
    found = [TERM.fullmatch(each) for each in conditions.split()]
    assert None not in found, conditions
    return [each for each in found if each is not None]


class Rows(list[dict[str, Any]]):
    """Spans, as Sentry would look at them."""

    def matching(self, conditions: str) -> Rows:
        """Those that a search finds."""
        return Rows(row for row in self if all(_found(row, term) for term in searched(conditions)))

    def value(self, aggregate: str) -> float:
        """An aggregate or an equation."""
        numbers = CALL.sub(lambda call: repr(self._call(call[1], split(call[2]))), aggregate.removeprefix("equation|"))
        assert re.fullmatch(r"[\d.()+/* e-]+", numbers), numbers
        return float(eval(numbers))

    def _call(self, function: str, arguments: list[str]) -> float:
        values = [row[key(arguments[0])] for row in self if key(arguments[0]) in row]
        if function == "count_if":
            assert arguments[1] == "equals"
            return float(values.count(arguments[2]))
        if function == "count":
            return float(len(values))
        if function == "sum":
            return float(sum(values))
        return float(sorted(values)[int(int(function.removeprefix("p")) / 100 * (len(values) - 1))]) if values else 0.0


def asked(term: re.Match[str]) -> str:
    """The attribute that a term of a search asks for."""
    return term[3] if term[1] == "has" else term[1]


def _found(row: dict[str, Any], term: re.Match[str]) -> bool:
    attribute, above, value = term.groups()
    has = row.get(key(asked(term)))
    is_so = has is not None
    if has is not None and attribute != "has":
        is_so = has > float(value) if above else has in value.strip("[]").split(",")
    return is_so is not term[0].startswith("!")


def row(span: CapturedSpan) -> dict[str, Any]:
    """A span with what Sentry adds. The cost is sent with `cost=True`, and calculated by Sentry without."""
    told = dict(span.attributes)
    if "gen_ai.operation.name" in told:
        kinds = {"invoke_agent": "agent", "execute_tool": "tool"}
        if "gen_ai.usage.total_tokens" in told:
            told["gen_ai.cost.total_tokens"] = PRICE * told["gen_ai.usage.total_tokens"]
        told["gen_ai.operation.type"] = kinds.get(str(told["gen_ai.operation.name"]), "ai_client")
    return {**told, "span.duration": span.duration * 1000, "trace": span.trace_id, "timestamp": span.start}


def stream(shape: str, seconds: float, *, leave: bool = False, fail: bool = False) -> Rows:
    """Stream an answer with so many seconds before each chunk, and maybe leave it, or fail, after the second."""
    clock = Clock()

    def before(number: int) -> None:
        clock.advance(seconds)
        if fail and number == 2:
            raise ValueError("overloaded")

    model = ScriptedModel(model_name="gpt-4o-mini", before=before)
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        handler = handler_on(clock, pipeline_name="support-bot")
        chunks = model.stream("Hi", config={"callbacks": [handler]})
        if leave:
            next(chunks), next(chunks)
            clock.advance(seconds)
            chunks.close()  # type: ignore[attr-defined]
        elif fail:
            with pytest.raises(ValueError, match="overloaded"):
                list(chunks)
        else:
            list(chunks)
    return Rows(map(row, captured.spans))
