"""The parts behind a handler: the live runs, and the readers of LangChain's events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast
from uuid import UUID

from .._content.labels import CONVERSATION
from .._runs import enclosing
from .._runs.details import Agent
from .._runs.kinds import Outcome, RunKind
from .._runs.live_runs import LiveRuns
from .._runs.numbers import number
from .._runs.settings import Settings
from .._runs.start import Start
from .._runtime.containment import contain, contained
from .._to_sentry import calling_code, issues, joining
from . import call_stack, failures, followed, inside, internals, left_streams, marks, same_ids, starters
from .model_calls import ModelRuns
from .steps import StepRuns


class Engine:
    """The parts behind one handler.

    Args:
        settings: The user's settings.
        now: The monotonic clock, in seconds.
    """

    def __init__(self, settings: Settings, now: Callable[[], float]) -> None:
        calling_code.ask(inside.find)
        followed.follow_text_models()
        self._are_keys_chosen = bool(settings.metadata_keys) or settings.user_key is not None
        self._configurable = frozenset((*settings.metadata_keys, *CONVERSATION, *filter(None, (settings.user_key,))))
        joining.watch()
        issues.ask(failures.find)
        issues.also(failures.around)
        self.runs = LiveRuns(settings, now, call_stack.watch_call, is_read_on=left_streams.is_read_on)
        self.models = ModelRuns(self.runs, settings, now)
        self.steps = StepRuns(self.runs)

    @staticmethod
    def not_started(place: str, error: Exception, run_id: UUID) -> None:
        """Leave out a run whose start event could not be read.

        Args:
            place: The hook.
            error: What was raised.
            run_id: LangChain's run id.
        """
        same_ids.not_started(run_id)
        contain(place, error)

    def end_anyway(self, place: str, error: BaseException, run_id: UUID, outcome: Outcome = "completed") -> None:
        """End a run whose end event could not be read: a payload raised, or a signal such as Ctrl-C arrived.

        Args:
            place: The hook.
            error: What was raised. It is raised again if it is not a failure of this package.
            run_id: LangChain's run id.
            outcome: How the run ended, as far as the event says it.
        """
        with contained(place):
            self.runs.end(same_ids.own(run_id), outcome)
        if not issubclass(type(error), Exception):  # `isinstance` would ask the exception for its class
            raise error
        contain(place, cast(Exception, error))

    def read_start(
        self,
        kind: RunKind,
        id: UUID,
        parent_id: UUID | None,
        metadata: Mapping[str, Any] | None,
        kwargs: Mapping[str, Any],
    ) -> Start:
        """Read the start event of a run, see `marks.read_start`."""
        config = internals.enclosing_config()
        enclosing_id = internals.run_id_of(config) if config else None
        is_own = False
        if (
            parent_id is not None
            and parent_id is not enclosing_id  # as most often; whether two ids are equal takes longer to say
            and parent_id != enclosing_id
        ):
            if internals.is_traceable(parent_id):
                parent_id = enclosing_id  # nobody signals the runs of such functions, so look further up
            # LangGraph itself copies the id of the thread into the metadata, so nodes are not slowed down for that.
            elif (
                self._are_keys_chosen
                or not (metadata and "langgraph_node" in metadata)
                or _has_conversation_around(parent_id)  # whose thread may be another one
            ) and (own_config := call_stack.starting_config(parent_id)) is not None:
                config, is_own = own_config, True
        elif parent_id is None and enclosing_id is None and kind != "model":
            config = call_stack.root_config()
        if same_ids.again:
            parent_id, enclosing_id = same_ids.enclosing_own(parent_id), same_ids.enclosing_own(enclosing_id)
        hints = inside.hints()
        is_called_alone = False
        if hints and inside.is_any_live(hints) and (leaf := inside.leaf_below(parent_id, enclosing_id)) is not None:
            is_called_alone = parent_id is None and enclosing_id is None
            parent_id = leaf.id
        own = same_ids.starting(id, self.runs)
        start = marks.read_start(
            kind,
            own,
            parent_id,
            metadata,
            kwargs,
            enclosing_id=enclosing_id,
            configured=internals.configurable(config, self._configurable) if config else None,
            configured_by=parent_id if is_own else enclosing_id,
            has_fallbacks=kind == "chain" and call_stack.starts_fallbacks(),
        )
        if (
            metadata
            and not start.is_node
            and kind != "tool"
            # For a `@task`, LangGraph names that as the node.
            and (start.task is not None or metadata.get("langgraph_node") in marks.WRAPPED_NODES)
        ):
            start.is_middleware = _is_middleware(start)
        if own is not id:
            start.given_id = id
        if is_called_alone:
            start.is_called_alone = True
        return start


def _is_middleware(start: Start) -> bool:
    """Whether a run is what middleware calls around the model or the tools of an agent, in the node of these."""
    node = enclosing.get(number(start.parent_id)) if start.parent_id is not None else None
    if node is None or not node.is_node:
        return False  # it is inside of such a run, or of the agent's own
    agent = node.parent.detail if node.parent is not None else None
    is_of_agent = isinstance(agent, Agent) and agent.is_created
    if node.name == marks.TOOLS_NODE or start.task is not None:  # an agent calls no model there, and no `@task`
        return is_of_agent
    found = starters.is_middleware()
    if found is not None:
        return found
    # LangChain names the parent of a call with fallbacks for that of the calls in it, and may make a task of each.
    around = node.fallbacks.get(start.enclosing_id) if start.enclosing_id is not None else None
    if around is not None:
        return around.is_middleware
    return is_of_agent  # which itself calls its model in the node's own thread and task


def _has_conversation_around(run_id: UUID) -> bool:
    """Whether something is around a run that has a conversation: around a graph that is called in a node."""
    run = enclosing.get(number(run_id))
    return run is not None and run.parent is not None and run.parent.conversation is not None
