"""A raw client's call has one span, if its request is sent inside of a tracked stream."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from tests.kit.absent import needs
from tests.kit.fresh import Fresh
from tests.kit.wire import WIRE_SHAPES

pytestmark = [
    needs("anthropic", "boto3", "openai"),
    pytest.mark.skipif(
        find_spec("sentry_langchain_stream._to_sentry.model_integrations") is None,
        reason="Sentry's integrations of client libraries are not yet silent in a call that we record",
    ),
]

SCRIPT = """
import asyncio, gc
import sentry_sdk
from sentry_sdk.integrations.anthropic import AnthropicIntegration
from sentry_sdk.integrations.langchain import LangchainIntegration
from sentry_sdk.integrations.openai import OpenAIIntegration
from sentry_langchain_stream import track_stream
from sentry_langchain_stream.testing import capture_spans
from tests.clients.apis import APIS
from tests.kit.replay import replaying

@track_stream(model="m")
async def answer(api, url):
    async for chunk in await api.astream(url, {{}}):
        yield chunk

@track_stream(model="m")
def sync_answer(api, url):
    yield from api.stream(url, {{}})

async def awaited(api, url, way):
    made = answer(api, url) if way == "decorated" else track_stream(api.astream(url, {{}}), model="m")
    async for _ in made:
        pass

for api in APIS:
    if api.id not in ("openai-chat", "anthropic", "bedrock"):
        continue
    for shape in {shapes!r}:
        options = {{"integrations": [OpenAIIntegration(), AnthropicIntegration()], **shape}}
        options["disabled_integrations"] = [LangchainIntegration()]
        for way in ("sync",) if api.astream is None else ("sync", "awaitable", "decorated"):
            with replaying(api.answer("text")) as server, capture_spans(**options) as captured:
                assert sentry_sdk.get_client().get_integration(OpenAIIntegration) is not None
                if way == "sync":
                    list(sync_answer(api, server.url))
                else:
                    asyncio.run(awaited(api, server.url, way))
            spans = [each for each in captured.spans if str(each.op).startswith("gen_ai.")]
            print(api, shape, way, [each.attributes.get("gen_ai.usage.total_tokens") for each in spans])
"""


def test_a_request_inside_of_the_span_is_counted_once(fresh_with_clients: Fresh) -> None:
    """With Sentry's integration of the client on, an awaitable and decorated functions make one AI span each."""
    script = SCRIPT.format(shapes=list(WIRE_SHAPES.values()))
    done = fresh_with_clients.run(script, {"AWS_EC2_METADATA_DISABLED": "true"})
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert len(told) == len(WIRE_SHAPES) * (3 + 2 + 2)
    assert [line for line in told if not line.endswith(" [29]")] == []
