"""Run by itself where only the package and what it requires is installed: a model is called, and has its span."""

from __future__ import annotations

import sys
from importlib.metadata import distribution, requires, version
from itertools import cycle
from pathlib import Path
from typing import Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

import sentry_langchain_stream
from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans


def main() -> None:
    """Fail if anything is not as a release has it."""
    package = Path(sentry_langchain_stream.__file__).parent
    assert package.parent.name == "site-packages", f"{package} is not installed"
    assert (package / "py.typed").exists()

    release = distribution("sentry-langchain-stream")
    assert release.version == sentry_langchain_stream.__version__
    assert release.metadata["License-Expression"] == "MIT"
    assert any(file.name == "LICENSE" and "licenses" in file.parts for file in release.files or ())
    (entry,) = release.entry_points.select(group="pytest11")
    assert (entry.name, entry.value) == ("sentry_langchain_stream", "sentry_langchain_stream.pytest_plugin")
    plain = [line for line in requires("sentry-langchain-stream") or () if "extra ==" not in line]
    assert len(plain) == 2, plain

    chain = GenericFakeChatModel(messages=cycle([AIMessage("one two three")])) | (lambda message: message)
    with capture_spans() as captured:
        answer = [*chain.stream("Hi", config={"callbacks": [SentryStreamHandler("support-bot")]})]
    assert answer, "the model did not answer"
    span = captured.find(op="gen_ai.chat")
    found: dict[str, Any] = {
        key: span.attributes.get(key) for key in ("pipeline_name", "langchain_stream.outcome", "ai.total_tokens")
    }
    assert found["pipeline_name"] == "support-bot", found
    assert found["langchain_stream.outcome"] == "completed", found
    assert found["ai.total_tokens"] > 0, found
    assert span.attributes["gen_ai.response.streaming"] is True
    assert captured.find(op="function", name="support-bot").span_id == span.parent_id
    assert captured.events == []

    versions = ", ".join(f"{name} {version(name)}" for name in ("sentry-sdk", "langchain-core"))
    print(f"installed and at work: Python {sys.version.partition(' ')[0]}, {versions}")


if __name__ == "__main__":
    main()
