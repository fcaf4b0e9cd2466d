"""Converts the content blocks and tool calls of a message, in any provider's format, to parts of the conventions."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from . import media
from .block_texts import text_in, texts_in, thought_in
from .budget import Budget, spelled
from .cutting import size
from .lists import MARK, Part, both_ends
from .reading import as_id, field

_THOUGHTS = frozenset({"reasoning", "thinking", "reasoning_content", "reasoningContent"})
_CALLS = frozenset({"tool_call", "tool_use", "toolUse", "function_call", "custom_tool_call", "invalid_tool_call"})
_FRAGMENTS = frozenset({"tool_call_chunk", "server_tool_call_chunk", "input_json_delta"})
_TEXTS = frozenset({"text", "input_text", "output_text", "text-plain"})
_RESULTS = ("output", "content", "result", "outputs", "results", "code_execution_result")
# The only key of a block without a type (Bedrock, Gemini).
_UNTYPED = (*media.KINDS, "toolUse", "toolResult", "reasoningContent", "function_call", "executable_code", "json")


def message_parts(message: Any, budget: Budget) -> list[Part]:
    """Return the parts of a message: its content, content that providers put in other fields, and its tool calls."""
    content = body_of(message)
    blocks = list(content) if isinstance(content, (list, tuple)) else [content]
    calls = [*_list_of(message, "tool_calls"), *_list_of(message, "invalid_tool_calls")]
    extra = field(message, "additional_kwargs")
    if isinstance(extra, Mapping) and extra:
        if not calls:
            calls = _list_of(extra, "tool_calls") or [extra[name] for name in ("function_call",) if extra.get(name)]
        blocks = [*_older_thoughts(extra, blocks), *blocks, *_older_answers(extra, blocks)]
    calls = [call for call in calls if isinstance(call, Mapping)]
    known = {name for call in calls for name in (_call_id(call), _call_name(call))}

    items: list[tuple[Any, bool]] = [*((block, False) for block in blocks), *((call, True) for call in calls)]

    def parts_of(item: tuple[Any, bool], budget: Budget) -> Iterable[Part]:
        body, is_call = item
        return [_call(body, budget)] if is_call else _part(body, budget, known)

    return both_ends(items, parts_of, budget)


def response(call_id: Any, body: Any, status: Any, budget: Budget) -> Part:
    """Return the result of a tool call as a part."""
    failed = {"status": "error"} if status == "error" else {}
    part = budget.frame(type="tool_call_response", id=as_id(call_id), result="", **failed)
    part["result"] = result_text(body, budget)
    return part


def result_text(body: Any, budget: Budget) -> str:
    """Return the result of a tool as text, because Sentry shows only text. A structure becomes JSON."""
    if isinstance(body, str):
        return budget.text(body) or ""
    if body is None:
        return ""
    if are_blocks(body):
        return "\n".join(map(label, both_ends(body, _part, budget)))
    inside = Budget(budget.policy, budget.left // 2)  # JSON inside of JSON may become twice as long
    text = spelled(inside.value(body))
    budget.take(size(spelled(text)))
    return text


def label(part: Part) -> str:
    """Return a part as text."""
    if "modality" in part:
        return media.label(part)
    text = next((part[name] for name in ("content", "result") if isinstance(part.get(name), str)), None)
    return f"[{part['type']}]" if text is None else str(text)


def body_of(message: Any) -> Any:
    """Return the content of a message. A text is its own content."""
    return message if isinstance(message, str) else field(message, "content")


def are_blocks(body: Any) -> bool:
    """Whether a tool's result is a list of text and media blocks rather than any other list, which is data."""
    return isinstance(body, (list, tuple)) and all(map(_is_block, body))


def _is_block(block: Any) -> bool:
    """Whether it is a text, or a block of text or media: of a known type, or (Bedrock, Gemini) with a single key."""
    if not isinstance(block, Mapping):
        return isinstance(block, str)
    kind = block.get("type")
    if not isinstance(kind, str):
        return len(block) == 1 and (
            isinstance(block.get("text"), str) or any(isinstance(block.get(name), Mapping) for name in media.KINDS)
        )
    return isinstance(block.get("text"), str) if kind in _TEXTS else media.is_media(block, kind)


def has_answer(block: object) -> bool:
    """Whether a content block contains a piece of an answer (text, data, arguments), not only its description."""
    if isinstance(block, Mapping):
        return any(value for name, value in block.items() if name not in _DESCRIPTION)
    return isinstance(block, str) and bool(block)


_DESCRIPTION = frozenset(
    {"type", "index", "id", "extras", "annotations", "mime_type", "encoding", "status", "phase", "signature", "caller"}
)
"""The keys that describe a block and are not part of the answer."""


# -- One block, in any format ------------------------------------------------------------------------------


def _part(block: Any, budget: Budget, known: Collection[Any] = ()) -> Iterator[Part]:
    """Convert a content block to parts.

    Args:
        block: The block.
        budget: The budget for the parts.
        known: Ids and names of the tool calls that are recorded from the message's `tool_calls`.
    """
    if isinstance(block, str):
        yield from _text(block, budget)
    if not isinstance(block, Mapping):
        return
    kind = _kind(block)
    if kind == "non_standard" and isinstance(inner := block.get("value"), Mapping):
        block = inner
        kind = found if (found := _kind(inner)) != "unknown" else kind
    inner = block.get(kind)
    body: Mapping[str, Any] = inner if isinstance(inner, Mapping) else block
    if kind in _CALLS:
        if (_call_id(body) or _call_name(body)) not in known:
            yield _call(body, budget)
    elif kind in _THOUGHTS:
        yield from _text(thought_in(block), budget, "reasoning")
    elif kind in _FRAGMENTS:
        return  # the message's `tool_calls` has the complete call
    elif (text := text_in(block)) is not None:
        yield from _text(text, budget, cited=_citations(block))
    elif kind in media.KINDS:
        yield _media(block, kind, budget)
    elif kind.endswith(("_call", "_use")) or kind in ("executable_code", "mcp_approval_request"):
        yield _call(body, budget, kind)
        result, error = _first(block, _RESULTS), block.get("error") or _extra(block, "error")
        if result is not None or error is not None:
            failed = None if error is None else "error"
            yield response(_call_id(block), error if result is None else result, failed, budget)
    elif kind.endswith(("tool_result", "toolResult", "_output", "_response", "execution_result")):
        status = "error" if body.get("is_error") is True else body.get("status")
        result, error = _first(body, _RESULTS), _extra(block, "error")
        yield response(_call_id(body), result if result or error is None else error, status, budget)
    elif kind != "text":
        part = budget.frame(type=kind)
        content = block["json"] if kind == "json" and "json" in block else block.get("content")
        if content is not None if kind == "json" else any(texts_in(content)):
            budget.take(len('"content": '))
            part["content"] = result_text(content, budget)
        yield part


def _text(
    text: str | None, budget: Budget, kind: str = "text", cited: Sequence[Mapping[str, Any]] = ()
) -> Iterator[Part]:
    if not text:
        return
    part = budget.frame(type=kind, content="")
    part["content"] = budget.text(text)
    if cited and budget.left > 2 * MARK:
        budget.take(len('"citations": '))
        part["citations"] = budget.value(cited)
    if part["content"]:
        yield part


def _media(block: Mapping[str, Any], kind: str, budget: Budget) -> Part:
    described = media.described(block, kind)
    uri = described.pop("uri", None)
    part = budget.frame(**described)
    if uri is not None:
        budget.take(len('"uri": '))
        part["uri"] = budget.text(uri) or ""
    return part


def _call(call: Mapping[str, Any], budget: Budget, kind: str = "tool_call") -> Part:
    function = call.get("function")
    body: Mapping[str, Any] = function if isinstance(function, Mapping) else call
    name = _call_name(call) or (kind.removesuffix("_call") if kind != "tool_call" else "unknown")
    part = budget.frame(type="tool_call", id=_call_id(call), name=name, arguments=None)
    arguments = _first(body, ("args", "input", "arguments", "action", "operation"))
    if not arguments and body.get("partial_json"):  # ChatAnthropic, streamed: a server tool's arguments
        arguments = body["partial_json"]
    if arguments is None:  # a provider's own tool
        arguments = {name: body[name] for name in ("queries", "code", "executable_code", "language") if body.get(name)}
    part["arguments"] = budget.value(_parsed(arguments, budget.policy.limits.part))
    return part


def _parsed(arguments: Any, limit: int) -> Any:
    """Parse arguments that are a JSON string, unless the string is too long to be recorded."""
    if isinstance(arguments, str) and len(arguments) <= limit and arguments.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(arguments)
        except (ValueError, RecursionError):
            return arguments
    return arguments


def _older_thoughts(extra: Mapping[str, Any], blocks: Sequence[Any]) -> Iterator[Any]:
    """Yield reasoning outside of the content: DeepSeek, Ollama, Groq, and OpenAI with LangChain before 1.0."""
    if not any(isinstance(block, Mapping) and _kind(block) in _THOUGHTS for block in blocks):
        # Some servers (vLLM, OpenRouter) send the same reasoning under both keys.
        thoughts = dict.fromkeys(thought_in(extra.get(name)) for name in ("reasoning_content", "reasoning"))
        yield from ({"type": "reasoning", "reasoning": thought} for thought in thoughts if thought)


def _older_answers(extra: Mapping[str, Any], blocks: Sequence[Any]) -> Iterator[Any]:
    """Yield the other answers that OpenAI's models may give outside of the content."""
    if isinstance(extra.get("refusal"), str):
        yield {"type": "refusal", "refusal": extra["refusal"]}
    yield from _list_of(extra, "tool_outputs")
    audio = extra.get("audio")
    if isinstance(audio, Mapping):
        yield {"type": "audio", **audio}
        if not any(texts_in(blocks)):
            yield audio.get("transcript")


def _kind(block: Mapping[str, Any]) -> str:
    kind = block.get("type")
    return kind if isinstance(kind, str) else next((name for name in _UNTYPED if name in block), "unknown")


def _citations(block: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the pages and documents that a text cites: `{"title"?, "url"?, "cited_text"?}`."""
    cited = []
    for each in [*_list_of(block, "annotations"), *_list_of(block, "citations")]:
        if isinstance(each, Mapping):
            titles, url, quote = ("title", "document_title", "filename"), each.get("url"), each.get("cited_text")
            found = {"title": _first(each, titles), "url": url and media.address(str(url)), "cited_text": quote}
            cited.append({name: text for name, text in found.items() if text and isinstance(text, str)})
    return [each for each in cited if each]


def _call_id(call: Mapping[str, Any]) -> str | None:
    return as_id(_first(call, ("tool_call_id", "tool_use_id", "toolUseId", "call_id", "id")))


def _call_name(call: Mapping[str, Any]) -> str | None:
    function = call.get("function")
    name = as_id(_first(function if isinstance(function, Mapping) else call, ("name",)))
    # LangChain calls the tools of all MCP servers so, and has what they are called beside it.
    return as_id(_extra(call, "tool_name")) or name if name == "remote_mcp" else name


def _extra(block: Mapping[str, Any], name: str) -> Any:
    """Return what LangChain's common format has of a provider's own field, or `None`."""
    extras = block.get("extras")
    return (extras.get(name) or None) if isinstance(extras, Mapping) else None


def _list_of(thing: Any, name: str) -> list[Any]:
    found = field(thing, name)
    return list(found) if isinstance(found, (list, tuple)) else []


def _first(block: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((block[name] for name in names if block.get(name) is not None), None)
