"""An agent for a LangGraph server. It reads OPENAI_API_KEY and SENTRY_DSN."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import sentry_sdk
from langchain.agents import create_agent
from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI

from sentry_langchain_stream import SentryStreamIntegration

sentry_sdk.init(traces_sample_rate=1.0, integrations=[SentryStreamIntegration()])


def lookup(order: str) -> str:
    """Look an order up."""
    return f"Order {order} is on its way."


agent = create_agent(ChatOpenAI(model="gpt-4o-mini"), [lookup], name="support")


@asynccontextmanager
async def served(config: RunnableConfig) -> AsyncIterator[Any]:
    """The agent for one run: the server calls this with the request's headers, see `langgraph.json`."""
    with sentry_sdk.isolation_scope():
        sentry_sdk.continue_trace(dict(config["configurable"]))
        yield agent
