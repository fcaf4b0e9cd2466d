"""The README as a package index shows it: no link of it is relative, once the project has a public address."""

from __future__ import annotations

import re
import runpy
from typing import Any

import pytest

from tests.kit import REPOSITORY

pytest.importorskip("hatchling")

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
ADDRESS = "https://github.com/Someone/a-project"


@pytest.fixture(scope="module")
def build() -> dict[str, Any]:
    """The names of the build's hook."""
    return runpy.run_path(str(REPOSITORY / "hatch_build.py"))


def test_links_of_a_published_readme_are_absolute(build: dict[str, Any]) -> None:
    """Each link and picture leads to a file of the tag that is in the repository, or to a page elsewhere."""
    text = build["published"](README, ADDRESS, "v1.2.3")
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    assert len(targets) > 30
    for target in targets:
        assert target.startswith(("https://", "#")), target
        if target.startswith(f"{ADDRESS}/blob/"):
            path = target.removeprefix(f"{ADDRESS}/blob/v1.2.3/").partition("#")[0]
            assert (REPOSITORY / path).exists(), target
    assert (
        f"](https://github.com/Someone/a-project/raw/v1.2.3/docs/trace.png)]({ADDRESS}/blob/v1.2.3/notebooks/" in text
    )
    assert f"[![tests]({ADDRESS}/actions/workflows/test.yml/badge.svg)]" in text


def test_without_an_address_nothing_is_promised(build: dict[str, Any]) -> None:
    """The links stay as they are, and no URL is made up."""
    assert build["published"](README, "", "v1.2.3") == README
    assert "example.com" not in README


@pytest.mark.parametrize(
    ("repository", "pages"),
    [
        (ADDRESS, "https://someone.github.io/a-project/"),
        ("https://gitlab.com/someone/a-project", "https://gitlab.com/someone/a-project/tree/HEAD/docs"),
    ],
)
def test_one_variable_gives_all_addresses(build: dict[str, Any], repository: str, pages: str) -> None:
    """The site, the source, the issues and the changelog follow from the repository's address."""
    found = build["urls"](repository)
    assert found.pop("Documentation") == pages
    assert all(each.startswith(repository) for each in found.values())


def test_the_address_comes_from_the_environment_or_the_project(
    build: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the workflow sets wins; an address that is no `https` one is refused."""
    monkeypatch.delenv("PROJECT_REPOSITORY", raising=False)
    assert build["address"]({"repository": ""}) == ""
    assert build["address"]({"repository": f"{ADDRESS}/"}) == ADDRESS
    monkeypatch.setenv("PROJECT_REPOSITORY", "https://elsewhere.example/x")
    assert build["address"]({"repository": ADDRESS}) == "https://elsewhere.example/x"
    monkeypatch.setenv("PROJECT_REPOSITORY", "http://elsewhere.example/x")
    with pytest.raises(ValueError, match="must start with https://"):
        build["address"]({})
