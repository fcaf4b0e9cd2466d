"""The tools that a model is offered, and their definitions."""

from __future__ import annotations

import json

from sentry_langchain_stream._content.policy import Limits, Policy
from sentry_langchain_stream._from_langchain.offered_tools import tool_definitions
from tests.kit.strategies import Broken

OPEN = Policy(inputs=True, outputs=True)


def test_a_tool_whose_one_key_is_no_name_is_left_out() -> None:
    """Of what states no name there is only its one key to go by; where that is none, the other tools are told."""
    tools = [{Broken(): {}}, {None: 1}, {"": 1}, {"google_search": {}}]
    assert json.loads(tool_definitions({"tools": tools}, OPEN) or "") == [{"type": "google_search"}]


def test_tools_that_there_is_no_room_for() -> None:
    """Of many tools the last ones are cut, of the last one told at first its schema; the JSON stays valid."""
    schema = {
        "type": "object",
        "properties": {f"p{index}": {"type": "string", "description": "x" * 90} for index in range(9)},
    }
    tools = [{"name": f"tool{index}", "description": "y" * 90, "input_schema": schema} for index in range(50)]
    policy = Policy(True, True, limits=Limits(part=100, attribute=5_000))
    recorded = tool_definitions({"tools": tools}, policy) or ""
    assert len(recorded) <= 5_000
    definitions = json.loads(recorded)
    assert definitions[0] == {"type": "function", "name": "tool0", "description": "y" * 90, "parameters": schema}
    assert definitions[-1] == {"type": f"[... {50 - len(definitions) + 1} tools cut ...]"}
