"""The metadata that needs the project's public address: absolute links in the README, badges, and the project's URLs.

In the repository the README's links are relative, so they work in a clone. A package index has no files to link to, so
the build makes them absolute. The address is one variable: `repository` below `[tool.hatch.metadata.hooks.custom]` in
`pyproject.toml`, or `PROJECT_REPOSITORY` in the environment, which the workflow that publishes sets. Without it the
links stay as they are, and `python -m tests.project.release` refuses to publish.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(!?\[(?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*\]\()([^)\s]+)(\))")
"""A link or picture of Markdown: what is before its target, the target, the rest. A link may be around a picture."""


class Metadata(MetadataHookInterface):
    """Adds the README and the URLs to the metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Hatchling calls this once per build."""
        root = Path(self.root)
        repository = address(self.config)
        text = (root / "README.md").read_text(encoding="utf-8")
        tag = f"v{version(root)}"
        metadata["readme"] = {"content-type": "text/markdown", "text": published(text, repository, tag)}
        if repository:
            metadata["urls"] = urls(repository)


def address(config: Mapping[str, Any]) -> str:
    """The address of the repository without a slash at its end, or an empty text as long as there is none.

    Raises:
        ValueError: The address is not one that starts with `https://`.
    """
    found = (os.environ.get("PROJECT_REPOSITORY") or config.get("repository") or "").rstrip("/")
    if found and not found.startswith("https://"):
        raise ValueError(f"the repository's address must start with https://, not {found!r}")
    return found


def version(root: Path) -> str:
    """The version, from the one place where it is written."""
    text = (root / "sentry_langchain_stream" / "__init__.py").read_text(encoding="utf-8")
    (found,) = re.findall(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    return str(found)


def site(repository: str) -> str:
    """The address of the documentation: GitHub Pages, if the repository is there, otherwise its folder of pages."""
    on_github = re.fullmatch(r"https://github\.com/([^/]+)/([^/]+)", repository)
    return f"https://{on_github[1].lower()}.github.io/{on_github[2]}/" if on_github else f"{repository}/tree/HEAD/docs"


def urls(repository: str) -> dict[str, str]:
    """The links beside the package's page on an index."""
    return {
        "Documentation": site(repository),
        "Source": repository,
        "Issues": f"{repository}/issues",
        "Changelog": f"{repository}/blob/HEAD/CHANGELOG.md",
    }


def published(text: str, repository: str, tag: str) -> str:
    """The README with absolute links to the files of a tag, and with the badges that need an address."""
    if not repository:
        return text

    def absolute(link: re.Match[str]) -> str:
        before, target, after = link.groups()
        before = LINK.sub(absolute, before[:-2]) + before[-2:] if "](" in before[:-2] else before  # a picture inside
        if re.match(r"[a-z]+:|#", target):
            return f"{before}{target}{after}"
        kind = "raw" if before.startswith("!") else "blob"
        return f"{before}{repository}/{kind}/{tag}/{target}{after}"

    tests = f"{repository}/actions/workflows/test.yml"
    shields = "https://img.shields.io/pypi/v/sentry-langchain-stream"
    badges = f"[![tests]({tests}/badge.svg)]({tests})\n[![PyPI]({shields})](https://pypi.org/project/sentry-langchain-stream/)\n"
    return LINK.sub(absolute, text).replace("<!-- end of badges -->", f"{badges}<!-- end of badges -->")
