"""What is replaced in other packages is put back."""

from __future__ import annotations

from sentry_langchain_stream._to_sentry import internals
from tests.kit.absent import needs
from tests.kit.fresh import Fresh

SCRIPT = """
    import mcp
    import sentry_sdk
    from langchain_core.embeddings import DeterministicFakeEmbedding
    from langchain_mcp_adapters.client import MultiServerMCPClient
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.store.memory import InMemoryStore

    from sentry_langchain_stream import SentryStreamHandler, trace_mcp
    from sentry_langchain_stream._to_sentry import other_integrations
    from sentry_langchain_stream.testing import capture_spans
    from tests.kit.wire import ScriptedModel

    other_integrations.uninstall()  # what the import has installed
    OF_SENTRY = (sentry_sdk.Client, sentry_sdk.client)
    HOLDERS = (*OF_SENTRY, mcp.ClientSession, DeterministicFakeEmbedding, InMemorySaver, InMemoryStore)

    def replaced(before):
        return sorted(
            f"{holder.__name__}.{name}"
            for holder, held in before
            for name, value in held.items()
            if callable(value) and vars(holder).get(name) is not value
        )

    before = [(holder, {**vars(holder)}) for holder in HOLDERS]

    def use():
        other_integrations.install()
        handler = SentryStreamHandler(memory=True, checkpoints=True)
        trace_mcp(MultiServerMCPClient({}))
        with capture_spans(auto_enabling_integrations=False), sentry_sdk.start_transaction(name="request"):
            ScriptedModel().invoke("Hi", {"callbacks": [handler]})

    for _ in range(2):
        use()
        print(len({name.partition(".")[0] for name in replaced(before)}))
        other_integrations.uninstall()
        print(replaced(before))
"""


@needs("langgraph", "mcp", "langchain_mcp_adapters")
def test_all_that_was_replaced_is_put_back_and_may_be_replaced_again(fresh: Fresh) -> None:
    """Sentry's client, stores, checkpointers, embeddings and MCP sessions have their own methods after `uninstall`."""
    done = fresh.run(SCRIPT)
    assert done.returncode == 0, done.stderr
    first, put_back, again, put_back_again = done.stdout.splitlines()
    assert put_back == put_back_again == "[]"
    # Older SDKs do not move spans out of their transaction, so nothing of that is replaced in `sentry_sdk.client`.
    holders = 5 if internals.move_span is None else 6
    assert (int(first), int(again)) == (holders, holders)
