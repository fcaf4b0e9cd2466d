"""What is said of supported versions is tried: in the documentation, the metadata of the package and the workflows."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from sentry_langchain_stream.doctor.environment import SUPPORTED
from tests.kit import REPOSITORY
from tests.project import supported

PROJECT = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))


PUBLISHES = {
    ("docs", "publish"): {"id-token": "write", "pages": "write"},
    ("release", "publish"): {"id-token": "write"},
}
"""The jobs that may do more than read."""

ACTIONS = r"actions/[a-z-]+@v\d+|pypa/gh-action-pypi-publish@release/v1"


def constants() -> dict[str, Any]:
    """The plain constants of the noxfile."""
    found = {}
    for node in ast.parse((REPOSITORY / "noxfile.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def cells() -> set[str]:
    """The names of the cells of `make matrix`."""
    told = constants()
    return {f"{kind}-{python}" for kind in ("newest", "oldest", "bare") for python in told[f"{kind.upper()}_ON"]}


def test_the_tables_tell_what_was_run() -> None:
    """The tables of the page on versions are those of the last whole run of each cell."""
    for page, text in supported.pages(supported.kept()).items():
        assert page.read_text(encoding="utf-8") == text, f"python -m tests.project.supported writes {page.name}"


def test_what_was_run_is_what_is_promised() -> None:
    """No cell that is told of failed, all of them still exist, and the oldest ran the oldest versions allowed."""
    for cell in supported.kept():
        assert cell.failed == 0, cell
        assert cell.name in cells()
        if cell.name.startswith("oldest"):
            for name, (floor, _) in SUPPORTED.items():
                assert tuple(map(int, str(cell.versions[name]).split(".")[:2])) == floor, cell


def test_the_classifiers_are_the_pythons_that_are_tried() -> None:
    """Each Python version in the package's metadata has its cell with the newest packages, and the other way round."""
    assert re.findall(r"Programming Language :: Python :: (3\.\d+)", PROJECT) == constants()["NEWEST_ON"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_only_read(path: Path) -> None:
    """A workflow may only read, keeps no credentials, ends in time, and pins its actions.

    A job that publishes may do that one thing more. It runs no command, and waits for those that test.
    """
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job.get("permissions", {}) == PUBLISHES.get((path.stem, name), {})
        if "permissions" in job:
            assert job["needs"]
            assert job["if"]
            assert not [step for step in job["steps"] if "run" in step or "checkout" in step["uses"]]
        assert job["timeout-minutes"] <= 60
        for step in job["steps"]:
            action = step.get("uses")
            assert action is None or re.fullmatch(ACTIONS, action)
            assert (
                action is None or not action.startswith("actions/checkout") or not step["with"]["persist-credentials"]
            )
            # What stands in a run step is a shell's: nothing of a pull request may come into it.
            assert set(re.findall(r"\$\{\{ *(\w+)", step.get("run", ""))) <= {"matrix"}


def sessions_apart() -> set[str]:
    """The names of the sessions of `make matrix` that are no cells."""
    tree = ast.parse((REPOSITORY / "noxfile.py").read_text(encoding="utf-8"))
    functions = [each for each in tree.body if isinstance(each, ast.FunctionDef)]
    tagged = {
        each.name.strip("_") for each in functions if "'matrix'" in "".join(map(ast.unparse, each.decorator_list))
    }
    return tagged - {cell.partition("-")[0] for cell in cells()}


def test_the_workflow_has_every_session() -> None:
    """The matrix of the workflow is that of `make matrix`."""
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "matrix.yml").read_text(encoding="utf-8"))
    jobs = workflow["jobs"]
    cell, apart = (jobs[each]["strategy"]["matrix"]["include"] for each in ("cell", "apart"))
    assert {f"{each['cell']}-{each['python']}" for each in cell} == cells()
    assert {each["session"] for each in apart} == sessions_apart() != set()


REPORT = """<testsuites><testsuite tests="5" failures="1" errors="1" skipped="2" time="3.6"
timestamp="2026-11-30T20:00:00.000000+00:00">
<testcase name="a"/><testcase name="b"><failure/></testcase><testcase name="c"><error/></testcase>
<testcase name="d"><skipped message="needs Node"/></testcase>
<testcase name="e"><skipped message="collection skipped">('f', 2, 'Skipped: needs typer (/t.py)')</skipped></testcase>
</testsuite></testsuites>"""


def test_a_cells_result_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Counts, versions, and why tests were skipped come from pytest's report; a run without a report is told."""
    versions = {"python": "3.10.1", "langgraph": None}
    for name in ("bare-3.10", "newest-3.10"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"versions": versions, "whole": False}), encoding="utf-8")
    ElementTree.ElementTree(ElementTree.fromstring(REPORT)).write(tmp_path / "bare-3.10.xml")
    cell = supported.Cell("bare-3.10", versions, 1, 2, 2, 4, "2026-11-30", {"needs Node": 1, "needs typer": 1})
    assert supported.read(tmp_path) == {"bare-3.10": (cell, False)}
    assert capsys.readouterr().out == "newest-3.10   did not come to its end\n"
    assert str(cell) == f"{'bare-3.10':<12}  {'1 passed, 2 failed, 2 skipped, 4 s':<52}  python 3.10.1"
    assert supported.table([cell]).splitlines()[-1] == "| 3.10.1 | none | none | none | none | 1 | 2 | 2 | 2026-11-30 |"
    assert supported.skips([cell]).splitlines()[2:] == ["| needs Node | 1 |", "| needs typer | 1 |"]
