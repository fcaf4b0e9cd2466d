"""What the queries are made of: attributes, searches and aggregates."""

from __future__ import annotations

# Attributes. Sentry defines the type of those that it uses itself. Of all others it has to be told that they are
# numbers, because it keeps texts and numbers of the same name apart.
PIPELINE = "gen_ai.pipeline.name"
MODEL = "gen_ai.request.model"  # not the response's: an answer that was left early may not have named its model
OUTCOME = "langchain_stream.outcome"
USAGE_SOURCE = "langchain_stream.usage_source"
TOKENS = "gen_ai.usage.total_tokens"
COST = "gen_ai.cost.total_tokens"  # USD, in spite of its name
FIRST_CHUNK = "tags[gen_ai.response.time_to_first_chunk,number]"
LONGEST_GAP = "tags[langchain_stream.longest_gap,number]"
FINAL_SILENCE = "tags[langchain_stream.final_silence,number]"

# Searches. Sentry sets the operation type of each AI span. Agents carry the usage of their model calls a second time,
# and what `record_evaluation` sends has the type and the operation of a decision model's call, but a name of its own.
# So every query is restricted to model calls.
CALLS = "gen_ai.operation.type:ai_client !has:gen_ai.evaluation.name"
ABORTED = f"{CALLS} {OUTCOME}:[abandoned,cancelled]"
INCOMPLETE = f"{CALLS} {OUTCOME}:[abandoned,cancelled,failed]"
FOLLOWED = f"{CALLS} {OUTCOME}:[abandoned,cancelled,completed,failed]"  # not those of a client without this package
STALLED = f"{CALLS} {LONGEST_GAP}:>5"

# Aggregates.
COUNT = "count(span.duration)"
ALL_TOKENS = f"sum({TOKENS})"
ALL_COST = f"sum({COST})"
ABORTED_COUNT = f"count_if({OUTCOME},equals,abandoned) + count_if({OUTCOME},equals,cancelled)"


def p95(attribute: str) -> str:
    """Return the aggregate: 95 % of the values are not above it."""
    return f"p95({attribute})"


def equation(text: str) -> str:
    """Return an aggregate that is calculated from others."""
    return f"equation|{text}"
