"""A release has one version, an entry in the changelog, and an address."""

from __future__ import annotations

from pathlib import Path

import pytest

import sentry_langchain_stream
from tests.kit import REPOSITORY
from tests.project import release

CHANGELOG = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
GOOD = (
    "# Changelog\n\n## [1.1.0] - 2027-01-31\n\n### Added\n\n- One.\n\n## [1.0.0] - 2026-12-01\n\n### Fixed\n\n- Two.\n"
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that may be released as v1.1.0."""
    monkeypatch.delenv("PROJECT_REPOSITORY", raising=False)
    for name, text in {
        "CHANGELOG.md": GOOD,
        "README.md": 'pip install "sentry-langchain-stream"\n',
        "pyproject.toml": 'repository = "https://github.com/someone/a-project"\n',
        "sentry_langchain_stream/__init__.py": '__version__ = "1.1.0"\n',
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_changelog_has_an_entry_of_this_version() -> None:
    """The newest entry is that of the package's version, and the whole changelog is well-formed."""
    assert next(iter(release.entries(CHANGELOG))) == sentry_langchain_stream.__version__ == release.version()
    assert list(release.faults(CHANGELOG)) == []


def test_the_version_is_written_once() -> None:
    """Besides the package and the changelog no file of the project names a version of its own."""
    for name in ("pyproject.toml", "CITATION.cff", "mkdocs.yml", "README.md"):
        text = (REPOSITORY / name).read_text(encoding="utf-8")
        assert f'"{sentry_langchain_stream.__version__}"' not in text
        assert f"version: {sentry_langchain_stream.__version__}" not in text


def test_what_is_ready_is_released_with_its_entry(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The text of the release is the entry of its version, and no other."""
    assert release.main("v1.1.0", project) == 0
    assert capsys.readouterr().out == "### Added\n\n- One.\n"


@pytest.mark.parametrize(
    ("name", "old", "new", "reason"),
    [
        (
            "sentry_langchain_stream/__init__.py",
            "1.1.0",
            "1.2.0",
            "the tag is v1.1.0, and the package's version is 1.2.0",
        ),
        ("CHANGELOG.md", "2027-01-31", "Unreleased", "has no date for 1.1.0"),
        ("CHANGELOG.md", "2026-12-01", "Unreleased", "date of 1.0.0 is Unreleased"),
        ("CHANGELOG.md", "## [1.1.0] - 2027-01-31", "## 1.1.0", "has no entry of 1.1.0"),
        ("CHANGELOG.md", "[1.0.0]", "[1.3.0]", "from the newest to the oldest"),
        ("CHANGELOG.md", "- One.", "One.", "says nothing of 1.1.0"),
        ("CHANGELOG.md", "### Added", "### New", "section 'New' of 1.1.0"),
        ("README.md", "pip", "not on PyPI yet: pip", "not on PyPI yet"),
        ("pyproject.toml", "https://github.com/someone/a-project", "", "no public address"),
    ],
)
def test_what_is_missing_stops_a_release(
    project: Path, capsys: pytest.CaptureFixture[str], name: str, old: str, new: str, reason: str
) -> None:
    """Each omission stops the release, and is named."""
    text = (project / name).read_text(encoding="utf-8")
    assert old in text
    (project / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    assert release.main("v1.1.0", project) == 1
    assert reason in capsys.readouterr().err
