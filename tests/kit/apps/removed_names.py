"""A process that removes private names of libraries, one per fork, and reports what the handler does without each.

    python -m tests.kit.apps.removed_names '[["hide", "sentry_sdk.serializer", "serialize"], ...]'

Prints one JSON object per name: `{"name", "error", "calls": [[input, output, total], ...], "log"}`.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import sys
import traceback
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

import sentry_sdk
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from sentry_sdk import integrations
from sentry_sdk.consts import DEFAULT_OPTIONS

import tests.kit.lean  # noqa: F401 -- before `sentry_sdk.init`

USED: Any = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}


class Model(BaseChatModel):
    @property
    def _llm_type(self) -> str:
        return "openai-chat"

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        yield ChatGenerationChunk(message=AIMessageChunk(content="one "))
        yield ChatGenerationChunk(message=AIMessageChunk(content="two", usage_metadata=USED))

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("one two", usage_metadata=USED))])


def remove(module: str, name: str) -> None:
    """Remove a name from a module, or from a class in it, for everybody."""
    owner: Any = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    delattr(owner, last)


def hide(module: str, name: str) -> None:
    """Remove a name for this package alone, where the library cannot do without it itself.

    The package takes such names in modules called `internals` or `scope_internals`, by `getattr`. They get one that
    does not find the name.
    """
    *path, last = name.split(".")
    hidden_from: Any = importlib.import_module(module)
    for part in path:
        hidden_from = getattr(hidden_from, part)

    def is_hidden(owner: Any, attribute: str) -> bool:
        is_owner = owner is hidden_from or (isinstance(hidden_from, type) and isinstance(owner, hidden_from))
        return is_owner and attribute == last

    def getattr_(owner: Any, attribute: str, *default: Any) -> Any:
        if not is_hidden(owner, attribute):
            return getattr(owner, attribute, *default)
        if default:
            return default[0]
        raise AttributeError(attribute)

    def hasattr_(owner: Any, attribute: str) -> bool:
        return not is_hidden(owner, attribute) and hasattr(owner, attribute)

    class Finder(MetaPathFinder):
        def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
            if not (fullname.startswith("sentry_langchain_stream.") and fullname.endswith("internals")):
                return None
            spec = PathFinder.find_spec(fullname, path)
            assert spec is not None
            assert spec.loader is not None
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                vars(module).update(getattr=getattr_, hasattr=hasattr_)
                execute(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
            return spec

    sys.meta_path.insert(0, Finder())


def observe(how: str, module: str, name: str) -> dict[str, Any]:
    """What the handler does without a name, in each of the SDK's span models."""
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logging.getLogger("sentry_langchain_stream").addHandler(Lines())
    {"remove": remove, "hide": hide}[how](module, name)
    from sentry_langchain_stream import SentryStreamHandler, track_stream
    from sentry_langchain_stream.testing import capture_spans

    calls: list[Any] = []
    shapes: list[dict[str, Any]] = [{}, {"trace_lifecycle": "stream"}]
    # What the log line advises where Sentry's handler class is not known any more.
    auto = name != "SentryLangchainCallback"
    for options in (each for each in shapes if each.keys() <= DEFAULT_OPTIONS.keys()):
        with capture_spans(auto_enabling_integrations=auto, **options) as captured:
            handler = SentryStreamHandler()
            chain = ChatPromptTemplate.from_template("{question}") | Model()
            chain.invoke({"question": "Hi"}, config={"callbacks": [handler]})
            for _ in chain.stream({"question": "Hi"}, config={"callbacks": [handler]}):
                pass
            stream = track_stream(iter(["one", "two"]), model="gpt-4o-mini")
            for _ in stream:
                stream.set_usage(input_tokens=7, output_tokens=3)
        for span in captured.find_all(op="gen_ai.chat"):
            keys = ("input_tokens", "output_tokens", "total_tokens")
            calls.append([span.attributes.get(f"gen_ai.usage.{key}") for key in keys])
    return {"calls": calls, "log": lines}


def main(names: list[tuple[str, str, str]]) -> None:
    sentry_sdk.init()  # imports the integrations, which use these names themselves
    # Sentry looks for the libraries of its integrations for each client made. Once is enough.
    find = integrations.iter_default_integrations
    once: Any = cache(lambda auto: list(find(auto)))
    integrations.iter_default_integrations = once
    gc.freeze()  # what is imported is in use until the end: no fork needs to look at it
    for how, module, name in names:
        child = os.fork()
        if child == 0:
            report: dict[str, Any] = {"name": f"{module}.{name}", "error": None, "calls": [], "log": []}
            try:
                report |= observe(how, module, name)
            except BaseException:
                report["error"] = traceback.format_exc()
            print(json.dumps(report), flush=True)
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main([(how, module, name) for how, module, name in json.loads(sys.argv[1])])
