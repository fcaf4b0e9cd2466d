"""Reads the answer of a model, chunk by chunk and as a whole. LangChain's objects are not changed.

What is asked of every answer is whether something is a `(dict, Mapping)`: for a dict that is answered at once, while
`Mapping` asks an abstract class, also for `None`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from langchain_core.globals import get_llm_cache
from langchain_core.outputs import Generation, LLMResult

from .._content.messages import output_messages
from .._content.policy import Policy
from .._content.reading import as_text, field
from .._runs.call import Response
from .._runs.usage import Usage
from .._runs.usage_reports import is_same_report, reported_in
from .._runs.usage_shapes import TIER, tier_in
from .._runtime.containment import attempt


def metadata(result: LLMResult) -> Mapping[str, Any]:
    """Return the metadata of the first answer, or nothing if there is none."""
    for prompt in result.generations:
        for generation in prompt:
            return _metadata(generation)
    return {}


def response(result: LLMResult, policy: Policy, known: Mapping[str, Any] | None = None) -> Response:
    """Read the response of a model.

    Args:
        result: LangChain's result. For an aborted stream it has what had arrived.
        policy: What may be recorded.
        known: The metadata of the first answer, if that has been read.
    """
    prompts, first = result.generations, metadata(result) if known is None else known
    generations = prompts[0] if len(prompts) == 1 else [generation for prompt in prompts for generation in prompt]
    output = result.llm_output
    whole = output if output is not None and isinstance(output, (dict, Mapping)) else {}
    model = named_in(first) or named_in(whole)
    stating = whole if TIER.isdisjoint(first) else first
    tier = None if TIER.isdisjoint(stating) else tier_in(stating)
    messages = None
    if policy.outputs:
        messages = attempt("extract.output messages", lambda: _output(generations, policy))
    return Response(
        model and once(model),
        # With several answers to one prompt, LangChain leaves the id in the output of the run.
        as_text(first.get("id")) or (_message_id(generations[0]) if generations else None) or as_text(whole.get("id")),
        _finish_reasons(generations[0], first)
        if len(generations) == 1
        else tuple([reason for generation in generations for reason in _finish_reasons(generation)]),
        messages,
        tier and once(tier),
    )


def usage(result: LLMResult, known: Mapping[str, Any] | None = None) -> Usage | None:
    """Return the usage in a result: from the messages, else the response metadata, else the run's `llm_output`.

    Several answers to one prompt all have the same usage. Several prompts have a usage each, which are added up.

    Args:
        result: LangChain's result.
        known: The metadata of the first answer, if that has been read.
    """
    prompts, whole = result.generations, result.llm_output
    first = metadata(result) if known is None else known
    found = _usage_of(prompts[0], first) if len(prompts) == 1 else Usage.together(filter(None, map(_usage_of, prompts)))
    if whole is None or not isinstance(whole, (dict, Mapping)):
        return found
    if found is not None and _repeats(whole, prompts, first):
        return found
    raw = reported_in(whole)
    return raw if found is None else found.detailed_by(raw)


def _repeats(whole: Mapping[str, Any], generations: Sequence[Sequence[Generation]], first: Mapping[str, Any]) -> bool:
    """Whether the output of the run has the report of the single answer, which LangChain copies to its metadata."""
    return len(generations) == 1 and len(generations[0]) == 1 and is_same_report(whole, first)


def counted_elsewhere(result: LLMResult) -> bool:
    """Whether the tokens of this prompt are in the usage of another prompt in the same request.

    LangChain puts the whole usage on the first prompt, and an empty one on the others.
    """
    return isinstance(result.llm_output, Mapping) and result.llm_output.get("token_usage") == {}


def from_cache(result: LLMResult, run_id: UUID, streamed: bool) -> bool:
    """Whether LangChain's cache answered. In that case LangChain sets `total_cost` to 0 in the message's usage.

    A provider's package may say so of a free model too. Then one of these shows that the model itself answered: an
    `llm_output`, which the cache does not keep; a message id that LangChain made for this run, not for an earlier one;
    with an id of the provider's: chunks, if there is no cache in the process that could have replayed them.

    Args:
        result: LangChain's result.
        run_id: The id of the run.
        streamed: Whether chunks or stream events arrived.
    """
    if result.llm_output:
        return False
    for prompt in result.generations:
        for generation in prompt:
            message = getattr(generation, "message", None)
            usage = getattr(message, "usage_metadata", None)
            if isinstance(usage, (dict, Mapping)) and usage.get("total_cost") == 0:
                made = str(getattr(message, "id", None))
                if made.startswith(_MADE):
                    return str(run_id) not in made
                return not streamed or get_llm_cache() is not None
    return False


def run_of(result: LLMResult) -> str | None:
    """Return the id of the run that an answer is from, if LangChain has made the id of its message.

    It makes one of the id of the run, for a message without an id: a model that hands on another one's message hands on
    its id (langchain-core 1.0 to 1.8).
    """
    for prompt in result.generations:
        for generation in prompt:
            made = as_text(getattr(getattr(generation, "message", None), "id", None))
            return found[0] if made and made.startswith(_MADE) and (found := _RUN_ID.search(made)) else None
    return None


_RUN_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_MADE = ("lc_", "run-")
"""How the ids of messages begin that LangChain makes."""


def _output(generations: Sequence[Generation], policy: Policy) -> str | None:
    answers = [
        (answer, _finish_reason(generation))
        for generation in generations
        if (answer := _answer(generation)) is not None
    ]
    return output_messages(answers, policy) if answers else None


def _answer(generation: Generation) -> Any:
    """Return the message or the text of a generation, or `None` if it has no answer."""
    message = getattr(generation, "message", None)
    extra = getattr(message, "additional_kwargs", None)
    if (
        generation.text
        or any(getattr(message, name, None) for name in ("content", "tool_calls", "invalid_tool_calls"))
        or (isinstance(extra, Mapping) and any(extra.get(name) for name in _OTHER_ANSWERS))
    ):
        return message or generation.text
    # For an HTTP response LangChain makes an empty generation. Its metadata has the headers and the body. If the status
    # is 200, the body is an answer that fails a schema. The body of an error is never recorded.
    response = getattr(message, "response_metadata", None)
    if not isinstance(response, (dict, Mapping)) or response.get("status_code") != 200:
        return None
    answer = field(_first_choice(response.get("body")), "message")
    return answer if isinstance(answer, Mapping) else None


# The keys of `additional_kwargs` under which a message may have an answer outside of its content.
_OTHER_ANSWERS = (
    *("refusal", "audio", "function_call", "tool_calls", "reasoning_content"),
    *("reasoning", "tool_outputs"),  # ChatOpenAI with `output_version="v0"`
)


def _metadata(generation: Generation) -> Mapping[str, Any]:
    metadata = getattr(getattr(generation, "message", None), "response_metadata", None) or generation.generation_info
    if not isinstance(metadata, (dict, Mapping)):
        return {}
    if "status_code" not in metadata:
        return metadata
    body = metadata.get("body")
    return _answer_in(body) if isinstance(body, Mapping) and isinstance(body.get("usage"), Mapping) else metadata


def _answer_in(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the metadata in an HTTP answer of OpenAI's. LangChain hands it over if the answer fails a schema."""
    reason = field(_first_choice(body), "finish_reason")
    names = ("id", "model", "usage", "object", "status", "incomplete_details")
    return {**{name: body.get(name) for name in names}, "finish_reason": reason}


def _first_choice(body: Any) -> Mapping[str, Any] | None:
    choices = body.get("choices") if isinstance(body, Mapping) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, Mapping) else None


NAMES = ("model_name", "model", "model_id")
"""The keys under which the metadata of a chunk or an answer may name the model."""


def named_in(metadata: Mapping[str, Any]) -> str | None:
    """Return the model that the metadata of a chunk or an answer names, if it names one."""
    for name in NAMES:
        named = metadata.get(name)
        found = as_text(named) if named is not None else None
        if found and "://" not in found:  # langchain-huggingface names the address of an endpoint
            return found
    return None


def _finish_reason(generation: Generation) -> str | None:
    return ",".join(_finish_reasons(generation)) or None


def _finish_reasons(generation: Generation, known: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Return why the model stopped.

    Args:
        generation: The answer.
        known: Its metadata, if that has been read.
    """
    for metadata in (_metadata(generation) if known is None else known, generation.generation_info):
        if not metadata:
            continue
        for name in ("finish_reason", "stop_reason", "stopReason", "done_reason"):
            said = metadata.get(name)
            if said is not None and (reason := as_text(said)) and (apart := _apart(reason[:_LONGEST_REASON])):
                return apart
        if metadata.get("object") == "response" and metadata.get("status") in _RESPONSE_ENDED:  # OpenAI Responses API
            details = metadata.get("incomplete_details")
            reason = as_text(details.get("reason") if isinstance(details, Mapping) else None)
            return ((reason or str(metadata["status"]))[:_LONGEST_REASON],)
    return ()


_LONGEST_REASON = 1_000


@lru_cache(maxsize=128)
def once(text: str) -> str:
    """Return a text that LangChain has strung together from chunks that all have it, such as "stopstop".

    The time is linear.
    """
    return text[: (text + text).find(text, 1)]


@lru_cache(maxsize=128)
def _apart(reasons: str) -> tuple[str, ...]:
    """Return the finish reasons that LangChain has strung together from chunks, each once.

    Vertex AI sends one with every chunk, which is no reason until the last one: a stream that is left before has none.
    With n > 1, each answer has its own.
    """
    meant = reasons.replace(_UNSPECIFIED, "")
    if not meant:
        return ()
    known = _REASONS.findall(meant)
    return tuple(dict.fromkeys(known)) if "".join(known) == meant else (once(meant),)


_UNSPECIFIED = "FINISH_REASON_UNSPECIFIED"

_REASONS = re.compile("stop|length|tool_calls|content_filter|function_call")  # OpenAI's

_RESPONSE_ENDED = ("completed", "incomplete", "failed", "cancelled")


def _usage_of(generations: Sequence[Generation], first: Mapping[str, Any] | None = None) -> Usage | None:
    """Return the usage of a prompt, from its first answer that has one. All its answers have the same.

    Args:
        generations: The answers.
        first: The metadata of the first one, if that has been read.
    """
    for place, generation in enumerate(generations):
        message = getattr(generation, "message", None)
        found = Usage.reported(getattr(message, "usage_metadata", None))
        # Some packages (langchain-mistralai, -nvidia-ai-endpoints, -sambanova) leave the details in the metadata.
        raw = reported_in(first if first is not None and place == 0 else _metadata(generation))
        if found is not None or raw is not None:
            return raw if found is None else found.detailed_by(raw)
    return None


def _message_id(generation: Generation) -> str | None:
    message = getattr(generation, "message", None)
    found = as_text(getattr(message, "id", None))
    return None if found is None or found.startswith(_MADE) else found
