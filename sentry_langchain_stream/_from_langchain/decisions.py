"""Calls of decision models: `BaseDecisionModel` of langchain-core 1.8 and newer, `OpenAIDecisions` of langchain-openai.

They answer typed questions with probabilities. LangChain signals such a call as a chain of the type "llm", with the
provider and the model in the metadata. Its output is an object of the model's package, and not an `LLMResult`.
"""

from __future__ import annotations

from .._content import decisions as content
from .._content.policy import Policy
from .._content.reading import as_mapping, as_text, field, str_of
from .._runs.call import Call, Request, Response
from .._runs.estimates import PromptBy
from .._runs.usage import Usage
from .._runtime.containment import attempt
from .._vocabulary import providers
from .described import Described


def request(described: Described, inputs: object, policy: Policy, name: str | None) -> Request:
    """Read the request to a decision model.

    Args:
        described: What LangChain says of the model.
        inputs: The state and the questions.
        policy: What may be recorded.
        name: The run's name.
    """
    messages = None
    if policy.inputs:
        messages = attempt("input of a decision", lambda: content.asked(inputs, policy.beside(ahead=1)))
    provider = described.provider
    return Request(
        "evaluate",
        described.model,
        provider.name if provider else None,
        providers.platform_of(provider),
        name or None,
        messages=messages,
        # It distinguishes a further attempt from another decision in the same node. The tokens are not estimated.
        prompt=PromptBy(lambda: [str_of(inputs) or ""], lambda: None),
    )


def add_answer(to: Call, outputs: object, policy: Policy) -> None:
    """Add the answer of a decision model: the model that answered, the tokens, and the answers if they may be recorded.

    Args:
        to: The call.
        outputs: What the model returned.
        policy: What may be recorded.
    """
    to.reported = Usage.reported(as_mapping(field(outputs, "usage")))
    messages = None
    answers = field(outputs, "answers")
    if policy.outputs and answers is not None:
        share = policy.beside(to.request.messages)
        messages = attempt("answer of a decision", lambda: content.answered(answers, share))
    to.response = Response(as_text(field(outputs, "model")), as_text(field(outputs, "request_id")), (), messages)
