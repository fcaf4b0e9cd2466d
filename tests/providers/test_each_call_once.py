"""One AI span per model call and the provider's tokens once, whichever integrations are active."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sentry_sdk.consts import DEFAULT_OPTIONS

from tests.kit.absent import long
from tests.kit.apps.each_call import OURS, WHO
from tests.kit.async_context import HAS_ASYNC_CONTEXT, is_async
from tests.kit.embedding import PER_REQUEST
from tests.kit.fresh import Fresh

OUTPUT = 41
"""The output tokens that the server states for each call."""

USUAL = frozenset({"LangchainIntegration", "provider integrations by hand"})
"""What applications have most often. The others take as long and differ in less."""

MODELS = ("ChatOpenAI", "ChatAnthropic", "ChatGoogleGenerativeAI", "ChatBedrockConverse")
RAW_IS_SEEN = frozenset({"provider integrations by hand", "ours as an integration"})
OWN_CONTENT = frozenset({"provider integrations by hand"})
"""Who passes an integration with settings of its own, which say what a raw client's span records."""


def expected(who: str, name: str, way: str) -> dict[str, Any]:
    """What Sentry is to receive of a call."""
    raw = int(who in RAW_IS_SEEN)
    if name in MODELS:
        return {"ours": 1, "raw": 0, "agents": 0, "tools": 0, "tokens": OUTPUT, "raw below": None}
    if name == "embeddings in a retriever":
        return {"ours": 1, "raw": 0, "agents": 0, "tools": 0, "tokens": 0, "embedded": PER_REQUEST, "content": []}
    if name == "raw client outside":
        return {"ours": 0, "raw": raw, "agents": 0, "tools": 0, "tokens": OUTPUT * raw}
    return {
        "ours": 1,
        "raw": raw,
        "agents": 1,
        "tools": 1,
        "tokens": OUTPUT * (1 + raw),
        "raw below": "gen_ai.execute_tool" if raw else None,
        "raw pipeline": "shop" if raw else None,
        "raw agent": "clerk" if raw else None,
    }


class TestWithOurs:
    @pytest.mark.parametrize("who", sorted(OURS | {"two handlers"}))
    def test_each_call_is_one_span(self, fresh_with_clients: Fresh, aimock: str, who: str) -> None:
        """However our handlers come to a call: one span with the provider's tokens, a raw call below its tool."""
        check(fresh_with_clients, aimock, who)


class TestWithSentrys:
    @pytest.mark.parametrize(
        "who",
        [pytest.param(who, marks=() if who in USUAL else long) for who in WHO if who not in OURS | {"two handlers"}],
    )
    def test_each_call_is_one_span(self, fresh_with_clients: Fresh, aimock: str, who: str) -> None:
        """Whoever else is active: one span with the provider's tokens, a raw call below its tool, no content."""
        check(fresh_with_clients, aimock, who)


def check(fresh: Fresh, aimock: str, who: str) -> None:
    """Compare all that is received with what is expected. Two classes, so that two workers can share the tests."""
    for package in ("langchain_anthropic", "langchain_aws", "langchain_google_genai", "langchain", "openai"):
        pytest.importorskip(package)
    if who == "ours where content cannot be vetoed" and "data_collection" not in DEFAULT_OPTIONS:
        pytest.skip("needs data_collection, which came with sentry-sdk 2.70")
    if who == "OTLP":
        pytest.importorskip("sentry_sdk.integrations.otlp")
        pytest.importorskip("opentelemetry.sdk.trace")
    done = fresh.run(f"from tests.kit.apps.each_call import main; main({who!r}, {aimock!r})")
    assert done.returncode == 0, done.stderr[-3000:]
    wrong = []
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for shape, name, way, found in lines:
        if name.startswith("agent") and is_async(way) and not HAS_ASYNC_CONTEXT:
            continue
        wanted = expected(who, name, way)
        if who not in OWN_CONTENT or name in MODELS:
            wanted["content"] = []
        if {key: found[key] for key in wanted} != wanted:
            wrong.append((shape, name, way, found))
    assert not wrong, "\n".join(map(str, wrong))
    assert len(lines) % (len(MODELS) + 3) == 0
    assert lines
