"""The facts of a model call, in groups: what is stated of it together, and the values of that."""

from __future__ import annotations

from .._vocabulary import facts
from .._vocabulary.facts import Fact
from .._vocabulary.keys import Group, Values
from .call import Call
from .texts_call import TextsCall
from .usage import Usage

REQUEST = Group(facts.OPERATION, facts.REQUEST_MODEL, facts.PROVIDER, facts.RUN_NAME)


def request(call: Call) -> Values:
    """The model and the provider."""
    sent = call.request
    return sent.operation, sent.model, sent.provider, sent.function


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
PARAMETERS = Group(*_PARAMETERS.values())


def parameters(call: Call) -> Values | None:
    """The parameters of the request."""
    known = call.request.parameters
    return tuple(map(known.get, _PARAMETERS)) if known else None


RESPONSE = Group(facts.RESPONSE_MODEL, facts.RESPONSE_ID, facts.CACHE_HIT, facts.FINISH_REASONS, facts.STREAMING)


def response(call: Call) -> Values:
    """The model, the id and the finish reasons of the response."""
    answer = call.response
    assumed = call.request.model if call.finished and call.assumes_model else None
    # Whether the answer would have been streamed is unknown if a call has not answered.
    is_known = (call.finished or call.streamed) and not isinstance(call, TextsCall)
    return (
        answer.model or call.named or assumed,
        answer.id,
        call.cached or None,
        ",".join(answer.finish_reasons) or None,
        call.streamed if is_known else None,
    )


USAGE = Group(
    # one per field of `Usage` up to its source, in the order of the fields
    facts.INPUT_TOKENS,
    facts.OUTPUT_TOKENS,
    facts.TOTAL_TOKENS,
    facts.CACHE_READ,
    facts.CACHE_CREATION,
    facts.REASONING,
    facts.AUDIO_INPUT,
    facts.AUDIO_OUTPUT,
    facts.USAGE_SOURCE,
    facts.TOKENS_PER_SECOND,
    facts.DECODE_RATE,
)
_STATED = Usage._fields.index("source") + 1


def usage(call: Call) -> Values | None:
    """Token counts and rates, and whether the provider reported the tokens or they are estimated."""
    used = call.usage()
    if used is None:
        return None
    output, stated = used.output, used[:_STATED]
    if output is None:
        return *stated, None, None
    seconds, streaming = call.ended - call.started, call.last_chunk_at - call.first_chunk_at
    # The tokens after the first chunk, assuming that all chunks have the same number of tokens.
    later = _streamed(call, output, used.reasoning) * (call.chunks - 1) / call.chunks if streaming > 0 else 0
    return *stated, output / seconds if seconds > 0 else None, later / streaming if streaming > 0 else None


def _streamed(call: Call, output: int, reasoning: int | None) -> int:
    """Return how many of the output tokens came in chunks: a model may keep its reasoning, and do it before the first.

    No provider says whether it does. So what has arrived decides: it is about as much as the output with the reasoning,
    or without.
    """
    return output - reasoning if reasoning and call.estimated_output() < output - reasoning / 2 else output


COST = Group(
    # one per field of `Cost`, in the order of the fields
    facts.COST_INPUT,
    facts.COST_OUTPUT,
    facts.COST_TOTAL,
    facts.COST_CACHE_READ,
    facts.COST_CACHE_CREATION,
    facts.COST_REASONING,
    facts.COST_REQUESTS,
)


def cost(call: Call) -> Values | None:
    """What the tokens cost, in USD."""
    return call.cost


TIMING = Group(facts.CHUNKS, facts.FIRST_CHUNK, facts.FINAL_SILENCE, facts.LONGEST_GAP, facts.LONGEST_GAP_AT)


def timing(call: Call) -> Values | None:
    """Chunks and the time between them, in seconds."""
    if not call.streamed:
        return None
    first = silence = gap = gap_at = None
    if call.chunks:
        first, silence = call.first_chunk_at - call.started, max(call.ended - call.last_chunk_at, 0.0)
    if call.chunks > 1:
        gap, gap_at = call.longest_gap, call.longest_gap_at - call.started
    return call.chunks, first, silence, gap, gap_at


CONTENT = Group(facts.INPUT_MESSAGES, facts.SYSTEM_INSTRUCTIONS, facts.TOOL_DEFINITIONS, facts.OUTPUT_MESSAGES)


def content(call: Call) -> Values:
    """Prompt, tools and answer, if they were kept."""
    sent = call.request
    return sent.messages, sent.system, sent.tools, call.response.messages


TEXTS = Group(facts.INPUTS, facts.DIMENSIONS, facts.TOP_N, facts.DOCUMENTS)


def texts(call: TextsCall) -> Values:
    """How much an embedding model or a reranker was given, and how much it returned."""
    return call.inputs, call.dimensions, call.top, call.documents


TEXTS_CONTENT = Group(facts.EMBEDDINGS_INPUT, facts.QUERY, facts.FOUND)


def texts_content(call: TextsCall) -> Values:
    """What it was given and what it returned, if that was kept."""
    return call.embedded, call.query, call.found
