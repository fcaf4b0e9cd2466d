"""What is said about an answer: by its chunks, and by the application with `set_usage` and `set_response`."""

from __future__ import annotations

from typing import Any, NamedTuple

from .._content.policy import Policy
from .._content.reading import count
from .._runs.call import Call, Response
from .._runs.usage import Usage
from .._runs.usage_reports import reported_by
from .._runtime.arguments import check_optional_text
from .._runtime.containment import warn_once
from .answer import Answer


class StatedUsage(NamedTuple):
    """A usage in which the input or the output may be missing."""

    usage: Usage

    def completed(self, prompt: int | None, arrived: int) -> Usage:
        """Return the whole usage.

        Args:
            prompt: The estimated tokens of the prompt, which stand in for a missing input.
            arrived: The estimated tokens of the answer, which stand in for a missing output.
        """
        stated = self.usage
        if stated.input is not None and stated.output is not None:
            return stated
        input, output = stated.input, stated.output
        if input is None:
            cached = (stated.cache_read or 0) + (stated.cache_creation or 0)
            input = max(prompt or 0, cached) or prompt
        if output is None:
            output = max(arrived, stated.reasoning or 0)
        return stated._replace(input=input, output=output, total=(input or 0) + output, source="estimate")


class StatedResponse(NamedTuple):
    """Facts of a response. `None`: the application has not said it."""

    model: str | None = None
    id: str | None = None
    finish_reason: str | None = None

    def over(self, response: Response) -> Response:
        """Return a response with these facts in place of its own."""
        reasons = response.finish_reasons if self.finish_reason is None else (self.finish_reason,)
        return response._replace(model=self.model or response.model, id=self.id or response.id, finish_reasons=reasons)


class Said:
    """All that was said about an answer so far. It does not know the stream, which may go first.

    Args:
        policy: What may be recorded of the answer.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.answer: Answer | None = None
        self.response = StatedResponse()
        self.usage: StatedUsage | None = None

    def complete(self, call: Call) -> None:
        """Put it together in the record of the call."""
        if self.answer is not None:
            request = call.request
            call.response = self.answer.response(self.policy.beside(request.system, request.tools, request.messages))
        call.response = self.response.over(call.response)
        if self.usage is not None:
            arrived = call.arrived()
            call.reported = self.usage.completed(call.request.estimated_input, arrived)


def stated_usage(usage: object, **tokens: int | None) -> StatedUsage | None:
    """Read the arguments of `set_usage`, which documents them. `None` if they have no numbers."""
    for name, number in tokens.items():
        if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
            raise TypeError(f"{name} must be an int or None, not {type(number).__name__}")
        if number is not None and number < 0:
            raise ValueError(f"{name} must not be negative, but is {number}")
        if number is not None and count(number) is None:
            raise ValueError(f"{name} must be at most 2**53, but is {number}")
    given = any(number is not None for number in tokens.values())
    if usage is None:
        return StatedUsage(_of_numbers(**tokens)) if given else None
    if given:
        raise TypeError("set_usage takes the provider's usage or numbers, not both")
    if isinstance(usage, (str, bytes, int, float)):
        raise TypeError(f"usage must be the provider's object or mapping, not {type(usage).__name__}")
    found = reported_by(usage)
    if found is None:
        warn_once("set_usage", "set_usage got a %s, in which no number of tokens was found.", type(usage).__name__)
        return None
    return StatedUsage(found)


def _of_numbers(
    *,
    input_tokens: int | None,
    output_tokens: int | None,
    cached_tokens: int | None,
    cache_creation_tokens: int | None,
    reasoning_tokens: int | None,
) -> Usage:
    """Return the usage, in which a detail is never more than its total. One that is more was counted beside it."""
    raw: dict[str, Any] = {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "input_token_details": {"cache_read": cached_tokens, "cache_creation": cache_creation_tokens},
        "output_token_details": {"reasoning": reasoning_tokens},
    }
    for whole, name, parts in (
        (input_tokens, "input_tokens", (cached_tokens, cache_creation_tokens)),
        (output_tokens, "output_tokens", (reasoning_tokens,)),
    ):
        if whole is not None and sum(part or 0 for part in parts) > whole:
            warn_once(
                f"set_usage {name}",
                "set_usage got fewer %s than their parts, which were added to them. The input includes the cached "
                "tokens, and the output the reasoning. Anthropic counts the cached ones beside the input: pass its "
                "usage as it is, or add them.",
                name,
            )
    found = Usage.reported(raw) or Usage()
    # Of an input or an output that is yet to be estimated nothing is known but its parts.
    if input_tokens is None:
        found = found._replace(cache_read=cached_tokens, cache_creation=cache_creation_tokens)
    if output_tokens is None:
        found = found._replace(reasoning=reasoning_tokens)
    return found


def stated_response(earlier: StatedResponse, **facts: str | None) -> StatedResponse:
    """Read the arguments of `set_response`, which documents them."""
    for name, fact in facts.items():
        check_optional_text(name, fact)
    return earlier._replace(**{name: fact for name, fact in facts.items() if fact})
