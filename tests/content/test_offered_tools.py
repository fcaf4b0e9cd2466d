"""The tools that a model is offered, and their definitions."""

from __future__ import annotations

import json
from typing import Any

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._content.offered_tools import tool_definitions
from sentry_langchain_stream._content.policy import Limits, Policy
from sentry_langchain_stream.testing import capture_spans
from tests.kit.strategies import Broken
from tests.kit.wire import ScriptedModel, content_allowed

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


def definitions_sent(*tools: dict[str, Any]) -> Any:
    """What the envelopes have of the tools that a model is offered."""
    with capture_spans(**content_allowed(True)) as captured:
        ScriptedModel().bind(tools=list(tools)).invoke("Hi", {"callbacks": [SentryStreamHandler()]})
    return json.loads(captured.find(op="gen_ai.chat").attributes["gen_ai.tool.definitions"])


def gemini(**tools: Any) -> dict[str, Any]:
    """A tool as langchain-google-genai passes it: all that Gemini knows are keys, and most have no value."""
    return {**dict.fromkeys(("retrieval", "google_search", "code_execution", "function_declarations")), **tools}


def test_geminis_own_tools_are_definitions() -> None:
    """Each of Gemini's own tools is a definition, without its settings, also where several are in one mapping."""
    assert definitions_sent(
        gemini(google_search={"time_range_filter": None}),
        {"google_search": {}, "code_execution": {"secret": "x"}},
        gemini(function_declarations=[{"name": "look"}], code_execution={}),
        gemini(mcp_servers=[{"url": "https://example.com"}]),
    ) == [
        {"type": "google_search"},
        {"type": "google_search"},
        {"type": "code_execution"},
        {"type": "function", "name": "look"},
        {"type": "code_execution"},
        {"type": "mcp_servers"},
    ]


def test_a_definition_has_no_keys_without_a_value() -> None:
    """Keys whose value is `None` are left out of a tool's schema, at any depth."""
    nulls = dict.fromkeys(f"keyword_{number}" for number in range(20))
    fields = {"type": "OBJECT", "properties": {"a": {"type": "STRING", **nulls}}, **nulls}
    schema = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}
    functions = [{"name": f"look{number}", "description": None, "parameters": fields} for number in range(200)]
    assert definitions_sent(gemini(function_declarations=functions)) == [
        {"type": "function", "name": each["name"], "parameters": schema} for each in functions
    ]


def test_a_type_that_is_an_enum_is_its_value() -> None:
    """A type that langchain-google-genai took apart, with the attributes of its enum, is recorded by its value."""
    kind = {"_value_": "STRING", "_name_": "STRING", "__objclass__": {"_member_names_": ["STRING"]}}
    [definition] = definitions_sent({"name": "look", "parameters": {"type": "object", "properties": {"a": kind}}})
    assert definition["parameters"] == {"type": "object", "properties": {"a": "STRING"}}


def test_a_parameter_may_have_the_name_of_an_enums_attribute() -> None:
    """The parameters of a tool are all recorded if one of them has the name of an attribute of Python's enums."""
    for name in ("_value_", "_name_"):
        schema = {"type": "object", "properties": {"_value_": {"type": "string"}, name: {"type": "string"}, "b": {}}}
        [definition] = definitions_sent({"name": "look", "parameters": schema})
        assert definition["parameters"] == schema
