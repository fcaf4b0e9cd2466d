"""Execute every notebook of this folder, each in a fresh kernel.

    python notebooks/execute.py            store the outputs
    python notebooks/execute.py --check    store nothing; fail if a cell fails or what is stored is out of date

What is stored is the same after every run: no times, no machine's paths, no kernel's details. The notebooks never
reach a real API from here, whatever keys the environment holds.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat as _nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

nbformat: Any = _nbformat  # its functions are not annotated

SECONDS_PER_CELL = 120
_FOLDERS = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
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
    with prepared_environment():
        for path in sorted(Path(__file__).parent.glob("*.ipynb")):
            stored = path.read_text(encoding="utf-8")
            try:
                fresh = nbformat.writes(executed(nbformat.reads(stored, as_version=4))).rstrip("\n") + "\n"
            except CellExecutionError as error:
                print(f"{path.name}: a cell failed\n{error}", file=sys.stderr)
                holds = False
                continue
            if not check:
                path.write_text(fresh, encoding="utf-8")
                print(f"{path.name}: stored")
            elif fresh != stored:
                print(f"{path.name}: out of date, run `make notebooks`\n{difference(stored, fresh)}", file=sys.stderr)
                holds = False
            else:
                print(f"{path.name}: up to date")
    return 0 if holds else 1


def executed(notebook: Any) -> Any:
    """The notebook with the outputs of a fresh kernel and without noise."""
    # The working directory is none of the checkout's, so nothing that a cell writes stays behind.
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=SECONDS_PER_CELL,
            record_timing=False,
            resources={"metadata": {"path": folder}},
        ).execute()
    notebook.metadata = _METADATA
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)
    return notebook


def joined(outputs: list[Any]) -> list[Any]:
    """The outputs with neighbouring pieces of one stream put together: how a stream is cut up is chance."""
    result: list[Any] = []
    for output in outputs:
        last = result[-1] if result else None
        if last is not None and output.output_type == "stream" and last.get("name") == output.name:
            last.text += output.text
        else:
            result.append(output)
    return result


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
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
