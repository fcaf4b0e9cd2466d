"""Beside Sentry's own LangchainIntegration: what we change of LangChain's callback managers harms nobody."""

from __future__ import annotations

import signal
import textwrap

import pytest

from tests.kit.absent import needs
from tests.kit.fresh import Fresh

START = """
    import functools, signal, sys
    import sentry_sdk
    from langchain_core.callbacks import CallbackManager, manager
    from sentry_langchain_stream import SentryStreamHandler
    from sentry_langchain_stream._from_langchain import configuring
    from sentry_langchain_stream._to_sentry import other_integrations
    from sentry_langchain_stream.testing import capture_spans
    from sentry_sdk.integrations.langchain import LangchainIntegration
    from tests.kit.wire import ScriptedModel

    handler, model = SentryStreamHandler(), ScriptedModel()

    def spans(callbacks, **options):
        chosen = {"auto_enabling_integrations": False, "integrations": [LangchainIntegration()], **options}
        with capture_spans(**chosen) as captured, sentry_sdk.start_transaction(name="request"):
            model.invoke("Hi", {"callbacks": callbacks})
        return sorted(span.origin for span in captured.find_all(op="gen_ai.chat"))
"""
OURS, SENTRYS = "auto.ai.langchain_stream", "auto.ai.langchain"


def printed(fresh: Fresh, script: str) -> list[str]:
    """The lines that a script prints in a process of its own: what is changed there is changed for good."""
    ran = fresh.run(textwrap.dedent(START) + textwrap.dedent(script))
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_a_call_with_the_handler_is_ours_and_one_without_it_is_sentrys(fresh: Fresh) -> None:
    """Each call has one span, the first with the handler, the next ones, and those without it in between."""
    script = "for callbacks in ([handler], [], [handler], []): print(*spans(callbacks))"
    assert printed(fresh, script) == [OURS, SENTRYS, OURS, SENTRYS]


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs SIGUSR1")
def test_a_time_limit_reaches_the_application_whenever_it_is_over(fresh: Fresh) -> None:
    """Also where it is asked whose a call is. It was swallowed there, and the call went on."""
    script = """
    class TimeLimitError(Exception): pass

    def on_signal(number, frame): raise TimeLimitError

    signal.signal(signal.SIGUSR1, on_signal)

    class Slow(CallbackManager):
        armed = False

        @property
        def handlers(self):
            if Slow.armed and sys._getframe(1).f_globals["__name__"].endswith("followed"):
                Slow.armed = False
                signal.raise_signal(signal.SIGUSR1)
            return []

        @handlers.setter
        def handlers(self, value): pass

    slow = Slow([])
    print(*spans([handler]))
    Slow.armed = True
    try:
        print("completed", spans(slow))
    except TimeLimitError:
        print("reached")
    """
    assert printed(fresh, script) == [OURS, "reached"]


def test_somebodys_proxy_is_called_each_time(fresh: Fresh) -> None:
    """A proxy has the attributes of the function that it stands for, its code among them. Nothing goes around it."""
    script = """
    class Proxy:
        def __init__(self, wrapped): object.__setattr__(self, "__wrapped__", wrapped)
        def __getattr__(self, name): return getattr(self.__wrapped__, name)
        def __call__(self, *args, **kwargs):
            calls.append(1)
            return self.__wrapped__(*args, **kwargs)

    calls = []
    spans([])
    manager._configure = Proxy(manager._configure)
    for _ in range(3):
        print(*spans([handler]), len(calls))
    """
    assert printed(fresh, script) == [f"{OURS} {number}" for number in (1, 2, 3)]


def test_what_another_thread_puts_there_meanwhile_is_not_lost(fresh: Fresh) -> None:
    """Who replaces LangChain's function while we do is called from then on."""
    script = """
    calls, wraps = [], functools.wraps

    def meanwhile(theirs):
        @wraps(theirs)
        def another(*args, **kwargs):
            calls.append(1)
            return theirs(*args, **kwargs)

        manager._configure = another
        return wraps(theirs)

    configuring.wraps = meanwhile
    spans([handler])
    configuring.wraps = wraps
    print(*spans([handler]), len(calls))
    """
    assert printed(fresh, script) == [f"{OURS} 1"]


def test_what_is_undone_is_undone_below_somebodys_wrapper_too(fresh: Fresh) -> None:
    """After `uninstall` Sentry's integration is as it is without this package."""
    script = """
    print(*spans([handler]))
    before = manager._configure

    @functools.wraps(before)
    def around(*args, **kwargs): return before(*args, **kwargs)

    manager._configure = around
    other_integrations.uninstall()
    print(*spans([handler]))
    """
    assert printed(fresh, script) == [OURS, f"{SENTRYS} {OURS}"]


@needs("langgraph", "langchain")
def test_a_handler_that_comes_by_a_hook_of_langchains_records_each_call_once(fresh: Fresh) -> None:
    """LangChain adds it itself, so it is in no callbacks yet where Sentry's integrations ask whose a call is."""
    script = """
    from contextvars import ContextVar
    from langchain_core.tools import tool
    from langchain_core.tracers.context import register_configure_hook
    from langgraph.graph import END, START, MessagesState, StateGraph
    from sentry_sdk.integrations.langgraph import LanggraphIntegration

    hooked = ContextVar("hooked", default=None)
    register_configure_hook(hooked, inheritable=True)

    @tool
    def look(where: str) -> str:
        "Look."
        return where

    def node(state): return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").add_edge("node", END).compile()
    on = {"auto_enabling_integrations": False, "integrations": [LangchainIntegration(), LanggraphIntegration()]}
    for each in (handler, None):
        hooked.set(each)
        with capture_spans(**on) as captured, sentry_sdk.start_transaction(name="request"):
            model.invoke("Hi")
            look.invoke({"where": "here"})
            graph.invoke({"messages": [("user", "Hi")]})
        print(*sorted(f"{span.op}:{span.origin}" for span in captured.spans if span.op.startswith("gen_ai.")))
    """
    ours, theirs = printed(fresh, script)
    assert ours.split() == [
        f"gen_ai.chat:{OURS}",
        f"gen_ai.chat:{OURS}",
        f"gen_ai.execute_tool:{OURS}",
        f"gen_ai.invoke_agent:{OURS}",
    ]
    assert OURS not in theirs
    assert theirs.count("gen_ai.chat") == 2
