"""Sentry's integrations of client libraries: which there are, and which of them a client has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sentry_sdk

from sentry_langchain_stream import SentryStreamIntegration
from sentry_langchain_stream._to_sentry.model_integrations import MODEL_INTEGRATIONS
from tests.kit.fresh import Fresh

OTHERS = {"langchain", "langgraph", "mcp", "openai_agents", "pydantic_ai", "typesafe"}
"""Integrations with AI spans that trace no client library of a model: frameworks, tools, evaluations."""


def test_the_table_has_every_integration_of_a_client_library() -> None:
    """Whatever the installed SDK has that makes spans of model calls is a row, or known to be something else."""
    folder = Path(sentry_sdk.__file__).parent / "integrations"
    found = {
        path.relative_to(folder).parts[0].removesuffix(".py")
        for path in folder.rglob("*.py")
        if "OP.GEN_AI_" in (source := path.read_text(encoding="utf-8")) and "start_span" in source
    }
    assert found - OTHERS <= set(MODEL_INTEGRATIONS)
    assert "openai" in found


@pytest.mark.parametrize(
    ("providers", "error", "told"),
    [
        ("openai", TypeError, "providers must be True, False or a collection"),
        (7, TypeError, "providers must be True, False or a collection"),
        (["open-ai"], ValueError, "'open-ai' is not one of anthropic, boto3, cohere"),
    ],
)
def test_a_wrong_choice_is_refused(providers: Any, error: type[Exception], told: str) -> None:
    """The error names the argument and what is allowed."""
    with pytest.raises(error, match="providers") as raised:
        SentryStreamIntegration(providers=providers)
    assert told in str(raised.value)


def test_a_chosen_library_that_is_not_installed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `True` such a library is passed over, by name it is an error that says so."""
    row = MODEL_INTEGRATIONS["cohere"]._replace(library="no_such_library")
    monkeypatch.setitem(MODEL_INTEGRATIONS, "cohere", row)
    with pytest.raises(ImportError, match="'cohere' cannot be enabled: no_such_library is not installed"):
        SentryStreamIntegration(providers=["cohere"])
    assert "cohere" not in SentryStreamIntegration().providers


SCRIPT = """
    import sentry_sdk
    from sentry_sdk.integrations.openai import OpenAIIntegration
    from sentry_langchain_stream import SentryStreamIntegration

    def has(**options):
        client = sentry_sdk.Client(dsn="http://a@127.0.0.1:9/1", traces_sample_rate=1.0, **options)
        return client.get_integration(OpenAIIntegration) is not None

    print("before", has())
    print("ours", has(integrations=[SentryStreamIntegration()]))
    print("none chosen", has(integrations=[SentryStreamIntegration(providers=False)]))
    print("another client", has())
    print("by hand", has(integrations=[OpenAIIntegration()]))
    print("disabled", has(integrations=[SentryStreamIntegration()], disabled_integrations=[OpenAIIntegration()]))
"""


def test_each_client_has_what_it_chose(fresh_with_clients: Fresh) -> None:
    """Enabling one for a client changes no other client, and what the application disables stays off."""
    pytest.importorskip("openai")
    done = fresh_with_clients.run(SCRIPT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "before False",
        "ours True",
        "none chosen False",
        "another client False",
        "by hand True",
        "disabled False",
    ]
