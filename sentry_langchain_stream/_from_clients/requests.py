"""Converts the request to a model, in the shape of the client library that sends it, to a `Request`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from .._content.messages import input_messages, prompt_messages, system_instructions, text_of
from .._content.offered_tools import tool_definitions
from .._content.parts import body_of
from .._content.policy import Policy
from .._content.reading import as_mapping, field
from .._runs.call import Request
from .._runs.estimates import PromptBy, all_counted, beyond_quarters, of_text
from .._runs.parameters import allowed, asked_tier, request_parameters
from .._runtime.containment import contained


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the application says about a request. `track_stream` documents the fields."""

    prompt: str | None = None
    messages: Any = None
    system: Any = None
    tools: Any = None
    parameters: Any = None

    def complete(self, request: Request, policy: Policy, counter: Callable[[str], float] | None) -> Request:
        """Return the request with all that may be recorded of it, and an estimate of its tokens.

        Args:
            request: The model and the provider.
            policy: What may be recorded.
            counter: The user's token counter.
        """
        messages: list[Any] = []
        system: list[Any] = []
        sources: list[Mapping[str, Any]] = []
        with contained("messages"):
            messages = [] if self.messages is None else _messages(self.messages)
            system = [] if self.system is None else [{"role": "system", "content": _content(self.system)}]
        with contained("parameters"):
            sources = _sources(self.parameters)
            request = request._replace(
                parameters=allowed(request_parameters(sources), policy), tier=asked_tier(sources)
            )
        texts = [] if self.prompt is None else [self.prompt]
        asked = [*system, *(messages or texts)] if system else messages
        prompt = PromptBy(lambda: asked or texts, lambda: self._estimate(asked, counter), lambda: self._beside(sources))
        request = request._replace(prompt=prompt)
        if not policy.inputs:
            return request
        with contained("system"):
            found = system_instructions([*system, *messages], policy, ahead=3)
            request = request._replace(system=found)
        with contained("tools"):
            offered = {"tools": _tools(self.tools)}
            request = request._replace(tools=tool_definitions(offered, policy.beside(request.system, ahead=2)))
        share = policy.beside(request.system, request.tools, ahead=1)
        with contained("prompt"):
            if messages:
                request = request._replace(messages=input_messages(messages, share))
            elif self.prompt is not None:
                request = request.with_messages(prompt_messages([self.prompt], share))
        return request

    def _beside(self, sources: Sequence[Mapping[str, Any]]) -> Sequence[object]:
        """Return the parameters of the request, and its tools, which may be among them."""
        return [*sources, *(tool for given in (self.tools, *sources) for tool in _tools(given))]

    def _estimate(self, messages: Sequence[Any], counter: Callable[[str], float] | None) -> int | None:
        """Estimate the tokens of the prompt as a chat model's: its text and role, and three for each message."""
        if not messages:
            return None if self.prompt is None else of_text(self.prompt, counter)
        texts = [text_of(body_of(message)) for message in messages]
        if counter is not None and (found := all_counted(counter, texts)) is not None:
            return found
        roles = [str(field(message, "role") or "user") for message in messages]
        quarters = sum(ceil((len(text) + len(role)) / 4) + 3 for text, role in zip(texts, roles, strict=True))
        return quarters + beyond_quarters(texts)


def _messages(given: Any) -> list[Any]:
    """Return the messages of a request: one or several, of any of the client libraries."""
    several = given if isinstance(given, (list, tuple)) else [given]
    return [_message(each) for each in several]


def _message(message: Any) -> Any:
    # LangChain's own messages are understood as they are.
    if isinstance(message, (str, list, tuple)) or field(message, "additional_kwargs") is not None:
        return message
    body = as_mapping(message)
    if not isinstance(body, Mapping):
        return str(body)
    kind = body.get("type")
    if kind in ("function_call_output", "custom_tool_call_output"):  # an item of OpenAI's Responses API
        return {"role": "tool", "tool_call_id": body.get("call_id"), "content": body.get("output")}
    if "role" not in body and isinstance(kind, str) and (kind.endswith("_call") or kind == "reasoning"):
        return {"role": "assistant", "content": [body]}
    if "content" in body or not ("parts" in body or "text" in body):
        return body
    return {"role": body.get("role") or "user", "content": _content(body)}


def _content(given: Any) -> Any:
    """Return a text, or the blocks of it: those of Gemini's contents are called parts."""
    body = given if isinstance(given, str) else as_mapping(given)
    if isinstance(body, Mapping):
        body = body.get("parts", [body])
    return [_block(block) for block in body] if isinstance(body, list) else body


def _block(block: Any) -> Any:
    """Convert a part of Gemini's to a content block. Any other block is returned as it is."""
    if not isinstance(block, Mapping) or "type" in block:
        return block
    if "parts" in block:
        return {"type": "text", "text": text_of(_content(block))}
    if block.get("thought") is True:
        return {"type": "reasoning", "reasoning": block.get("text")}
    call = block.get("function_call") or block.get("functionCall")
    if isinstance(call, Mapping):
        return {"type": "tool_call", "id": call.get("id"), "name": call.get("name"), "args": call.get("args")}
    result = block.get("function_response") or block.get("functionResponse")
    if isinstance(result, Mapping):
        return {"type": "tool_result", "tool_use_id": result.get("id"), "content": result.get("response")}
    return block


def _tools(given: Any) -> list[Any]:
    """Return the tools of a request as a list: Bedrock has them in a mapping, Ollama takes functions, too."""
    body = given.get("tools") if isinstance(given, Mapping) and "tools" in given else given
    several = body if isinstance(body, (list, tuple)) else [] if body is None else [body]
    return [_tool(each) for each in several]


def _tool(tool: Any) -> Any:
    name = getattr(tool, "__name__", None)
    if isinstance(tool, Mapping) or not callable(tool) or not isinstance(name, str):
        return tool
    return {"type": "function", "function": {"name": name, "description": tool.__doc__}}


def _sources(parameters: Any) -> list[Mapping[str, Any]]:
    """Return the mappings that parameters may be in: Gemini's are in a `config`."""
    body = as_mapping(parameters)
    if not isinstance(body, Mapping):
        return []
    inner = body.get("config")
    return [body, *([inner] if isinstance(inner, Mapping) else [])]
