"""Messages in the shape of the conventions: `[{"role", "parts": [{"type", ...}]}]`, as one JSON string.

Sentry's `gen_ai.input.messages` and `gen_ai.output.messages` (see `sentry-conventions`); parts that Sentry's own
examples lack are those of OpenTelemetry's GenAI message schema. What a provider's own tools do is told as tool calls
and responses too: those are what Sentry shows. Every text goes through the run's policy, and what its limits cut is
not looked at. A content block that is not known is recorded by its type, and its text if it has any: its data may be
a whole image.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from . import media
from .privacy import Full, Policy, Room, spelled

Part = dict[str, Any]

_ROLES = {
    "human": "user",
    "ai": "assistant",
    "model": "assistant",
    "chatbot": "assistant",
    "function": "tool",
    "developer": "system",
    **{role: role for role in ("user", "assistant", "tool", "system")},
}


def input_messages(messages: Iterable[Any], policy: Policy) -> str | None:
    """The messages of a prompt, as JSON, or `None` if there are none.

    System messages are told by `system_instructions`. Of a history that is too long the latest messages are kept, and
    the last one of the user whatever followed it.
    """
    said = [(message, said_by) for message, said_by in _said(messages) if said_by not in ("system", None)]
    if not said:
        return None
    latest = range(len(said) - 1, -1, -1)
    return _listed(
        len(said),
        lambda index, room: _message(*said[index], room),
        lambda missing: _cut_messages([said[index][0] for index in missing]),
        latest,
        policy,
        first=next((index for index in latest if said[index][1] == "user"), None),
    )


def system_instructions(messages: Iterable[Any], policy: Policy) -> str | None:
    """The text of the system messages, or `None` if there are none."""
    found = [message for message, said_by in _said(messages) if said_by == "system"]
    told = _ends(len(found), lambda index, room: _parts(found[index], room), Room(policy))
    texts = [part["content"] for part in told if part["type"] == "text"]
    return "\n".join(texts) if texts else None


def prompt_messages(prompts: Sequence[str], policy: Policy) -> str:
    """The prompts of a non-chat model, as JSON."""
    return _listed(
        len(prompts),
        lambda index, room: _message(prompts[index], "user", room),
        lambda missing: _cut_messages([prompts[index] for index in missing]),
        range(len(prompts) - 1, -1, -1),
        policy,
    )


def output_messages(answers: Iterable[tuple[Any, str | None]], policy: Policy) -> str:
    """The answers of a model, as JSON.

    Args:
        answers: `(message or text, finish reason)`, one per generation.
        policy: What may be recorded.
    """
    said = list(answers)
    return _listed(
        len(said),
        lambda index, room: _message(said[index][0], "assistant", room, said[index][1]),
        lambda missing: _cut_messages([said[index][0] for index in missing]),
        range(len(said)),
        policy,
    )


def conversation(state: Any, policy: Policy) -> str | None:
    """The messages that a graph or a chain is given, as JSON: those of its state's `messages`.

    Returns:
        The JSON, or `None` if there are none or inputs may not be recorded.
    """
    return input_messages(_messages_of(state), policy) if policy.inputs else None


def answer(state: Any, policy: Policy) -> str | None:
    """The answer that a graph or a chain ends with, as JSON: the assistant's last message in its state's `messages`.

    Returns:
        The JSON, or `None` if the assistant said nothing since the user's last turn, or outputs may not be recorded.
    """
    for message in reversed(_messages_of(state) if policy.outputs else []):
        opened = _opened(message)
        said_by = _role(opened)
        if said_by == "assistant":
            return output_messages([(opened, None)], policy)
        if said_by == "user":
            break
    return None


def tool_arguments(value: Any, policy: Policy) -> str | None:
    """What a tool is called with: JSON, or the text if it is one. `None` if inputs may not be recorded."""
    return _told(value, policy) if policy.inputs else None


def tool_result(output: Any, policy: Policy) -> str | None:
    """What a tool returned: a text, or JSON if it is a structure. `None` if outputs may not be recorded.

    Of a `ToolMessage` it is its content, never its artifact; of LangGraph's `Command` the tool messages in its update,
    else the update.
    """
    if not policy.outputs or output is None:
        return None
    bodies = [_get(message, "content") for message in _messages_in(output)]
    if not bodies and _are_blocks(output) and any(isinstance(block, Mapping) for block in output):
        bodies = [output]
    if bodies:
        told = _ends(len(bodies), lambda index, room: _answer(bodies[index], room), Room(policy))
        return "\n".join(_label(part) for part in told)
    return _told(_get(output, "update") or {} if _is_command(output) else output, policy)


def documents(found: Iterable[Any], policy: Policy) -> str | None:
    """The documents that a retriever found, as JSON: `[{"content", "id"?, "metadata"?}]`.

    Of the metadata only texts, numbers and truth values. `None` if outputs may not be recorded.
    """
    if not policy.outputs:
        return None
    ranked = list(found)
    return _listed(
        len(ranked),
        lambda index, room: _document(ranked[index], room),
        lambda missing: {"content": f"[... {len(missing)} documents cut ...]"},
        range(len(ranked)),
        policy,
    )


def role(message: Any) -> str:
    """The message's role, one of the four that the conventions know."""
    return _role(_opened(message)) or "user"


def parts(message: Any, policy: Policy) -> Iterator[Part]:
    """The parts of a message: text, reasoning, tool calls, a tool's response, media, other blocks by type."""
    yield from _parts(_opened(message), Room(policy))


def text_of(value: object) -> str:
    """The plain text of a token or a message's content, which may be a list of blocks."""
    return value if isinstance(value, str) else "".join(_plain(value))


# -- Lists that keep to a limit --------------------------------------------------------------------------------

_MARK = 140  # characters that a mark in place of what was cut takes at most


def _listed(
    count: int,
    tell: Callable[[int, Room], dict[str, Any]],
    mark: Callable[[Sequence[int]], dict[str, Any]],
    order: Iterable[int],
    policy: Policy,
    first: int | None = None,
) -> str:
    """A JSON list no longer than an attribute's limit. What does not fit any more is not looked at.

    Args:
        count: How many entries there are.
        tell: Makes one of them.
        mark: Makes what stands in place of some that were cut.
        order: Which to tell as long as there is room.
        policy: What may be recorded.
        first: The one to tell in any case. It leaves half of the room to the others.
    """
    left = policy.limits.attribute - 2 - 2 * _MARK
    told: dict[int, str] = {}
    try:
        for index in order if first is None else (first, *order):
            if index not in told:
                room = Room(policy, left // 2 if index == first and count > 1 else left)
                told[index] = spelled(tell(index, room))
                left -= len(told[index]) + 2
    except Full:
        pass
    listed: list[str] = []
    above = -1
    for index in (*sorted(told), count):
        if index > above + 1:
            listed.append(spelled(mark(range(above + 1, index))))
        if index < count:
            listed.append(told[index])
        above = index
    return f"[{', '.join(listed)}]"


def _cut_messages(messages: Sequence[Any]) -> dict[str, Any]:
    # The role of nobody in the conversation, so that these words are nobody's.
    size = sum(len(text) for message in messages for text in _plain(_body(message)))
    text = f"[... {len(messages)} messages, {size} characters cut ...]"
    return {"role": "system", "parts": [{"type": "text", "content": text}]}


def _ends(count: int, tell: Callable[[int, Room], Iterable[Part]], room: Room) -> list[Part]:
    """Parts from both ends of a list inwards, as long as there is room; a mark in place of those in the middle.

    None but the last takes more than half of what is left, so that a long beginning leaves room for the end.
    """
    reserve = _MARK if count > 1 else 0
    room.take(reserve)
    told: dict[int, list[Part]] = {}
    try:
        for turn in range(count):
            index = count - 1 - turn // 2 if turn % 2 else turn // 2
            allowed = room.left if turn == count - 1 else room.left // 2
            inner = Room(room.policy, allowed)
            told[index] = list(tell(index, inner))
            room.left -= allowed - inner.left
    except Full:
        if count == 1:
            raise
    if len(told) == count:
        room.left += reserve
        return [part for index in range(count) for part in told[index]]
    begun = (len(told) + 1) // 2
    mark = {"type": "text", "content": f"[... {count - len(told)} parts cut ...]"}
    beginning = [part for index in range(begun) for part in told[index]]
    return [*beginning, mark, *(part for index in sorted(told) if index >= begun for part in told[index])]


# -- Messages, however they are spelled ------------------------------------------------------------------------


def _get(thing: Any, name: str) -> Any:
    """A field of a mapping or an object, `None` if it has none or fails to give it."""
    try:
        return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
    except Exception:  # whatever a user's object does, it is not our failure
        return None


def _list_of(thing: Any, name: str) -> list[Any]:
    found = _get(thing, name)
    return list(found) if isinstance(found, (list, tuple)) else []


def _body(message: Any) -> Any:
    return message if isinstance(message, str) else _get(message, "content")


def _said(messages: Iterable[Any]) -> Iterator[tuple[Any, str | None]]:
    for message in messages:
        opened = _opened(message)
        yield opened, _role(opened)


def _opened(message: Any) -> Any:
    """A message, or what is one in LangChain's other spellings: a text, a pair, a serialised message."""
    if isinstance(message, str):
        return {"role": "user", "content": message}
    if _is_pair(message):
        return {"role": message[0], "content": message[1]}
    if isinstance(message, Mapping):
        for name in ("data", "kwargs"):
            inside = _get(message, name)
            if isinstance(inside, Mapping) and "content" in inside:
                return {"type": _get(message, "type"), **inside}
    return message


def _is_pair(message: Any) -> bool:
    """Whether it is `("user", "Hello")`."""
    is_pair = isinstance(message, (list, tuple)) and len(message) == 2 and isinstance(message[0], str)
    return is_pair and message[0].lower() in _ROLES


def _role(message: Any) -> str | None:
    """The message's role; `None` for what is no message, but tells LangGraph to remove one."""
    kind = _get(message, "type")
    if not isinstance(kind, str) or kind in ("chat", "message", "ChatMessageChunk"):
        kind = _get(message, "role")
    if not isinstance(kind, str):
        return "user"
    if kind in _ROLES:
        return _ROLES[kind]
    # A chunk's type is the name of its class: "SystemMessageChunk".
    name = kind.lower().replace("messagechunk", "")
    return None if name == "remove" else _ROLES.get(name, "user")


def _messages_of(state: Any) -> list[Any]:
    """The messages of a graph's state, which may be a mapping, an object or the messages themselves."""
    found = state if isinstance(state, (list, tuple)) else _get(state, "messages")
    if type(found).__name__ == "Overwrite":  # LangGraph
        found = _get(found, "value")
    if isinstance(found, (list, tuple)) and not _is_pair(found):
        return list(found)
    return [] if found is None else [found]


def _messages_in(output: Any) -> list[Any]:
    """The messages that a tool returned: one, several, or in LangGraph's command."""
    if _is_command(output):
        return [each for each in _messages_of(_get(output, "update")) if role(each) == "tool"]
    if isinstance(output, (list, tuple)):
        return [
            message for each in output if not isinstance(each, (str, list, tuple)) for message in _messages_in(each)
        ]
    is_message = _get(output, "tool_call_id") is not None or isinstance(_get(output, "additional_kwargs"), Mapping)
    return [output] if is_message else []


def _is_command(output: Any) -> bool:
    return type(output).__name__ == "Command" and hasattr(output, "goto")


def _message(message: Any, said_by: str | None, room: Room, reason: str | None = None) -> dict[str, Any]:
    told = room.frame(role=said_by, parts=[], **({"finish_reason": reason} if reason else {}))
    told["parts"] = list(_text(message, room)) if isinstance(message, str) else _parts(message, room)
    return told


def _parts(message: Any, room: Room) -> list[Part]:
    if _role(message) == "tool":
        return [_response(_get(message, "tool_call_id"), _body(message), _get(message, "status"), room)]
    body = _body(message)
    blocks = list(body) if isinstance(body, (list, tuple)) else [body]
    calls = [*_list_of(message, "tool_calls"), *_list_of(message, "invalid_tool_calls")]
    extra = _get(message, "additional_kwargs")
    if isinstance(extra, Mapping) and extra:
        if not calls:
            calls = _list_of(extra, "tool_calls") or [extra[name] for name in ("function_call",) if extra.get(name)]
        blocks = [*_older_thoughts(extra, blocks), *blocks, *_older_answers(extra, blocks)]
    calls = [call for call in calls if isinstance(call, Mapping)]
    known = {name for call in calls for name in (_call_id(call), _call_name(call))}

    def tell(index: int, room: Room) -> Iterable[Part]:
        return _part(blocks[index], room, known) if index < len(blocks) else [_call(calls[index - len(blocks)], room)]

    return _ends(len(blocks) + len(calls), tell, room)


def _older_thoughts(extra: Mapping[str, Any], blocks: Sequence[Any]) -> Iterator[Any]:
    """Reasoning where it is beside the content: DeepSeek, Ollama, Groq; OpenAI's of LangChain before 1.0."""
    if not any(isinstance(block, Mapping) and _kind(block) in _THOUGHTS for block in blocks):
        yield from (
            {"type": "reasoning", name: extra[name]} for name in ("reasoning_content", "reasoning") if extra.get(name)
        )


def _older_answers(extra: Mapping[str, Any], blocks: Sequence[Any]) -> Iterator[Any]:
    """The rest of what OpenAI's models may answer with beside the content."""
    if isinstance(extra.get("refusal"), str):
        yield {"type": "refusal", "refusal": extra["refusal"]}
    yield from _list_of(extra, "tool_outputs")
    audio = extra.get("audio")
    if isinstance(audio, Mapping):
        yield {"type": "audio", **audio}
        if not any(_plain(blocks)):
            yield audio.get("transcript")


def _response(call_id: Any, body: Any, status: Any, room: Room) -> Part:
    failed = {"status": "error"} if status == "error" else {}
    told = room.frame(type="tool_call_response", id=_id(call_id), result="", **failed)
    told["result"] = _result(body, room)
    return told


def _result(body: Any, room: Room) -> str:
    """What a tool answered, as a text: Sentry shows nothing else. A structure becomes JSON."""
    if isinstance(body, str):
        return room.text(body) or ""
    if not body:
        return ""
    if _are_blocks(body):
        return "".join(map(_label, _ends(len(body), lambda index, inside: _part(body[index], inside), room)))
    inside = Room(room.policy, room.left // 2)  # as JSON in JSON it may become twice as long
    told = spelled(inside.value(body))
    room.take(len(spelled(told)))
    return told


def _answer(body: Any, room: Room) -> list[Part]:
    return [{"type": "text", "content": _result(body, room)}]


def _label(part: Part) -> str:
    """A part as a text."""
    if "modality" in part:
        return media.label(part)
    told = next((part[name] for name in ("content", "result") if isinstance(part.get(name), str)), None)
    return f"[{part['type']}]" if told is None else str(told)


def _document(document: Any, room: Room) -> dict[str, Any]:
    identity = _id(_get(document, "id"))
    told = room.frame(content="", **({} if identity is None else {"id": identity}))
    metadata = _get(document, "metadata")
    shown = {}
    if isinstance(metadata, Mapping):
        shown = {name: each for name, each in metadata.items() if isinstance(each, (str, int, float))}
    content = document if isinstance(document, str) else _get(document, "page_content")
    if isinstance(content, str):
        inside = Room(room.policy, room.left // 2 if shown else room.left)
        before = inside.left
        told["content"] = inside.text(content) or ""
        room.left -= before - inside.left
    if shown:
        room.take(len('"metadata": '))
        told["metadata"] = room.value(shown)
    return told


def _told(value: Any, policy: Policy) -> str | None:
    return policy.text(value) if isinstance(value, str) else spelled(Room(policy).value(value))


# -- Content blocks, of whatever provider ----------------------------------------------------------------------

_THOUGHTS = frozenset({"reasoning", "thinking", "reasoning_content", "reasoningContent"})
_CALLS = frozenset({"tool_call", "tool_use", "toolUse", "function_call", "custom_tool_call", "invalid_tool_call"})
_FRAGMENTS = frozenset({"tool_call_chunk", "server_tool_call_chunk", "input_json_delta"})
# What a block that states no type may have as its one key: Bedrock's and Gemini's.
_UNTYPED = (*media.KINDS, "toolUse", "toolResult", "reasoningContent", "function_call", "executable_code")


def _part(block: Any, room: Room, known: Collection[Any] = ()) -> Iterator[Part]:
    """A content block as parts.

    Args:
        block: The block.
        room: What there is room for.
        known: Ids and names of the tool calls that are told besides.
    """
    if isinstance(block, str):
        yield from _text(block, room)
    if not isinstance(block, Mapping):
        return
    kind = _kind(block)
    if kind == "non_standard" and isinstance(inner := block.get("value"), Mapping) and "type" in inner:
        block, kind = inner, _kind(inner)
    inner = block.get(kind)
    body: Mapping[str, Any] = inner if isinstance(inner, Mapping) else block
    if kind in _CALLS:
        if (_call_id(body) or _call_name(body)) not in known:
            yield _call(body, room)
    elif kind in _THOUGHTS:
        yield from _text(_thought(block), room, "reasoning")
    elif kind in _FRAGMENTS:
        return  # the whole of them is in the message's own `tool_calls`
    elif (text := _text_in(block)) is not None:
        yield from _text(text, room, cited=_citations(block))
    elif kind in media.KINDS:
        yield _media(block, kind, room)
    elif kind.endswith(("_call", "_use")) or kind == "executable_code":
        yield _call(body, room, kind)
        if (result := _first(block, _RESULTS)) is not None:
            yield _response(_call_id(block), result, None, room)
    elif kind.endswith(("tool_result", "toolResult", "_output", "_response", "execution_result")):
        yield _response(_call_id(body), _first(body, _RESULTS), body.get("status"), room)
    elif kind != "text":
        told = room.frame(type=kind)
        content = block.get("content")
        if isinstance(content, list) and any(_plain(content)):
            room.take(len('"content": '))
            told["content"] = _result(content, room)
        yield told


_RESULTS = ("output", "content", "result", "outputs", "results", "code_execution_result")


def _kind(block: Mapping[str, Any]) -> str:
    kind = block.get("type")
    return kind if isinstance(kind, str) else next((name for name in _UNTYPED if name in block), "unknown")


def _first(block: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((block[name] for name in names if block.get(name) is not None), None)


def _id(value: Any) -> str | None:
    return None if value is None else str(value)


def _text(text: str | None, room: Room, kind: str = "text", cited: Sequence[Mapping[str, Any]] = ()) -> Iterator[Part]:
    if not text:
        return
    part = room.frame(type=kind, content="")
    part["content"] = room.text(text)
    if cited and room.left > 2 * _MARK:
        room.take(len('"citations": '))
        part["citations"] = room.value(cited)
    if part["content"]:
        yield part


def _plain(body: object) -> Iterator[str]:
    if isinstance(body, str):
        yield body
    elif isinstance(body, (list, tuple)):
        for block in body:
            if isinstance(block, str):
                yield block
            elif isinstance(block, Mapping) and isinstance(block.get("text"), str):
                yield block["text"]


def _text_in(block: Mapping[str, Any]) -> str | None:
    """The text of a block: its own, a refusal, or a document's that is sent as text."""
    source = (block["document"] if isinstance(block.get("document"), Mapping) else block).get("source")
    within = source if isinstance(source, Mapping) else {}
    found = [block.get("text"), block.get("refusal"), within.get("text")]
    found.append(within.get("data") if within.get("type") == "text" else None)
    return next((text for text in found if isinstance(text, str)), None)


def _thought(value: Any) -> str | None:
    """What a model thought: OpenAI sums it up in pieces, Mistral has blocks for it, Bedrock wraps it twice."""
    if isinstance(value, Mapping):
        names = (
            "reasoning",
            "thinking",
            "text",
            "summary",
            "content",
            "reasoning_content",
            *_THOUGHTS,
            "reasoningText",
        )
        return next((found for found in (_thought(value.get(name)) for name in names) if found), None)
    if isinstance(value, (list, tuple)):
        return "\n".join(found for found in map(_thought, value) if found)
    return value if isinstance(value, str) else None


def _citations(block: Mapping[str, Any]) -> list[dict[str, str]]:
    """What a text refers to: `{"title"?, "url"?, "cited_text"?}`, of the pages and documents that it names."""
    cited = []
    for each in [*_list_of(block, "annotations"), *_list_of(block, "citations")]:
        if isinstance(each, Mapping):
            titles, url, quote = ("title", "document_title", "filename"), each.get("url"), each.get("cited_text")
            found = {"title": _first(each, titles), "url": url and media.address(str(url)), "cited_text": quote}
            cited.append({name: text for name, text in found.items() if text and isinstance(text, str)})
    return [each for each in cited if each]


def _media(block: Mapping[str, Any], kind: str, room: Room) -> Part:
    described = media.described(block, kind)
    uri = described.pop("uri", None)
    part = room.frame(**described)
    if uri is not None:
        room.take(len('"uri": '))
        part["uri"] = room.text(uri) or ""
    return part


def _are_blocks(body: Any) -> bool:
    """Whether it is a list of texts and media: a tool may return any other list as well."""
    return isinstance(body, (list, tuple)) and all(
        isinstance(block, str)
        or (isinstance(block, Mapping) and (isinstance(block.get("text"), str) or _kind(block) in media.KINDS))
        for block in body
    )


def _call_id(call: Mapping[str, Any]) -> str | None:
    return _id(_first(call, ("tool_call_id", "tool_use_id", "toolUseId", "call_id", "id")))


def _call_name(call: Mapping[str, Any]) -> str | None:
    function = call.get("function")
    return _id(_first(function if isinstance(function, Mapping) else call, ("name",)))


def _call(call: Mapping[str, Any], room: Room, kind: str = "tool_call") -> Part:
    function = call.get("function")
    told: Mapping[str, Any] = function if isinstance(function, Mapping) else call
    name = _call_name(call) or (kind.removesuffix("_call") if kind != "tool_call" else "unknown")
    part = room.frame(type="tool_call", id=_call_id(call), name=name, arguments=None)
    arguments = _first(told, ("args", "input", "arguments", "action"))
    if arguments is None:  # of a provider's own tools
        arguments = {name: told[name] for name in ("queries", "code", "executable_code", "language") if told.get(name)}
    part["arguments"] = room.value(_parsed(arguments, room.policy.limits.part))
    return part


def _parsed(arguments: Any, limit: int) -> Any:
    """The arguments themselves, where they come as their JSON and that is no larger than may be kept."""
    if isinstance(arguments, str) and len(arguments) <= limit and arguments.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(arguments)
        except (ValueError, RecursionError):
            return arguments
    return arguments
