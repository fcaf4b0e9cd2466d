"""The documentation site has every page, and every link of the documentation leads somewhere.

`make docs` builds it strictly. What is cheap to check is checked here, without MkDocs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from sentry_langchain_stream import testing
from tests.kit import REPOSITORY
from tests.project import public

PAGES = sorted((REPOSITORY / "docs").glob("**/*.md"))
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
OUTSIDE = {"index.md": "README.md", "changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
"""Pages of the site whose files are not in `docs/`: see `docs/assets/hooks.py`."""
SOURCES = (*(REPOSITORY / each for each in OUTSIDE.values()), *PAGES, *NOTEBOOKS)


class Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads MkDocs' configuration, in which Python objects are named."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: suffix)


def nav() -> list[str]:
    """The files in the menu of the site, in its order."""

    def files(entry: Any) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        else:
            for each in entry.values() if isinstance(entry, dict) else entry:
                yield from files(each)

    return list(files(yaml.load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"), Loader)["nav"]))


def test_the_menu_has_every_page_once() -> None:
    """A page that nobody can find from the menu is a mistake, and so is an entry without a page."""
    there = {path.relative_to(REPOSITORY / "docs").as_posix() for path in PAGES}
    there |= {f"notebooks/{path.name}" for path in NOTEBOOKS} | set(OUTSIDE)
    listed = nav()
    missing = sorted(there - set(listed))
    assert not missing, f"add to `nav` in mkdocs.yml, below the heading where a reader would look: {missing}"
    assert not (gone := sorted(set(listed) - there)), f"in `nav` of mkdocs.yml, but there is no such page: {gone}"
    assert len(listed) == len(set(listed))


def markdown(path: Path) -> str:
    """The text of a page, or of the cells of a notebook, without blocks of code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells)
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


@cache
def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as repositories and the site make them."""
    found = set()
    for title in re.findall(r"^#+ (.*)$", markdown(path), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")
        found.add(slug if slug not in found else f"{slug}-1")
    return found


@pytest.mark.parametrize("page", SOURCES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file of the repository, and every anchor a heading of that file."""
    for target in re.findall(r"\]\(([^)\s]+)\)", markdown(page)):
        if re.match("[a-z]+:", target):
            assert target.startswith("https://"), target
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert file.is_relative_to(REPOSITORY), target
        if anchor:
            assert anchor in anchors(file), f"{target}: there are {sorted(anchors(file))}"


def test_every_page_begins_with_its_title() -> None:
    """The menu and the search show the first heading, so each page has one, in its first line."""
    assert [page.name for page in PAGES if not page.read_text(encoding="utf-8").startswith("# ")] == []


def test_the_reference_has_everything_public() -> None:
    """Each public name has its place in the reference, which shows the docstring of what it names."""
    text = (REPOSITORY / "docs" / "reference.md").read_text(encoding="utf-8")
    shown = re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE)
    names = {
        f"{module.__name__}.{name}" for module in public.MODULES for name in module.__all__ if not name.startswith("__")
    }
    assert set(shown) == names | {f"{testing.__name__.rpartition('.')[0]}.pytest_plugin.captured_spans"}
    assert len(shown) == len(set(shown))
