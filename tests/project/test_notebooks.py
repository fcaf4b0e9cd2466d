"""The notebooks run, and what is stored in them is what they say today."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shutil
import subprocess
import sys
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest

from tests.kit import HANG, REPOSITORY, lean_environment
from tests.kit.absent import needs

FOLDER = REPOSITORY / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PICTURES = {
    "agent.ipynb": ["timeline"],
    "beyond.ipynb": [],
    "bill.ipynb": ["plot"],
    "microscope.ipynb": ["close-up", "beside", "reader"],
    "quickstart.ipynb": [],
}
"""The notebooks, and the cells of each that draw."""

NO_KERNEL = FOLDER / "beyond.ipynb"
"""This one needs nothing of Jupyter, and runs in the process of the tests, where everything has been imported."""

MACHINE = re.compile(r"/(home|root|work|tmp|Users|private|var)/|[A-Z]:\\|site-packages|127\.0\.0\.1|localhost")
"""Paths and addresses of the machine that a notebook was executed on."""


def cells(notebook: Path) -> list[dict[str, Any]]:
    """The cells of a notebook, as stored."""
    content: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return content


def outputs(notebook: Path) -> list[dict[str, Any]]:
    """The outputs of all its cells, as stored."""
    return [output for cell in cells(notebook) for output in cell.get("outputs", ())]


def data(output: dict[str, Any]) -> dict[str, Any]:
    """What an output holds, by its type."""
    held: dict[str, Any] = output.get("data") or {"text/plain": output["text"]}
    return held


def has_line(text: str, pattern: str) -> bool:
    """Whether one of its lines is like this pattern, as a whole."""
    return re.search(f"^{pattern}$", text, re.MULTILINE) is not None


def shown(notebook: Path) -> str:
    """All that is stored as text."""
    return "".join("".join(data(output)["text/plain"]) for output in outputs(notebook))


def drawn(cell: dict[str, Any]) -> list[bytes]:
    """The pictures of a cell."""
    held = [data(output) for output in cell.get("outputs", ())]
    return [b64decode(each["image/png"]) for each in held if "image/png" in each]


def execute(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `execute.py --check` of a folder, in a process of its own: a kernel's warnings are none of ours."""
    return subprocess.run(
        [sys.executable, str(folder / "execute.py"), "--check"],
        env=lean_environment(),
        capture_output=True,
        text=True,
        timeout=HANG,
    )


def copied(folder: Path) -> Path:
    """The folder, with a copy of what executes the notebooks, and of those that need a kernel."""
    for path in (FOLDER / "execute.py", *NOTEBOOKS):
        if path != NO_KERNEL:
            shutil.copy(path, folder)
    return folder


@needs("nbformat", "nbclient")
def test_every_notebook_runs_and_shows_what_is_stored(tmp_path: Path) -> None:
    """Each notebook runs without an error in a fresh kernel, its outputs are the stored ones, and no file changes."""
    folder = copied(tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    run = execute(folder)
    assert run.returncode == 0, run.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [line.split(":")[0] for line in run.stdout.splitlines()] == sorted(before.keys() - {"execute.py"})


@pytest.mark.skipif(sys.version_info < (3, 11), reason="async tools have no context of their own in 3.10")
async def test_what_needs_no_kernel_shows_what_is_stored(capsys: pytest.CaptureFixture[str]) -> None:
    """Each of its cells runs, and prints what is stored below it."""
    names: dict[str, Any] = {"__name__": "notebook"}
    for cell in cells(NO_KERNEL):
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            result = eval(compile(source, cell["id"], "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
            if inspect.isawaitable(result):
                await result
            stored = "".join("".join(output["text"]) for output in cell["outputs"])
            assert capsys.readouterr().out == stored, cell["id"]


def of_one_cell(path: Path, source: str, *outputs: dict[str, Any]) -> None:
    """Write a notebook as `execute.py` would store it."""
    cell = {
        "cell_type": "code",
        "execution_count": 1,
        "id": "cell",
        "metadata": {},
        "outputs": outputs,
        "source": [source],
    }
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    notebook = {"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(notebook, indent=1) + "\n")


def picture(words: str, content: bytes) -> dict[str, Any]:
    """The output of a cell that draws."""
    held = {"image/png": b64encode(content).decode(), "text/plain": [words]}
    return {"data": held, "metadata": {}, "output_type": "display_data"}


@needs("nbformat", "nbclient")
def test_what_does_not_hold_is_reported(tmp_path: Path) -> None:
    """The check names a cell that raises, text that has changed and a picture that is gone; pictures may differ."""
    shutil.copy(FOLDER / "execute.py", tmp_path)
    draw = "display({'image/png': 'ZHJhd24=', 'text/plain': 'a plot'}, raw=True)"
    stored: dict[str, Any] = {
        "changed": (draw, picture("another plot", b"drawn")),
        "differs": (draw, picture("a plot", b"drawn elsewhere")),
        "fails": ("1 / 0",),
        "gone": ("None", picture("a plot", b"drawn")),
    }
    for name, (source, *held) in stored.items():
        of_one_cell(tmp_path / f"{name}.ipynb", source, *held)
    run = execute(tmp_path)
    assert run.returncode == 1
    assert run.stdout == "differs.ipynb: up to date\n", run.stderr
    reported = [line for line in run.stderr.splitlines() if re.match(r"\w+\.ipynb: ", line)]
    assert reported == [
        "changed.ipynb: out of date, run `make notebooks`",
        "fails.ipynb: a cell failed",
        "gone.ipynb: out of date, run `make notebooks`",
    ]
    assert "ZeroDivisionError" in run.stderr


def test_the_notebooks_and_their_pictures_are_there() -> None:
    """Each notebook has the pictures that it is read for, one in each cell that draws."""
    found = {path.name: [cell["id"] for cell in cells(path) for _ in drawn(cell)] for path in NOTEBOOKS}
    assert found == PICTURES


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_what_is_shown_needs_no_trust(notebook: Path) -> None:
    """Outputs are plain text and PNG files of a sensible size, which every viewer shows, and nothing else."""
    for output in outputs(notebook):
        assert set(data(output)) <= {"image/png", "text/plain"}
    for file in (file for cell in cells(notebook) for file in drawn(cell)):
        assert file.startswith(b"\x89PNG\r\n")
        width, height = (int.from_bytes(file[start : start + 4], "big") for start in (16, 20))
        assert 800 <= width <= 1_400
        assert 300 <= height <= 800
        assert len(file) < 150_000


@pytest.mark.parametrize(
    ("page", "file", "notebook", "drawing"),
    [
        ("README.md", "trace.png", "agent.ipynb", "timeline"),
        ("docs/numbers.md", "stream.png", "microscope.ipynb", "close-up"),
    ],
)
def test_a_page_shows_a_picture_of_a_notebook(page: str, file: str, notebook: str, drawing: str) -> None:
    """The picture of the README, which is above its headings, and that of a page are those that the notebooks store."""
    text = (FOLDER.parent / page).read_text(encoding="utf-8")
    assert f"{file})" in text
    assert page != "README.md" or 0 < text.find(f"](docs/{file})](notebooks/{notebook})") < text.find("\n## ")
    (cell,) = (cell for cell in cells(FOLDER / notebook) if cell["id"] == drawing)
    assert drawn(cell) == [(FOLDER.parent / "docs" / file).read_bytes()]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_stored_outputs_hold_nothing_of_a_machine(notebook: Path) -> None:
    """What is stored names no path and no address, and holds no error, no warning and no timing."""
    stored = outputs(notebook)
    assert {output["output_type"] for output in stored} <= {"stream", "display_data", "execute_result"}
    assert {output.get("name", "stdout") for output in stored} == {"stdout"}
    assert MACHINE.search(shown(notebook)) is None
    assert all(cell["metadata"] == {} for cell in cells(notebook))


def test_the_attributes_asked_for_are_shown() -> None:
    """Whoever reads the stored quickstart sees the span's tokens, model and pipeline, first under the current keys."""
    text = shown(FOLDER / "quickstart.ipynb")
    lines = (
        r"gen_ai\.usage\.total_tokens +\d+",
        r"gen_ai\.request\.model +gpt-4o-mini",
        r"gen_ai\.pipeline\.name +support-bot",
        r"ai\.model_id +gpt-4o-mini",
        r"ai\.total_tokens +\d+",
        r"pipeline_name +support-bot",
    )
    places = [found and found.start() for found in (re.search(f"^{line}$", text, re.MULTILINE) for line in lines)]
    assert None not in places
    assert places == sorted(places, key=lambda place: place or 0)


def test_what_else_a_trace_tells_is_shown() -> None:
    """Whoever reads the notebook sees ids, prompt, user, evaluation, memory, handoff, MCP server, aborted answers."""
    text = shown(FOLDER / "beyond.ipynb")
    for line in (
        r"its page:  https://acme\.sentry\.io/\S+",
        r" +gen_ai\.prompt\.name +drinks",
        r" +user\.id +u-17",
        r"evaluate brevity · in the trace of the run: True",
        r"feedback: Short and clear\.",
        r" +function  search_memory",
        r" +gen_ai\.handoff  handoff from front_desk to billing",
        r" +mcp\.server\.name +kitchen",
        r"support-bot +4 +1 +\d+ +1",
    ):
        assert has_line(text, line), line


def test_the_numbers_of_the_pictures_are_shown() -> None:
    """Whoever reads the stored microscope sees how a stalled, a slow and a cancelled stream look on their spans."""
    text = shown(FOLDER / "microscope.ipynb")
    for line in (
        r"langchain_stream\.outcome +completed +completed +cancelled",
        r"gen_ai\.response\.time_to_first_chunk +0\.70 +1\.40 +0\.70",
        r"langchain_stream\.longest_gap +1\.20 +0\.30 +0\.14",
        r"langchain_stream\.usage_source +provider +provider +estimate",
    ):
        assert has_line(text, line), line


def test_how_certain_a_cost_is_is_shown() -> None:
    """Whoever reads the stored bill sees that the provider's count gives the bill, and how far off an estimate is."""
    text = shown(FOLDER / "bill.ipynb")
    for line in (
        r"reasoned +1\.03 +1\.03 +\+0% +provider",
        r"left early +0\.32 +0\.30 to 0\.39 +\? +estimate",
        r"no usage, cached +0\.38 +0\.16 +\+133% +estimate",
        r"no usage, reasoned +0\.38 +1\.03 +-63% +estimate",
    ):
        assert has_line(text, line), line


def test_an_agent_is_shown_as_a_tree() -> None:
    """Whoever reads the stored notebook of an agent sees tools, retriever and the agent in a tool below one root."""
    assert """
gen_ai.invoke_agent  invoke_agent planner
  gen_ai.chat  chat quill-large
  gen_ai.execute_tool  execute_tool weather
  gen_ai.execute_tool  execute_tool ask_librarian
    gen_ai.invoke_agent  invoke_agent librarian
      gen_ai.chat  chat quill-small
      gen_ai.execute_tool  execute_tool search_guides
        function  retrieve GuideShelf
      gen_ai.chat  chat quill-small
  gen_ai.chat  chat quill-large
""" in shown(FOLDER / "agent.ipynb")
