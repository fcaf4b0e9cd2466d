"""Spotlight: Sentry's viewer for one's own machine, which takes what the SDK sends and tells what it has.

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
PACKAGES = ("@spotlightjs/spotlight", "hono")
OLDEST_NODE = 20
PATIENCE = 120.0
"""Seconds that an installation or a start may take."""


@pytest.fixture(scope="session")
def spotlight() -> Iterator[str]:
    """The URL at which a running Spotlight takes envelopes, and tells of them."""
    node = _node()
    _install()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SENTRY_", "SPOTLIGHT_"))}
    # Spotlight reports its own doings to its makers. That report ends here.
    environment |= {"https_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    start = HERE / "node_modules" / PACKAGES[0] / "dist" / "run.js"
    with subprocess.Popen(
        [node, "--require", str(HERE / "loopback.cjs"), str(start), "server", "--port", "0"],
        cwd=HERE,
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as server:
        assert server.stdout is not None
        said: queue.Queue[str] = queue.Queue()
        reader = threading.Thread(target=_read, args=(server.stdout, said), name="spotlight", daemon=True)
        reader.start()
        try:
            yield f"http://127.0.0.1:{_port(said)}/stream"
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
        pytest.skip("the Spotlight tests need Node and npm on the PATH")
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False, timeout=PATIENCE).stdout
    major = re.search(r"\d+", told)
    if major is None or int(major[0]) < OLDEST_NODE:
        pytest.skip(f"the Spotlight tests need Node {OLDEST_NODE} or newer, not {told.strip()}")
    return node


def _install() -> None:
    """Install what the lock file says, unless it is there."""
    lock = json.loads((HERE / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    if all(_installed(name) == lock[f"node_modules/{name}"]["version"] for name in PACKAGES):
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
        pytest.skip(f"the Spotlight tests need Spotlight, and npm could not install it: {done.stderr.strip()[-300:]}")


def _installed(name: str) -> str | None:
    manifest = HERE / "node_modules" / name / "package.json"
    if not manifest.exists():
        return None
    version: str = json.loads(manifest.read_text(encoding="utf-8"))["version"]
    return version


def _read(output: IO[str], said: queue.Queue[str]) -> None:
    """Keep reading, so that the server never waits for us. The empty line is the end."""
    for line in output:
        said.put(line)
    said.put("")


def _port(said: queue.Queue[str]) -> str:
    heard = []
    while line := said.get(timeout=PATIENCE):
        heard.append(line)
        if found := re.search(r"listening on (\d+)", line):
            return found[1]
    raise RuntimeError("Spotlight did not start:\n" + "".join(heard))
