"""The book itself: what a page has to have, and that the docs and the doctor list what is in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentry_langchain_stream.doctor.environment import WITH_PAYLOADS
from tests.kit import REPOSITORY
from tests.payloads.pages import BY_DEFAULT, FACTS, KINDS, Page, pages

NUMBERS = Path(REPOSITORY) / "docs" / "numbers.md"
START, END = "<!-- payloads -->\n", "<!-- /payloads -->"


def table() -> str:
    """The table of the docs: a line per page."""
    lines = ["| package | class | payloads | not handed on |", "|---|---|---|---|"]
    for page in pages():
        kinds = ", ".join(payload.kind for payload in page.payloads)
        lost = ", ".join(page.loses) or "-"
        lines.append(f"| {page.package} | `{page.chat.rpartition('.')[2]}` ({page.name}) | {kinds} | {lost} |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("page", pages(), ids=str)
def test_a_page_has_every_kind_of_payload(page: Page) -> None:
    """What is not there has a reason, facts that are lost are facts, and each page says where its shapes are from."""
    kinds = {payload.kind for payload in page.payloads}
    assert set(KINDS) - kinds == set(page.missing)
    assert page.loses.keys() <= FACTS.keys()
    assert page.source
    for payload in page.payloads:
        assert {*BY_DEFAULT, "output"} <= payload.expect.keys() <= FACTS.keys()


def test_the_docs_list_the_book() -> None:
    """The table in docs/numbers.md is that of the book; `python -m tests.payloads.test_book` writes it."""
    _, _, rest = NUMBERS.read_text(encoding="utf-8").partition(START)
    assert rest.partition(END)[0] == table()


def test_the_doctor_lists_the_book() -> None:
    """The doctor calls those packages tested that are."""
    assert sorted({page.package for page in pages()}) == list(WITH_PAYLOADS)


if __name__ == "__main__":
    before, _, rest = NUMBERS.read_text(encoding="utf-8").partition(START)
    NUMBERS.write_text(before + START + table() + END + rest.partition(END)[2], encoding="utf-8")
