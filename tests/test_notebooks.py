"""The notebooks run, and what is stored in them is what they say today."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

MACHINE = re.compile(r"/(home|root|work|tmp|Users|private|var)/|[A-Z]:\\|site-packages|127\.0\.0\.1|localhost")
"""Paths and addresses of the machine that a notebook was executed on."""


def cells(notebook: Path) -> list[dict[str, Any]]:
    """The cells of a notebook, as stored."""
    content: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return content


def outputs(notebook: Path) -> list[dict[str, Any]]:
    """The outputs of all its cells, as stored."""
    return [output for cell in cells(notebook) for output in cell.get("outputs", ())]


def pictures(cell: dict[str, Any]) -> list[str]:
    """The pictures among a cell's outputs, in base64."""
    data: list[dict[str, str]] = [output.get("data", {}) for output in cell.get("outputs", ())]
    return [each["image/png"] for each in data if "image/png" in each]


def execute(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `execute.py --check` of a folder, in a process of its own: a kernel's warnings are none of ours."""
    return subprocess.run(
        [sys.executable, str(folder / "execute.py"), "--check"], capture_output=True, text=True, timeout=600
    )


def copied(folder: Path) -> Path:
    """The folder, with a copy of the notebooks and of what executes them."""
    for path in (FOLDER / "execute.py", *NOTEBOOKS):
        shutil.copy(path, folder)
    return folder


def test_every_notebook_runs_and_shows_what_is_stored(tmp_path: Path) -> None:
    """Each notebook runs without an error in a fresh kernel, its outputs are the stored ones, and no file changes."""
    folder = copied(tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    run = execute(folder)
    assert run.returncode == 0, run.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [line.split(":")[0] for line in run.stdout.splitlines()] == [path.name for path in NOTEBOOKS]


def test_a_cell_that_fails_is_reported(tmp_path: Path) -> None:
    """A notebook whose cell raises makes the check fail, and the exception is named."""
    folder = copied(tmp_path)
    for path in folder.glob("*.ipynb"):
        path.unlink()
    cell = {"cell_type": "code", "id": "fails", "metadata": {}, "source": "1 / 0", "outputs": [], "execution_count": 1}
    broken = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "broken.ipynb").write_text(json.dumps(broken))
    run = execute(folder)
    assert run.returncode == 1
    assert "ZeroDivisionError" in run.stderr


def test_the_notebooks_are_there_with_their_pictures() -> None:
    """The tests below look at something, and so does the reader."""
    drawn = {path.name: [cell["id"] for cell in cells(path) if pictures(cell)] for path in NOTEBOOKS}
    assert drawn == {
        "agent.ipynb": ["timeline"],
        "microscope.ipynb": ["close-up", "rates", "compare", "cost"],
        "quickstart.ipynb": [],
    }


def test_the_picture_in_the_readme_is_the_notebooks() -> None:
    """The README shows what a cell of a notebook has drawn, and both are stored together."""
    (cell,) = (cell for cell in cells(FOLDER / "microscope.ipynb") if cell["id"] == "close-up")
    assert [b64decode(picture) for picture in pictures(cell)] == [(FOLDER.parent / "docs" / "stream.png").read_bytes()]
    assert "](docs/stream.png)" in (FOLDER.parent / "README.md").read_text(encoding="utf-8")


def test_a_picture_that_is_no_longer_drawn_is_missed(tmp_path: Path) -> None:
    """The bytes of a picture are not compared, but that there is one is."""
    folder = copied(tmp_path)
    for path in folder.glob("*.ipynb"):
        path.unlink()
    source = "from IPython.display import Image, display\nprint('drawn')"
    outputs = [
        {"name": "stdout", "output_type": "stream", "text": ["drawn\n"]},
        {"data": {"image/png": "aGk="}, "metadata": {}, "output_type": "display_data"},
    ]
    cell = {"cell_type": "code", "id": "d", "metadata": {}, "source": source, "outputs": outputs, "execution_count": 1}
    stored = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "drawn.ipynb").write_text(json.dumps(stored, indent=1))
    run = execute(folder)
    assert run.returncode == 1
    assert re.search(r'^- *"image/png": "\(a picture\)"', run.stderr, re.MULTILINE)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_stored_outputs_hold_nothing_of_a_machine(notebook: Path) -> None:
    """What is stored names no path and no address, and holds no error, no warning and no timing."""
    stored = outputs(notebook)
    assert {output["output_type"] for output in stored} <= {"stream", "display_data", "execute_result"}
    assert {output.get("name", "stdout") for output in stored} == {"stdout"}
    for output in stored:
        output.get("data", {}).pop("image/png", None)  # its letters may spell anything
    assert MACHINE.search(json.dumps(stored)) is None
    assert all(cell["metadata"] == {} for cell in cells(notebook))


def test_the_attributes_asked_for_are_shown() -> None:
    """Whoever reads the stored quickstart sees the span's tokens, model and pipeline."""
    shown = "".join("".join(output["text"]) for output in outputs(FOLDER / "quickstart.ipynb"))
    for line in (r"ai\.total_tokens +\d+", r"ai\.model_id +gpt-4o-mini", r"pipeline_name +support-bot"):
        assert re.search(f"^{line}$", shown, re.MULTILINE)
