"""The public API is what it was said to be: names, arguments, types and docstrings."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from typing import Any, get_type_hints

import pytest

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._runs.settings import HandlerOptions
from tests.kit import HANG, REPOSITORY
from tests.project import public

NAMES = [(module, name) for module in public.MODULES for name in module.__all__ if not name.startswith("__")]


def test_the_public_names_and_their_arguments_are_the_stored_ones() -> None:
    """A public name or argument that comes, changes or goes is seen in a review, and named in the changelog."""
    kept = public.KEPT.read_text(encoding="utf-8")
    assert public.text() == kept, "if it is meant: python -m tests.project.public, and an entry in CHANGELOG.md"


def test_whoever_asks_for_the_handlers_signature_gets_its_arguments() -> None:
    """A notebook's help asks `inspect`, which looks at `__new__` before `__init__`."""
    arguments = inspect.signature(SentryStreamHandler.__init__).parameters.values()
    assert list(inspect.signature(SentryStreamHandler).parameters.values()) == list(arguments)[1:]


def test_the_integration_takes_the_handlers_arguments() -> None:
    """For type checkers `SentryStreamIntegration(...)` has each keyword argument of the handler, with its type."""
    arguments = inspect.signature(SentryStreamHandler.__init__).parameters.values()
    handler = {each.name: each.annotation for each in arguments if each.kind is each.KEYWORD_ONLY}
    options = {name: hint.__forward_arg__ for name, hint in HandlerOptions.__annotations__.items()}
    assert options == handler, "keep HandlerOptions (_runs/settings.py) like SentryStreamHandler.__init__"
    assert HandlerOptions.__total__ is False
    assert set(get_type_hints(HandlerOptions)) == set(handler)


def _described(value: Any) -> set[str]:
    """The names that the section "Args" of a docstring describes."""
    section = re.search(r"^Args:\n(.*?)(?:^\S|\Z)", inspect.getdoc(value) or "", re.MULTILINE | re.DOTALL)
    return {name.lstrip("*") for name in re.findall(r"^    (\*{0,2}\w+):", section[1] if section else "", re.MULTILINE)}


@pytest.mark.parametrize(("module", "name"), NAMES, ids=lambda each: getattr(each, "__name__", each))
def test_everything_public_is_documented(module: Any, name: str) -> None:
    """Everything public has a docstring, and each argument of a function or of a constructor is described in it."""
    value = getattr(module, name)
    if not (isinstance(value, type) or inspect.isfunction(value)):
        return
    assert inspect.getdoc(value), name
    arguments = inspect.signature(vars(value)["__init__"] if name in public.MADE else value).parameters
    if inspect.isfunction(value) or name in public.MADE:
        assert set(arguments) - {"self"} == _described(value), name
    if isinstance(value, type):
        for line in public._members(value):
            member = getattr(value, line.partition("(")[0])
            if inspect.isfunction(member) or isinstance(member, property):
                assert inspect.getdoc(member), line


def test_the_file_of_typed_usage_uses_every_public_name() -> None:
    """No public name is left to be untyped."""
    usage = (REPOSITORY / "tests" / "project" / "api.py").read_text(encoding="utf-8")
    assert [name for _, name in NAMES if not re.search(rf"\b{name}\b", usage)] == []
    assert "sentry_langchain_stream.__version__" in usage


def test_importing_the_handler_loads_nothing_that_follows_runs() -> None:
    """A program may import its chains and call none, so what follows runs comes with the first handler."""
    code = """
import sys
from sentry_langchain_stream import SentryStreamHandler
def loaded(): return {name.split(".")[1] for name in sys.modules if name.startswith("sentry_langchain_stream.")}
before = loaded()
SentryStreamHandler()
print(*sorted(loaded() - before))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=HANG)
    assert run.stdout.split() == ["_content", "_runs", "_vocabulary"]


def test_importing_the_handler_loads_nothing_that_an_application_may_do_without() -> None:
    """Beside a chat model and Sentry it loads none of their modules: that took longer than the import of ours."""
    code = """
import sys
import langchain_core.language_models.chat_models, sentry_sdk
before = set(sys.modules)
from sentry_langchain_stream import SentryStreamHandler
new = {name for name in sys.modules.keys() - before if name.startswith(("langchain_core", "sentry_sdk"))}
print(*sorted(new))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=HANG)
    assert run.stdout.split() == []
