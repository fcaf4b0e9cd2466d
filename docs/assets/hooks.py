"""Hooks of MkDocs: files outside of `docs/` become pages, links keep working, and the built site has no dead link."""

from __future__ import annotations

import json
import posixpath
import re
import runpy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import Abort
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
BUILD = runpy.run_path(str(ROOT / "hatch_build.py"))
PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
"""Files of the repository that are pages of the site, and their names there."""
BOOST = {
    "settings.md": 4.0,
    "attributes.md": 4.0,
    "reference.md": 2.0,
    "notebooks": 0.2,
    "performance.md": 0.2,
    "benchmarks.md": 0.1,
}
"""How far up the search shows pages, or those of a folder: where a name is explained comes before where it is used."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Set the addresses, if there is a public one."""
    found = re.search(r'^repository = "(.*)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    repository = BUILD["address"]({"repository": found[1] if found else ""})
    if repository:
        config.repo_url = repository
        config.repo_name = repository.removeprefix("https://").partition("/")[2]
        config.site_url = BUILD["site"](repository)
    return config


@event_priority(100)  # before mkdocs-jupyter, which has to see the notebooks
def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages and notebooks that are outside of `docs/`."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    folder = ROOT / ".cache" / "pages"
    (folder / "notebooks").mkdir(parents=True, exist_ok=True)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        name = f"notebooks/{path.name}"
        (folder / name).write_text(_with_links(path, config), encoding="utf-8")
        files.append(File(name, str(folder), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links between files of the repository to links between pages, and weigh the page for the search."""
    name = page.file.src_uri
    page.meta["search"] = {"boost": BOOST.get(name, BOOST.get(name.partition("/")[0], 1.0))}
    sources = {name: source for source, name in PAGES.items()}
    source = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    markdown = re.sub(r"^<!-- badges -->$.*?^<!-- end of badges -->$\n", "", markdown, flags=re.MULTILINE | re.DOTALL)
    return _linked(markdown, source, lambda name: posixpath.relpath(name, posixpath.dirname(page.file.src_uri)), config)


def on_post_build(*, config: MkDocsConfig) -> None:
    """Fail if a link of the built site leads nowhere, wherever it comes from: a page, a notebook or a docstring."""
    site = Path(config.site_dir)
    pages = {path: _Links.of(path) for path in site.rglob("*.html")}
    dead = []
    for path, page in pages.items():
        if path.name == "404.html":  # its links are absolute
            continue
        for link in page.targets:
            target = urlsplit(link)
            if target.scheme or target.netloc:
                continue
            found = (path.parent / unquote(target.path)).resolve() if target.path else path
            found = found / "index.html" if found.is_dir() else found
            if not found.exists() or (target.fragment and found in pages and target.fragment not in pages[found].ids):
                dead.append(f"{path.relative_to(site)}: {link}")
    if dead:
        raise Abort("dead links:\n" + "\n".join(dead))


class _Links(HTMLParser):
    """The targets of a page's links and pictures, and its anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.ids: set[str] = set()

    @classmethod
    def of(cls, path: Path) -> _Links:
        """Read a page."""
        found = cls()
        found.feed(path.read_text(encoding="utf-8"))
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called for each element."""
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.targets.add(value)
            elif name in ("id", "name") and value:
                self.ids.add(value)


def _with_links(path: Path, config: MkDocsConfig) -> str:
    """A notebook whose links lead to pages of the site, by their addresses: MkDocs does not see them."""
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = _linked("".join(cell["source"]), f"notebooks/{path.name}", _address, config)
            cell["source"] = text.splitlines(keepends=True)
    return json.dumps(notebook)


def _address(page: str) -> str:
    """The address of a page, as seen from a notebook."""
    return f"../../{posixpath.splitext(page)[0]}/".replace("/index/", "/")


def _linked(markdown: str, source: str, to: Any, config: MkDocsConfig) -> str:
    """Markdown with the links to the repository's files rewritten.

    Args:
        markdown: The text.
        source: The file that it comes from.
        to: Returns the link to a page of the site.
        config: Has the address of the repository.
    """

    def rewritten(link: re.Match[str]) -> str:
        before, target, after = link.groups()
        if "](" in before[:-2]:  # a picture inside
            before = BUILD["LINK"].sub(rewritten, before[:-2]) + before[-2:]
        path, hash_, anchor = target.partition("#")
        if not path or re.match(r"[a-z]+:", target):
            return f"{before}{target}{after}"
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        page = PAGES.get(file) or (file if file.startswith("notebooks/") else file.removeprefix("docs/"))
        if file in PAGES or file.startswith(("docs/", "notebooks/")):
            return f"{before}{to(page)}{hash_}{anchor}{after}"
        if config.repo_url:
            return f"{before}{config.repo_url}/blob/HEAD/{file}{hash_}{anchor}{after}"
        return before[1:-2]  # there is nothing to link to yet

    return str(BUILD["LINK"].sub(rewritten, markdown))
