"""Sentry's own integrations are silent from the first call on, also for methods that were kept from before."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from tests.kit import HANG, REPOSITORY, lean_environment

SCRIPT = """
    import sentry_sdk
    from langchain_core.messages import AIMessage
    from langgraph.graph import START, MessagesState, StateGraph
    from sentry_sdk.integrations.langgraph import LanggraphIntegration

    def answer(state):
        return {"messages": [AIMessage("the secret answer")]}

    sentry_sdk.init(traces_sample_rate=1.0, integrations=[LanggraphIntegration()])  # wraps the methods of every graph
    graph = StateGraph(MessagesState).add_node(answer).add_edge(START, "answer").compile()
    kept = graph.invoke

    from sentry_langchain_stream import SentryStreamHandler
    from sentry_langchain_stream._to_sentry import other_integrations
    from sentry_langchain_stream.testing import capture_spans

    def agents(call, options=None):
        with capture_spans(send_default_pii=True, integrations=[LanggraphIntegration()]) as captured:
            with sentry_sdk.start_transaction(name="request"):
                call({"messages": [("user", "a secret question")]}, options)
        seen = [span.origin for span in captured.spans if span.op == "gen_ai.invoke_agent"]
        return seen, any("secret" in repr(item) for item in captured.items)

    def handler():
        return {"callbacks": [SentryStreamHandler(redact=lambda text: "x")]}

    print("in the call", *agents(lambda given, _: graph.invoke(given, handler())))
    print("kept", *agents(kept, handler()))
    print("without", *agents(kept))
    other_integrations.uninstall()
    print("uninstalled", *agents(kept, handler()))
    print("origin", type(sentry_sdk.get_client()).get_integration.__module__)
"""


def test_a_handler_made_in_the_call_and_a_kept_method_are_in_time() -> None:
    """One agent, nothing past `redact`; without a handler Sentry's own; after `uninstall` as without this package."""
    pytest.importorskip("langgraph")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)],
        cwd=REPOSITORY,
        env=lean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr
    ours, theirs = "auto.ai.langchain_stream", "auto.ai.langgraph"
    assert done.stdout.splitlines() == [
        f"in the call ['{ours}'] False",
        f"kept ['{ours}'] False",
        f"without ['{theirs}'] True",
        f"uninstalled ['{theirs}', '{ours}'] True",
        "origin sentry_sdk.client",
    ]
