"""What every test here needs: clients that look for no account, and connections that are gone afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Keep the clients from looking for an account on this machine, and leave no open connection to the next test."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "GOOGLE_API_KEY", "GEMINI_API_KEY", "OPENAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)
    yield
    gc.collect()
