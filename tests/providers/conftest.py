"""aimock: a server that nobody here wrote, and that speaks the wire formats of the providers.

It needs Node, and is installed once, below this folder. Where that cannot be, its tests are skipped and say why.
"""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

HERE = Path(__file__).parent
CACHE = HERE.parent.parent / ".cache" / "npm"
PACKAGE = HERE / "node_modules" / "@copilotkit" / "aimock"
OLDEST_NODE = (20, 15)
PATIENCE = 120.0
"""Seconds that an installation or a start may take."""


@pytest.fixture(scope="session")
def aimock() -> Iterator[str]:
    """The server's base URL, without a trailing slash."""
    node = _node()
    _install()
    command = [node, str(PACKAGE / "dist" / "cli.js"), "--port", "0", "--fixtures", str(HERE / "fixtures")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIMOCK_")}
    with subprocess.Popen(
        [*command, "--strict", "--validate-on-load"],
        cwd=HERE,
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as server:
        assert server.stdout is not None
        said: queue.Queue[str] = queue.Queue()
        reader = threading.Thread(target=_read, args=(server.stdout, said), name="aimock", daemon=True)
        reader.start()
        try:
            yield _address(said)
        finally:
            server.terminate()
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()
            reader.join()


def _node() -> str:
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        pytest.skip("the provider tests need Node and npm on the PATH")
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False, timeout=PATIENCE).stdout
    version = tuple(int(part) for part in re.findall(r"\d+", told)[:2])
    if version < OLDEST_NODE:
        pytest.skip(f"the provider tests need Node {'.'.join(map(str, OLDEST_NODE))} or newer, not {told.strip()}")
    return node


def _install() -> None:
    """Install what the lock file says, unless it is there."""
    lock = json.loads((HERE / "package-lock.json").read_text(encoding="utf-8"))
    wanted = lock["packages"]["node_modules/@copilotkit/aimock"]["version"]
    manifest = PACKAGE / "package.json"
    if manifest.exists() and json.loads(manifest.read_text(encoding="utf-8"))["version"] == wanted:
        return
    npm = shutil.which("npm")
    assert npm is not None
    done = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"],
        cwd=HERE,
        env={**os.environ, "npm_config_cache": str(CACHE)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    if done.returncode:
        pytest.skip(f"the provider tests need aimock, and npm could not install it: {done.stderr.strip()[-300:]}")


def _read(output: IO[str], said: queue.Queue[str]) -> None:
    """Keep reading, so that the server never waits for us. The empty line is the end."""
    for line in output:
        said.put(line)
    said.put("")


def _address(said: queue.Queue[str]) -> str:
    heard = []
    while line := said.get(timeout=PATIENCE):
        heard.append(line)
        if found := re.search(r"listening on (http://\S+)", line):
            return found[1].rstrip("/")
    raise RuntimeError("aimock did not start:\n" + "".join(heard))
