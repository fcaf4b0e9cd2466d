"""What cannot be seen on Python 3.10, where a task cannot be given a context.

LangChain hands its callbacks on in the context. There, whatever an async node of a graph, an async tool or an async
call with fallbacks calls without a config of its own has no callbacks, or no run above it. So it is no run of ours,
and Sentry's own integration may take it for its own.
"""

from __future__ import annotations

import asyncio
import inspect
import re

ASYNC_CONTEXT = "context" in inspect.signature(asyncio.create_task).parameters
"""Whether LangChain passes callbacks on inside async runs: a task can have a context since Python 3.11."""

REASON = "on Python 3.10 LangChain passes no callbacks on inside async nodes, tools and fallbacks"

_ASYNC = r"(ainvoke|astream\w*)"
_LOST = (
    # Agents, whose model is called without a config, nodes, and tools that call a chain so.
    r"test_canary\.py::test_what_is_planted_leaves_if_it_may\[.*(agent|unreadable structure)",
    rf"test_trees_agents\.py::.*-(abatch|{_ASYNC})",
    rf"test_trees\.py::.*\[(a chain in a tool|a tool that hands on its config|bare fallbacks)-{_ASYNC}-",
    rf"test_facts\.py::.*(agent|handoff|interrupt|what_was).*\[.*-{_ASYNC}",
    rf"test_faults\.py::test_what_cannot_be_made_active_is_recorded_all_the_same\[{_ASYNC}-(agent|tool)",
    r"test_endings\.py::test_an_ending_is_told\[(complete|cancel|wait_for|fail)_\w+-(agent|tool)-",
    r"test_silent_endings\.py::.*_left_early\[.*-agent",
    rf"test_errors\.py::test_a_failure_is_one_issue_linked_to_the_span_that_failed_first\[.*-(agent|tool)-{_ASYNC}",
    rf"test_errors\.py::test_an_interrupted_graph_is_no_error\[.*-{_ASYNC}",
    rf"test_integration\.py::test_every_run_is_covered_once\[(agent|tool)-.*-{_ASYNC}",
    rf"test_nesting\.py::test_work_inside_of_a_run_hangs_below_its_span\[.*-node-{_ASYNC}",
    rf"test_regressions\.py::test_a_graph_has_a_span_above_its_models_however_it_is_called\[agent-.*-{_ASYNC}-",
    r"test_whole_app\.py::test_(threads_and_event_loops_at_once|many_requests_at_once|forked_workers)",
    # Fallbacks.
    rf"test_errors\.py::test_a_recovered_failure_is_no_issue\[.*-with_fallbacks-{_ASYNC}",
    r"test_errors\.py::test_a_handler_on_the_model_alone_reports_nothing\[ainvoke",
    r"test_errors\.py::test_a_failure_of_the_chains_own_is_not_blamed_on_a_model",
    rf"test_regressions\.py::test_a_failure_that_was_recovered_from_is_no_issue\[with_fallbacks-{_ASYNC}",
    # Steps of an async chain share the context of their consumer.
    r"test_nesting_endings\.py::test_a_run_that_(timed_out_is_left\[.*-model|failed_is_left\[.*-step-astream)",
    r"test_nesting_endings\.py::test_a_span_opened_while_a_chain_streams_outlives_it",
)

_PATTERN = re.compile("|".join(f"(?:{each})" for each in _LOST))


def is_lost(test: str) -> bool:
    """Whether a test looks at what Python 3.10 cannot show.

    Args:
        test: The id of the test, as pytest gives it.
    """
    return _PATTERN.search(test) is not None
