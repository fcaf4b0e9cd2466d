"""The user's tags and metadata, and the id of a conversation."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from sentry_langchain_stream._content.labels import conversation_id, user_labels
from sentry_langchain_stream._content.policy import Policy

OPEN = Policy(inputs=True, outputs=True)


CLOSED = Policy(inputs=False, outputs=True)


def labelled(*tags: str, **metadata: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The tags and the metadata of a run."""
    return tags, metadata


def hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:32]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"thread_id": "t-1"}, "t-1"),
        ({"session_id": "s_1", "thread_id": "t-1"}, "s_1"),
        ({"conversation_id": "c.1", "session_id": "s_1", "thread_id": "t-1"}, "c.1"),
        ({"conversation_id": None, "thread_id": "t-1"}, "t-1"),
        ({"conversation_id": "", "thread_id": "t-1"}, "t-1"),
        ({"conversation_id": True, "thread_id": 0}, "0"),
        ({"thread_id": "a" * 128}, "a" * 128),
        ({"thread_id": "a" * 129}, hashed("a" * 129)),
        ({"thread_id": "a/b"}, hashed("a/b")),
        ({"thread_id": "ann@example.org"}, hashed("ann@example.org")),
        ({"thread_id": "t-1\n"}, hashed("t-1\n")),
        ({"thread_id": "é"}, hashed("é")),
        ({"other": "t-1"}, None),
        ({}, None),
    ],
)
def test_a_conversations_id(metadata: dict[str, Any], expected: str | None) -> None:
    """The most particular id that there is, as it is if that is opaque, else its hash."""
    assert conversation_id(metadata) == expected


def test_an_id_that_is_no_text_of_unicode_is_hashed() -> None:
    """An id with half of a surrogate pair, which no encoding has, does no harm."""
    assert len(str(conversation_id({"thread_id": "\ud800"}))) == 32


def test_labels_are_the_users_tags_and_chosen_metadata() -> None:
    """LangChain's own tags are left out, and so is metadata that was not asked for."""
    own = ("seq:step:1", "graph:step:2", "map:key:a", "retry:attempt:2", "langsmith:hidden", "nostream")
    choice = ("condition:1", "branch:2", "branch:default")
    given = labelled(*own, *choice, "shop", "branch:main", "langchain_app", tenant="acme", plan="gold")
    assert user_labels(*given, ["tenant", "missing"], OPEN) == {
        "langchain_stream.tags": ["shop", "branch:main", "langchain_app"],
        "langchain_stream.metadata.tenant": "acme",
    }


def test_without_content_there_are_no_labels() -> None:
    """Tags and metadata are the user's words: where inputs may not be recorded, they are not."""
    given = labelled("shop", tenant="acme")
    assert user_labels(*given, ["tenant"], CLOSED) == {}


class Unreadable:
    """What has no text to give."""

    def __str__(self) -> str:
        raise RuntimeError("str")


def test_one_value_that_has_no_text_costs_itself_only() -> None:
    """Of metadata that cannot be made a text nothing is told; the tags, and all else that was chosen, are there."""
    given = labelled("shop", plan=Unreadable(), number=10**5_000, tenant="acme")
    assert user_labels(*given, ["plan", "number", "tenant"], OPEN) == {
        "langchain_stream.tags": ["shop"],
        "langchain_stream.metadata.tenant": "acme",
    }
    assert conversation_id({"session_id": 10**5_000, "thread_id": "t-1"}) == "t-1"


def test_labels_are_redacted() -> None:
    """`redact` sees every tag and every value; what it makes nothing of is left out."""
    policy = Policy(inputs=True, outputs=True, redact=lambda text: text.replace("acme", "***"))
    given = labelled("of acme", tenant="acme")
    assert user_labels(*given, ["tenant"], policy) == {
        "langchain_stream.tags": ["of ***"],
        "langchain_stream.metadata.tenant": "***",
    }


def test_labels_are_few_and_short() -> None:
    """At most twenty tags are kept, and of a text two hundred characters, cut visibly."""
    given = labelled(*(f"tag-{number}" for number in range(30)), note="n" * 201, whole="w" * 200, number=7)
    found = user_labels(*given, ["note", "whole", "number"], OPEN)
    assert found["langchain_stream.tags"] == [f"tag-{number}" for number in range(20)]
    assert found["langchain_stream.metadata.note"] == "n" * 197 + "..."
    assert found["langchain_stream.metadata.whole"] == "w" * 200
    assert found["langchain_stream.metadata.number"] == "7"


def test_of_many_chosen_keys_the_first_64_are_recorded() -> None:
    """However many keys are chosen, a span's labels keep to a size. A key that the run does not have does not count."""
    names = [f"key {number}" for number in range(1_000)]
    found = user_labels((), dict.fromkeys(names, "x" * 500), ["missing", *names], OPEN)
    assert list(found) == [f"langchain_stream.metadata.{name}" for name in names[:64]]
    assert {len(str(text)) for text in found.values()} == {200}
