"""Servers from the npm registry: each is installed once, below the folder of its tests, and runs while these do.

They need Node. Where a server cannot be, its tests are skipped and say why.
"""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.kit import HANG, REPOSITORY

CACHE = REPOSITORY / ".cache" / "npm"
OLDEST_NODE = (20, 15)


def install(folder: Path, packages: Sequence[str]) -> str:
    """Install what a folder's lock file says, unless it is there, and give the path of Node.

    Args:
        folder: Where `package.json` and its lock file are.
        packages: Those of them that the tests need.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip(f"{packages[0]} needs Node and npm on the PATH")
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False, timeout=HANG).stdout
    if tuple(int(part) for part in re.findall(r"\d+", told)[:2]) < OLDEST_NODE:
        pytest.skip(f"{packages[0]} needs Node {'.'.join(map(str, OLDEST_NODE))} or newer, not {told.strip()}")
    lock = json.loads((folder / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    CACHE.mkdir(parents=True, exist_ok=True)
    # Several processes may play the tests of one folder, and npm begins by removing what is there.
    with pytest.importorskip("filelock").FileLock(CACHE / f"{folder.name}.lock"):
        if all(_installed(folder, name) == lock[f"node_modules/{name}"]["version"] for name in packages):
            return node
        done = subprocess.run(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"],
            cwd=folder,
            env={**os.environ, "npm_config_cache": str(CACHE)},
            capture_output=True,
            text=True,
            check=False,
            timeout=HANG,
        )
    if done.returncode:
        pytest.skip(f"npm could not install {packages[0]}: {done.stderr.strip()[-300:]}")
    return node


@contextmanager
def running(command: Sequence[str], folder: Path, environment: Mapping[str, str], told: str) -> Iterator[str]:
    """Run a server while the block does.

    Args:
        command: Starts it.
        folder: Where.
        environment: All of its environment.
        told: A regular expression of what it prints when it listens.

    Yields:
        The expression's group.
    """
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as server:
        assert server.stdout is not None
        said: queue.Queue[str] = queue.Queue()
        reader = threading.Thread(target=_read, args=(server.stdout, said), name="server", daemon=True)
        reader.start()
        try:
            yield _found(told, said)
        finally:
            server.terminate()
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()
            reader.join()


def _installed(folder: Path, name: str) -> str | None:
    manifest = folder / "node_modules" / name / "package.json"
    if not manifest.exists():
        return None
    version: str = json.loads(manifest.read_text(encoding="utf-8"))["version"]
    return version


def _read(output: IO[str], said: queue.Queue[str]) -> None:
    """Keep reading, so that the server never waits for us. The empty line is the end."""
    for line in output:
        said.put(line)
    said.put("")


def _found(told: str, said: queue.Queue[str]) -> str:
    heard = []
    while line := said.get(timeout=HANG):
        heard.append(line)
        if found := re.search(told, line):
            return found[1]
    raise RuntimeError("the server did not start:\n" + "".join(heard))
