"""LangSmith's tracer."""

from __future__ import annotations

import re
from typing import Any

import requests
import zstandard
from langchain_core.tracers.langchain import LangChainTracer
from langsmith import Client

from . import Adapter, Sink

_INFO: Any = {
    "version": "0.10.0",
    "instance_flags": {"zstd_compression_enabled": True},
    "batch_ingest_config": {
        "use_multipart_endpoint": True,
        "scale_up_qsize_trigger": 1000,
        "scale_up_nthreads_limit": 16,
        "scale_down_nempty_trigger": 4,
        "size_limit": 100,
        "size_limit_bytes": 20_971_520,
    },
}
"""What LangSmith's cloud tells of itself."""


_ZSTD = b"\x28\xb5\x2f\xfd"


class SinkSession(requests.Session):
    """Accepts every request, and sends none."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Swallow."""
        if self._sink.watched:
            _note(self._sink, kwargs.get("data"))
        response = requests.Response()
        response.status_code = 202
        response._content = b"{}"
        return response


def setup(sink: Sink, variant: str) -> Adapter:
    """A client with its defaults, and its tracer."""
    hidden = variant == "no content"
    client = Client(
        api_url="http://127.0.0.1:9",
        api_key="bench",
        session=SinkSession(sink),
        info=_INFO,
        hide_inputs=hidden,
        hide_outputs=hidden,
        tracing_sampling_rate=0.0 if variant == "unsampled" else 1.0,
    )
    return Adapter([LangChainTracer(client=client, project_name="bench")], flush=client.flush)


def _note(sink: Sink, data: Any) -> None:
    body = data if isinstance(data, bytes) else data.read() if hasattr(data, "read") else b""
    if body.startswith(_ZSTD):
        body = zstandard.ZstdDecompressor().decompressobj().decompress(body)
    text = body.decode("utf-8", "replace")
    sink.note(None, text)
    started = re.findall(r'name="post\.([0-9a-f-]{36})"[^{]*\{(.*)', text)
    for run_id, run in started:
        if '"run_type":"llm"' in run:
            extra = re.search(rf'name="post\.{run_id}\.extra".*?"ls_model_name":"([^"]*)"', text, re.DOTALL)
            sink.note(extra[1] if extra else "", "")
