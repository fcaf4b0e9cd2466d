"""Execute every notebook of this folder, each in a fresh kernel, all at the same time.

    python notebooks/execute.py            store the outputs, and the pictures of the pages
    python notebooks/execute.py --check    store nothing; fail if a cell fails or what is stored is out of date

What is stored as text is the same after every run: no times, no machine's paths, no kernel's details. Of a picture the
check only asks that it is there, with the size and the number of plots that stand beside it as text: its bytes depend
on the version of matplotlib, and what it shows may have been measured. The notebooks never reach a real API from here,
whatever keys the environment holds.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import sys
import tempfile
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat as _nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

nbformat: Any = _nbformat  # its functions are not annotated

SECONDS_PER_CELL = 120
PICTURES = (("agent.ipynb", "timeline", "docs/trace.png"), ("microscope.ipynb", "close-up", "docs/stream.png"))
"""The notebooks and the cells that draw the pictures of the README and of the pages, and their files."""

_NEEDS = {"agent.ipynb": (3, 11), "beyond.ipynb": (3, 11)}  # the Python that a notebook asks for in its first cell

_FOLDERS = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR")
_PICTURE = re.compile(r'"image/png": "[^"]+"')
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def main(arguments: list[str]) -> int:
    """Execute the notebooks. The exit code is 1 if one fails, or with `--check` is out of date."""
    check = arguments == ["--check"]
    if arguments and not check:
        print(__doc__, file=sys.stderr)
        return 2
    holds = True
    found = sorted(Path(__file__).parent.glob("*.ipynb"))
    paths = [path for path in found if sys.version_info >= _NEEDS.get(path.name, (3,))]
    for path in sorted({*found} - {*paths}):
        print(f"{path.name}: left as it is, it needs Python {'.'.join(map(str, _NEEDS[path.name]))}")
    texts = [path.read_text(encoding="utf-8") for path in paths]
    with prepared_environment():
        results = asyncio.run(executed(texts))
    for path, stored, fresh in zip(paths, texts, results, strict=True):
        if isinstance(fresh, CellExecutionError):
            print(f"{path.name}: a cell failed\n{fresh}", file=sys.stderr)
            holds = False
        elif not check:
            path.write_text(fresh, encoding="utf-8")
            print(f"{path.name}: stored")
        elif (now := without_pictures(fresh)) != (before := without_pictures(stored)):
            print(f"{path.name}: out of date, run `make notebooks`\n{difference(before, now)}", file=sys.stderr)
            holds = False
        else:
            print(f"{path.name}: up to date")
    if holds and not check:
        store_pictures(Path(__file__).parent)
    return 0 if holds else 1


async def executed(notebooks: Sequence[str]) -> list[str | CellExecutionError]:
    """The text of each notebook with the outputs of a fresh kernel and without noise, or why there is none."""
    return await asyncio.gather(*map(_executed, notebooks))


async def _executed(text: str) -> str | CellExecutionError:
    notebook = nbformat.reads(text, as_version=4)
    # The working directory is none of the checkout's, so nothing that a cell writes stays behind.
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=SECONDS_PER_CELL,
            record_timing=False,
            resources={"metadata": {"path": folder}},
        )
        try:
            await client.async_execute()
        except CellExecutionError as error:
            return error
    notebook.metadata = _METADATA
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)
    return str(nbformat.writes(notebook)).rstrip("\n") + "\n"


def joined(outputs: list[Any]) -> list[Any]:
    """The outputs without what is there by chance, and with neighbouring pieces of one stream put together."""
    result: list[Any] = []
    for output in outputs:
        if output.output_type == "stream" and output.name == "stderr":
            output.text = output.text.replace(_BY_CHANCE, "")
            if not output.text:
                continue
        last = result[-1] if result else None
        if last is not None and output.output_type == "stream" and last.get("name") == output.name:
            last.text += output.text
        else:
            result.append(output)
    return result


_BY_CHANCE = "socket.send() raised exception.\n"
"""What asyncio logs when a server has written to a client five times since that has left: whether it has is chance."""


def without_pictures(notebook: str) -> str:
    """The text of a notebook, with a word in place of the bytes of each picture."""
    return _PICTURE.sub('"image/png": "(a picture)"', notebook)


def store_pictures(folder: Path) -> None:
    """Store the pictures of the pages: each is what one cell of a notebook has drawn."""
    for name, drawing, file in PICTURES:
        cells = nbformat.read(folder / name, as_version=4).cells
        (cell,) = (cell for cell in cells if cell.id == drawing)
        (picture,) = (output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", ()))
        (folder.parent / file).write_bytes(b64decode(picture))


def difference(stored: str, fresh: str) -> str:
    """What changed, as a diff."""
    from difflib import unified_diff

    return "\n".join(unified_diff(stored.splitlines(), fresh.splitlines(), "stored", "fresh", n=1, lineterm=""))


@contextmanager
def prepared_environment() -> Iterator[None]:
    """Set the environment that the kernels inherit: no keys, no proxy to this machine, no files in the home folder."""
    with tempfile.TemporaryDirectory() as folder:
        for name in _FOLDERS:
            os.environ.setdefault(name, folder)
        for name in ("OPENAI_API_KEY", "OPENAI_API_BASE", "OPENAI_BASE_URL", "SENTRY_DSN"):
            os.environ.pop(name, None)
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
        os.environ["JUPYTER_PLATFORM_DIRS"] = "1"
        # Makes matplotlib's list of fonts now, if there is none yet: a cell in which that takes long would say so.
        importlib.import_module("matplotlib.font_manager")
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
