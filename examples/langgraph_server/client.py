"""A graph with the served agent as a node. It reads SENTRY_DSN.

`python -m examples.langgraph_server.client "Where is order 7?"`
"""

from __future__ import annotations

import sys
from typing import Any

import sentry_sdk
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.pregel.remote import RemoteGraph

from sentry_langchain_stream import SentryStreamHandler


def desk(url: str = "http://127.0.0.1:2024") -> Any:
    """A graph of one node: the agent on the server."""
    builder = StateGraph(MessagesState)
    builder.add_node("support", RemoteGraph("support", url=url))
    return builder.add_edge(START, "support").compile(name="desk")


if __name__ == "__main__":
    sentry_sdk.init(traces_sample_rate=1.0)
    question = {"messages": [("user", sys.argv[1])]}
    print(desk().invoke(question, {"callbacks": [SentryStreamHandler()]})["messages"][-1].text)
