"""The facts of a model call."""

from __future__ import annotations

from itertools import chain

from .._vocabulary import facts
from .._vocabulary.facts import Fact
from .._vocabulary.keys import AttributeValue, Facts
from .call import Call, TextsCall


def request(call: Call) -> Facts:
    """The model, the provider and the parameters of the request."""
    sent = call.request
    named = (
        (facts.OPERATION, sent.operation),
        (facts.REQUEST_MODEL, sent.model),
        (facts.PROVIDER, sent.provider),
        (facts.RUN_NAME, sent.function),
    )
    return chain(named, zip(map(_PARAMETERS.__getitem__, sent.parameters), sent.parameters.values(), strict=True))


def response(call: Call) -> Facts:
    """The model, the id and the finish reasons of the response."""
    answer = call.response
    assumed = call.request.model if call.finished and call.assumes_model else None
    # Of a call that has not answered it is unknown whether its answer would have been streamed.
    tells = (call.finished or call.streamed) and not isinstance(call, TextsCall)
    return (
        (facts.RESPONSE_MODEL, answer.model or call.named or assumed),
        (facts.RESPONSE_ID, answer.id),
        (facts.CACHE_HIT, call.cached or None),
        (facts.FINISH_REASONS, ",".join(answer.finish_reasons) or None),
        (facts.STREAMING, call.streamed if tells else None),
    )


def usage(call: Call) -> Facts:
    """Token counts and rates, and whether the provider reported the tokens or they are estimated."""
    used = call.usage()
    if used is None:
        return ()
    known: list[tuple[Fact, AttributeValue | None]] = [*zip(_USAGE, used, strict=True)]
    if used.output is None:
        return known
    seconds, streaming = call.ended - call.started, call.last_chunk_at - call.first_chunk_at
    if seconds > 0:
        known.append((facts.TOKENS_PER_SECOND, used.output / seconds))
    if streaming > 0:
        # The tokens after the first chunk, assuming that all chunks have the same number of tokens.
        known.append((facts.DECODE_RATE, used.output * (call.chunks - 1) / call.chunks / streaming))
    return known


def cost(call: Call) -> Facts:
    """What the tokens cost, in USD."""
    return () if call.cost is None else zip(_COST, call.cost, strict=True)


def timing(call: Call) -> Facts:
    """Chunks and the time between them, in seconds."""
    if not call.streamed:
        return ()
    known: list[tuple[Fact, AttributeValue | None]] = [(facts.CHUNKS, call.chunks)]
    if call.chunks:
        known.append((facts.FIRST_CHUNK, call.first_chunk_at - call.started))
        known.append((facts.FINAL_SILENCE, max(call.ended - call.last_chunk_at, 0.0)))
    if call.chunks > 1:
        known.append((facts.LONGEST_GAP, call.longest_gap))
        known.append((facts.LONGEST_GAP_AT, call.longest_gap_at - call.started))
    return known


def content(call: Call) -> Facts:
    """Prompt, tools and answer, if they were kept."""
    sent = call.request
    return (
        (facts.INPUT_MESSAGES, sent.messages),
        (facts.SYSTEM_INSTRUCTIONS, sent.system),
        (facts.TOOL_DEFINITIONS, sent.tools),
        (facts.OUTPUT_MESSAGES, call.response.messages),
    )


def texts(call: TextsCall) -> Facts:
    """What an embedding model or a reranker was given, and what it returned."""
    return (
        (facts.INPUTS, call.inputs),
        (facts.EMBEDDINGS_INPUT, call.embedded),
        (facts.DIMENSIONS, call.dimensions),
        (facts.QUERY, call.query),
        (facts.TOP_N, call.top),
        (facts.DOCUMENTS, call.documents),
        (facts.FOUND, call.found),
    )


# One fact per field of `Usage` and of `Cost`, in the order of the fields.
_USAGE = (
    facts.INPUT_TOKENS,
    facts.OUTPUT_TOKENS,
    facts.TOTAL_TOKENS,
    facts.CACHE_READ,
    facts.CACHE_CREATION,
    facts.REASONING,
    facts.AUDIO_INPUT,
    facts.AUDIO_OUTPUT,
    facts.USAGE_SOURCE,
)
_COST = (
    facts.COST_INPUT,
    facts.COST_OUTPUT,
    facts.COST_TOTAL,
    facts.COST_CACHE_READ,
    facts.COST_CACHE_CREATION,
    facts.COST_REASONING,
    facts.COST_REQUESTS,
)

_PARAMETERS: dict[str, Fact] = {
    "temperature": facts.TEMPERATURE,
    "top_p": facts.TOP_P,
    "top_k": facts.TOP_K,
    "max_tokens": facts.MAX_TOKENS,
    "seed": facts.SEED,
    "stop": facts.STOP,
    "frequency_penalty": facts.FREQUENCY_PENALTY,
    "presence_penalty": facts.PRESENCE_PENALTY,
    "reasoning": facts.REASONING_LEVEL,
}
