"""Reads the request to a model from LangChain's start event. LangChain's objects are not changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately

from .._content.encoded import substitute
from .._content.messages import input_messages, prompt_messages, system_instructions, text_of
from .._content.offered_tools import tool_definitions
from .._content.policy import Policy
from .._content.reading import as_text, field
from .._runs.call import Request
from .._runs.estimates import Prompt, all_counted, beyond_quarters
from .._runs.parameters import allowed
from .._runtime.containment import attempt, pass_on
from .._vocabulary import providers
from .._vocabulary.names import of_resource
from .._vocabulary.providers import Provider

if TYPE_CHECKING:
    from .described import Described


def request(
    described: Described,
    *,
    messages: Sequence[BaseMessage] | None = None,
    prompts: Sequence[str] | None = None,
    policy: Policy,
    token_counter: Callable[[str], float] | None,
    options: Mapping[str, Any],
    name: str | None,
) -> Request:
    """Read the request to a model.

    Args:
        described: What LangChain says of the model.
        messages: The prompt of a chat model.
        prompts: The prompts of any other model.
        policy: What may be recorded.
        token_counter: The user's token counter, to estimate the prompt's tokens.
        options: The invocation parameters and call options, merged.
        name: The run's name.
    """
    asked = messages if messages is not None else prompts
    system = tools = recorded = None
    if policy.inputs:
        # Each attribute gets what the attributes before it left over, minus a reserve for those that follow.
        system = attempt("extract.system instructions", lambda: _system(messages, options, policy))
        tools = attempt("extract.tool definitions", lambda: tool_definitions(options, policy.beside(system, ahead=2)))
        share = policy.beside(system, tools, ahead=1)
        recorded = attempt("extract.input messages", lambda: _input(messages, prompts, share))
    provider = described.provider
    return Request(
        "chat" if messages is not None else "text_completion",
        described.model,
        provider.name if provider else None,
        providers.platform_of(provider),
        name or None,
        allowed(described.parameters, policy),
        recorded,
        system,
        tools,
        _Prompt(asked, token_counter, options) if asked else None,
        described.tier,
    )


def provider(serialized: object, metadata: Mapping[str, Any], options: Mapping[str, Any]) -> Provider | None:
    """Return the provider of a model, if it is known. The arguments are those of `Descriptions.of`."""
    named = ".".join(map(str, path(serialized)))
    return providers.find(metadata.get("ls_provider"), named or None, options.get("_type"))


def path(serialized: object) -> Sequence[Any]:
    """Return the import path of the model's class in parts, if LangChain describes it."""
    found = _mapping(serialized).get("id")
    return found if isinstance(found, (list, tuple)) else ()


def _mapping(serialized: object) -> Mapping[str, Any]:
    return serialized if isinstance(serialized, (dict, Mapping)) else {}


def arguments(serialized: object) -> Mapping[str, Any]:
    """Return the model's constructor arguments, without secrets. Some classes put parameters only there."""
    found = _mapping(serialized).get("kwargs")
    return found if isinstance(found, (dict, Mapping)) else {}


def model(arguments: Mapping[str, Any], metadata: Mapping[str, Any], options: Mapping[str, Any]) -> str | None:
    """Return the model that is asked, if it is known. `arguments` are those of its constructor."""
    for source, names in ((options, IN_OPTIONS), (metadata, IN_METADATA), (arguments, IN_ARGUMENTS)):
        for name in names:
            named = source.get(name)
            if named is not None and (found := as_text(named)):
                return of_resource(found)
    return None


IN_OPTIONS = ("model", "model_name", "model_id", "deployment_name", "azure_deployment")

IN_METADATA = ("ls_model_name",)

IN_ARGUMENTS = ("model", "model_name", "model_id")


def _system(messages: Sequence[BaseMessage] | None, options: Mapping[str, Any], policy: Policy) -> str | None:
    """Return the system instructions: those that the call has beside its messages, and the system messages."""
    beside = [{"role": "system", "content": options[name]} for name in _INSTRUCTIONS if options.get(name)]
    return system_instructions([*beside, *(messages or ())], policy, ahead=3)


_INSTRUCTIONS = ("instructions", "system", "system_instruction")
"""Call options of OpenAI's Responses API, of Bedrock's Converse API and of Gemini."""


def _input(messages: Sequence[BaseMessage] | None, prompts: Sequence[str] | None, policy: Policy) -> str | None:
    if messages is not None:
        return input_messages(messages, policy)
    return prompt_messages(prompts or (), policy)


class _Prompt(Prompt):
    """The messages of a chat model, or the prompts of any other model."""

    __slots__ = ("_asked", "_cache_control", "_more", "_token_counter", "_tools")

    def __init__(
        self,
        prompt: Sequence[BaseMessage] | Sequence[str],
        token_counter: Callable[[str], float] | None,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self._asked = [*prompt]  # an agent may add its answer to the list that it has passed
        self._token_counter = token_counter
        # What is read of the options only if something was written to the cache.
        self._cache_control = options.get("cache_control")
        self._more = options.get("model_kwargs")
        self._tools = options.get("tools")

    def _messages(self) -> Sequence[object]:
        return self._asked

    def _beside(self) -> Sequence[object]:
        tools = self._tools if isinstance(self._tools, (list, tuple)) else ()
        return [{"cache_control": self._cache_control}, self._more, *tools]

    def _estimate(self) -> int | None:
        return _estimate(self._asked, self._token_counter)


def _texts(prompt: Sequence[BaseMessage] | Sequence[str]) -> list[str]:
    return [each if isinstance(each, str) else text_of(each.content) for each in prompt]


def _estimate(
    prompt: Sequence[BaseMessage] | Sequence[str], token_counter: Callable[[str], float] | None
) -> int | None:
    texts = _texts(prompt)
    if token_counter is not None and (found := all_counted(token_counter, texts)) is not None:
        return found
    try:
        # LangChain counts four characters a token, of every kind, and what a message has besides its text.
        asked: list[Any] = [*prompt]
        for place, each in enumerate(asked):
            if isinstance(content := getattr(each, "content", None), list):
                asked[place] = _without_data(each, content)
        quarters = count_tokens_approximately(asked)
    except Exception as error:  # LangChain does not count messages of other classes than its own, and RemoveMessage
        pass_on(error)
        quarters = sum(ceil(len(text) / 4) + _PER_MESSAGE for text in texts)
    return quarters + beyond_quarters(texts)


_PER_MESSAGE = 4  # a message's role, and the three tokens that LangChain adds


def _without_data(message: BaseMessage, content: Sequence[Any]) -> BaseMessage:
    """Return a message whose files, audio and videos count as an image each, for which LangChain has a flat number.

    Workaround: LangChain counts the base64 of any other media as text, hundreds of thousands of tokens for a PDF
    (langchain-core 1.0 to 1.8), and at first that of images, too. Can go when it counts no data.
    """
    blocks: list[Any] = []
    for block in content:
        is_text = isinstance(block, str) or field(block, "type") == "text"
        lean = block if is_text else _lean(block, _DEPTH)
        if lean is not block and field(block, "type") not in _IMAGES:
            blocks.append(lean)
        blocks.append(block if lean is block else {"type": _IMAGES[0]})
    return message.model_copy(update={"content": blocks})


_IMAGES = ("image", "image_url")
_DEPTH = 6


def _lean(value: Any, depth: int) -> Any:
    """Return a block without the data in it, or the block itself if there is none."""
    if isinstance(value, (bytes, bytearray, memoryview)) or (isinstance(value, str) and substitute(value) is not None):
        return ""
    if not depth or not isinstance(value, (dict, list)):
        return value
    if isinstance(value, dict):
        found = {key: _lean(each, depth - 1) for key, each in value.items()}
        return found if any(found[key] is not value[key] for key in value) else value
    listed = [_lean(each, depth - 1) for each in value]
    return listed if any(one is not other for one, other in zip(listed, value, strict=True)) else value
