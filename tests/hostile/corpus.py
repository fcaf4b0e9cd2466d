"""The hostile corpus: values, and places where an application may put them. Every bug of this kind adds a line.

A value is made anew for each run, from a canary: a word that stands in it as content wherever that is possible.
"""

from __future__ import annotations

from collections import ChainMap, UserDict, UserString, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from math import inf, nan
from pathlib import PurePosixPath
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple, NoReturn, TypedDict
from uuid import UUID

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import StructuredTool
from langgraph.graph import START, StateGraph
from pydantic import BaseModel, SecretStr, field_serializer, model_validator

# -- Values ------------------------------------------------------------------------------------------------------


def _refuse(*args: object, **kwargs: object) -> NoReturn:
    raise RuntimeError("refused")


def refusing(*names: str, base: type = object) -> type:
    """A class whose instances raise when they are asked for any of these."""
    methods = {name: property(_refuse) if name == "__class__" else _refuse for name in names}
    return type("Refusing", (base,), methods)


class Fatal:
    """Raises what is no usual error: the interpreter's own limit."""

    def __str__(self) -> str:
        raise RecursionError

    __repr__ = __str__


class Endless(Mapping[str, Any]):
    """A mapping without an end."""

    def __getitem__(self, key: str) -> Any:
        return "more"

    def __iter__(self) -> Iterator[str]:
        number = 0
        while True:
            number += 1
            yield f"key {number}"

    def __len__(self) -> int:
        return 3


class EndlessList(list[Any]):
    """A list whose iteration has no end."""

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield "more"


class Liar(list[Any]):
    """A list that states a wrong length."""

    def __len__(self) -> int:
        return 10**9


class Anything:
    """Has every attribute that it is asked for, each of them another such object."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything()

    def __call__(self, *args: object, **kwargs: object) -> Any:
        return Anything()


class Proxy:
    """Pretends to be the text that it stands for, as lazy translations do."""

    def __init__(self, text: str) -> None:
        self.text = text

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return str

    def __str__(self) -> str:
        return self.text


class NotText:
    """Its `str` is no string."""

    def __str__(self) -> Any:
        return 3

    __repr__ = __str__


class Vague:
    """Has no truth value, and compares to something without one, as arrays do."""

    __bool__ = _refuse
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> Any:
        return Vague()

    def __ne__(self, other: object) -> Any:
        return Vague()


class LoudText(str):
    """A string whose methods raise."""

    encode = strip = split = lower = startswith = __eq__ = __len__ = __str__ = _refuse
    __hash__ = str.__hash__


class LoudNumber(int):
    """A number that cannot be written or compared."""

    bit_length = __str__ = __repr__ = __lt__ = __le__ = __ge__ = __gt__ = __float__ = _refuse


class BrokenModel(BaseModel):
    """A pydantic model that can be neither validated nor serialised."""

    text: str = ""

    @model_validator(mode="after")
    def _validated(self) -> Any:
        raise ValueError("not valid")

    @field_serializer("text")
    def _serialised(self, text: str) -> str:
        raise ValueError("not serialisable")


class Row(BaseModel):
    text: str


class Pair(NamedTuple):
    text: str


class Colour(str, Enum):
    RED = "red"


@dataclass
class Unset:
    """A dataclass without the field that it declares."""

    text: str

    def __init__(self) -> None:
        pass


def cyclic(word: str) -> Any:
    """A list and a mapping that contain each other."""
    mapping: dict[str, Any] = {"text": word}
    mapping["again"] = [mapping]
    return mapping


def deep(depth: int, word: str) -> Any:
    """Lists in lists."""
    value: Any = word
    for _ in range(depth):
        value = [value]
    return value


def deep_mapping(depth: int, word: str) -> Any:
    """Mappings in mappings, under the names that blocks of content use."""
    value: Any = word
    for _ in range(depth):
        value = {"type": "file", "file": value}
    return value


def items(number: int, word: str) -> Iterator[str]:
    """A generator, which an application reads once."""
    for _ in range(number):
        yield word


VALUES: dict[str, Callable[[str], Any]] = {
    # texts
    "a text": lambda word: f"It is {word}.",
    "an empty text": lambda word: "",
    "a huge text": lambda word: f"{word} " * 50_000,
    "a huge word": lambda word: word + "n" * 2_000_000,
    "wide characters": lambda word: word + "\N{PILE OF POO}" * 300_000,
    "lone surrogates": lambda word: f"\ud800{word}\udfff" * 40,
    "control characters": lambda word: f"{word}\x00\x1b[2J\r\n\x7f\u2028\u202e\ufeff",
    "quotes": lambda word: f'{word}"\\' * 20_000,
    "JSON in a text": lambda word: f'{{"content": "{word}", "x": {"[" * 50_000}',
    "a data URL": lambda word: "data:image/png;base64," + "iVBORw0KGgo" * 20_000,
    "format fields": lambda word: f"{word} %s {{0.__class__}} {{{{x}}}} $PATH",
    "a text's subclass": lambda word: type("Name", (str,), {})(word),
    "a text that raises": LoudText,
    "a text's double": UserString,
    "a lazy text": Proxy,
    # numbers, and other scalars
    "5,000 digits": lambda word: 10**5_000,
    "minus 1": lambda word: -1,
    "no number": lambda word: nan,
    "infinity": lambda word: -inf,
    "a number that raises": lambda word: LoudNumber(7),
    "a truth": lambda word: True,
    "a complex number": lambda word: 1 + 2j,
    "a decimal": lambda word: Decimal("sNaN"),
    "a fraction": lambda word: Fraction(10**400, 3),
    "a date": lambda word: datetime(2026, 1, 2, tzinfo=timezone.utc),
    "an id": lambda word: UUID(int=7),
    "None": lambda word: None,
    "an enumeration": lambda word: Colour.RED,
    "a path": lambda word: PurePosixPath(word),
    "a secret": SecretStr,
    "an exception": lambda word: ValueError(word),
    "an ellipsis": lambda word: ...,
    # bytes
    "bytes": lambda word: word.encode() * 20_000,
    "a buffer": lambda word: memoryview(bytearray(word.encode())),
    # collections
    "a list": lambda word: [word, [word], {"text": word}],
    "a long list": lambda word: [word] * 20_000,
    "a long mapping": lambda word: {str(number): word for number in range(20_000)},
    "a list's subclass": lambda word: type("Words", (list,), {})([word]),
    "a list that never ends": lambda word: EndlessList([word]),
    "a list that lies": lambda word: Liar([word]),
    "a mapping that never ends": lambda word: Endless(),
    "a mapping's double": lambda word: UserDict({"text": word}),
    "a mapping of a view": lambda word: MappingProxyType({"text": word}),
    "a mapping of layers": lambda word: ChainMap({"text": word}, {}),
    "a mapping of defaults": lambda word: defaultdict(list, {"text": [word]}),
    "odd keys": lambda word: {1: word, None: word, (2, 3): word, b"k": word, nan: word, "": word},
    "keys of an object": lambda word: {refusing("__str__", "__repr__")(): word, Vague: word},
    "a huge key": lambda word: {"k" * 1_000_000: word},
    "a set": lambda word: {word, 3, None},
    "a queue": lambda word: deque([word]),
    "a named tuple": Pair,
    "a pair of a message": lambda word: ("user", word),
    "a cycle": cyclic,
    "a deep list": lambda word: deep(5_000, word),
    "a deep mapping": lambda word: deep_mapping(500, word),
    "an embedding": lambda word: [0.25] * 4_096,
    # objects
    "an object": lambda word: SimpleNamespace(text=word, content=word, messages=[word]),
    "a model": lambda word: Row(text=word),
    "a model that is broken": lambda word: BrokenModel.model_construct(text=word),
    "a model without fields": lambda word: Row.model_construct(),
    "a dataclass without fields": lambda word: Unset(),
    "a message": HumanMessage,
    "a tool's message": lambda word: ToolMessage(word, tool_call_id="call-1", artifact=word),
    "a message of nothing": lambda word: AIMessage.model_construct(),
    "a generator": lambda word: items(3, word),
    "an iterator": lambda word: iter([word]),
    "a function": lambda word: len,
    "a class": lambda word: Row,
    "a module": lambda word: __import__("json"),
    "has everything": lambda word: Anything(),
    "no text": lambda word: refusing("__str__", "__repr__", "__format__")(),
    "a text that is none": lambda word: NotText(),
    "a text without an end": lambda word: Fatal(),
    "no truth": lambda word: Vague(),
    "no comparison": lambda word: refusing("__eq__", "__ne__", "__hash__", "__lt__")(),
    "no attributes": lambda word: refusing("__getattribute__")(),
    "no class": lambda word: refusing("__class__")(),
    "a list without items": lambda word: refusing("__len__", "__iter__", "__getitem__", base=list)([word]),
    "a mapping without items": lambda word: refusing(
        "__len__", "__iter__", "__getitem__", "items", "get", "keys", "__contains__", base=dict
    )(text=word),
    "no class, in a list": lambda word: [refusing("__class__")(), {"text": refusing("__class__")(), "more": word}],
}

ENDLESS = frozenset({"a list that never ends", "a mapping that never ends"})
"""LangChain itself reads these to their end in some places."""

# -- Places ------------------------------------------------------------------------------------------------------


class Model(BaseChatModel):
    """A model that answers with this message, or streams it."""

    made: Any

    @property
    def _llm_type(self) -> str:
        return "openai-chat"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult.model_construct(
            generations=[ChatGeneration.model_construct(message=self.made, text="", generation_info=None)],
            llm_output=None,
        )


class Streaming(Model):
    """A model that streams this message between two others."""

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        for message in (AIMessageChunk(content="one "), self.made, AIMessageChunk(content=" two")):
            chunk = ChatGenerationChunk.model_construct(message=message, text="", generation_info=None)
            if run_manager is not None:
                run_manager.on_llm_new_token(message.content, chunk=chunk)
            yield chunk


class Finding(BaseRetriever):
    """A retriever that finds this."""

    found: Any

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> Any:
        return self.found


def answer(kind: type[Any] = AIMessage, **fields: Any) -> Any:
    """A message that nobody has validated."""
    return kind.model_construct(
        **{"content": "one", "additional_kwargs": {}, "response_metadata": {}, "tool_calls": [], **fields}
    )


def model(made: Any = None) -> Any:
    return Model(made=answer() if made is None else made)


def _stream(value: Any, config: Any) -> Any:
    return list(Streaming(made=answer(AIMessageChunk, content=value)).stream("Hi", config))


def _usage(value: Any, config: Any) -> Any:
    details = {"cache_read": value, "audio": value}
    usage = {"input_tokens": value, "output_tokens": 3, "total_tokens": value, "input_token_details": details}
    return model(answer(usage_metadata=usage, response_metadata={"token_usage": value})).invoke("Hi", config)


def _response_metadata(value: Any, config: Any) -> Any:
    names = ("finish_reason", "model_name", "model", "id", "stop_reason", "system_fingerprint", "usage")
    return model(answer(id=value, response_metadata=dict.fromkeys(names, value))).invoke("Hi", config)


def _tool(value: Any, config: Any) -> Any:
    def look(given: Any) -> str:
        return "found"

    return StructuredTool.from_function(look, description="Looks.").invoke({"given": value}, config)


def _result(value: Any, config: Any) -> Any:
    return StructuredTool.from_function(lambda: value, name="look", description="Looks.").invoke({}, config)


def _fails(value: Any, config: Any) -> Any:
    def fail(_: object) -> None:
        raise LookupError(value)

    return RunnableLambda(fail).invoke("Hi", config)


class State(TypedDict, total=False):
    messages: Any
    other: Any


def _agent(value: Any, config: Any) -> Any:
    graph = StateGraph(State)
    graph.add_node("one", lambda state: {"messages": [value], "other": value})
    graph.add_edge(START, "one")
    return graph.compile().invoke({"messages": [HumanMessage("Hi"), value], "other": value}, config)


def _invocation(value: Any, config: Any) -> Any:
    names = ("temperature", "max_tokens", "top_p", "seed", "reasoning", "model", "tools", "response_format", "_type")
    return model().invoke("Hi", config, **dict.fromkeys(names, value))


@dataclass(frozen=True)
class Place:
    """Somewhere an application puts a value.

    Args:
        run: Runs the application with the value and LangChain's config.
        is_name: Whether it is a name or an id, which is recorded without any content too.
    """

    run: Callable[[Any, Any], Any]
    is_name: bool = False


PLACES: dict[str, Place] = {
    "prompt": Place(lambda value, config: model().invoke(value, config)),
    "system message": Place(
        lambda value, config: model().invoke([answer(SystemMessage, content=value), HumanMessage("Hi")], config)
    ),
    "content block": Place(
        lambda value, config: model().invoke(
            [answer(HumanMessage, content=[value, {"type": "text", "text": value}, {"type": "file", "file": value}])],
            config,
        )
    ),
    "answer": Place(lambda value, config: model(answer(content=value)).invoke("Hi", config)),
    "chunk": Place(_stream),
    "tool call": Place(
        lambda value, config: model(
            answer(tool_calls=[{"name": "look", "args": value, "id": "1", "type": "tool_call"}])
        ).invoke("Hi", config)
    ),
    "usage": Place(_usage),
    "response metadata": Place(_response_metadata, is_name=True),
    "tool arguments": Place(_tool),
    "tool result": Place(_result),
    "query": Place(lambda value, config: Finding(found=[]).invoke(value, config)),
    "documents": Place(lambda value, config: Finding(found=value).invoke("Hi", config)),
    "document": Place(
        lambda value, config: Finding(
            found=[Document.model_construct(page_content=value, metadata={"source": value})]
        ).invoke("Hi", config)
    ),
    "metadata": Place(lambda value, config: model().invoke("Hi", {**config, "metadata": {"tenant": value}})),
    "tags": Place(lambda value, config: model().invoke("Hi", {**config, "tags": [value]})),
    "conversation": Place(
        lambda value, config: model().invoke("Hi", {**config, "metadata": {"thread_id": value}}), is_name=True
    ),
    "run name": Place(lambda value, config: model().invoke("Hi", {**config, "run_name": value}), is_name=True),
    "pipeline name": Place(
        lambda value, config: model().invoke("Hi", {**config, "metadata": {"pipeline_name": value}}), is_name=True
    ),
    "stop": Place(lambda value, config: model().invoke("Hi", config, stop=value)),
    "stop sequences": Place(lambda value, config: model().invoke("Hi", config, stop=[value])),
    "parameters": Place(_invocation, is_name=True),
    "chain": Place(lambda value, config: RunnableLambda(lambda given: given).invoke(value, config)),
    "exception": Place(_fails),
    "agent state": Place(_agent),
}


def possible(value: str, place: str) -> bool:
    """Whether LangChain itself survives this value here."""
    return value not in ENDLESS


ALWAYS = frozenset(
    {
        ("a generator", "chain"),
        ("an iterator", "chain"),
        ("a text that raises", "run name"),
        ("a text that raises", "tags"),
    }
)
"""Values in places that have been bugs, or that are used up by reading them. These are tried always."""
