"""Where the time of a call goes, by step. It runs in the contestant's process.

Every call and return of a function is seen with `sys.setprofile`. The time between two of them belongs to the step that
the function is in. What the profile costs is left out: the time inside the callback is not counted, and what the
interpreter takes to call it, which is measured before, is taken off per event. What remains is scaled so that all
steps together are as long as a run without the profile. The numbers of function calls are not scaled: they are the
same on every machine. The clock is the thread's processor time, so what else the machine does hardly matters.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
from collections.abc import Callable
from time import thread_time
from types import CodeType, FrameType
from typing import Any

from .steps import AROUND, PHASES, REQUEST, SDK, entries

Step = tuple[str, str]
"""Phase, and name."""

_OUTSIDE: Step = ("", AROUND)
_SEPARATOR = os.sep
_OURS = f"{_SEPARATOR}sentry_langchain_stream{_SEPARATOR}"
_THEIRS = f"{_SEPARATOR}sentry_sdk{_SEPARATOR}"
_ADAPTERS = f"{_SEPARATOR}benchmarks{_SEPARATOR}adapters{_SEPARATOR}"
_AROUND = tuple(
    f"{_SEPARATOR}{name}{_SEPARATOR}" for name in ("langchain_core", "langchain", "langgraph", "benchmarks")
)


class Profile:
    """Attributes the time and the function calls of a piece of work to steps.

    Args:
        overhead: Seconds that the interpreter takes to call the callback, per event.
    """

    def __init__(self, overhead: float = 0.0) -> None:
        self.seconds: dict[Step, float] = {}
        self.calls: dict[Step, int] = {}
        self._overhead = overhead
        self._entries = entries()
        self._kinds: dict[CodeType, tuple[str, str] | None] = {}

    def of(self, work: Callable[[], object]) -> None:
        """Do some work, and add its time and calls."""
        stack: list[Step] = []
        step, last, clock, overhead = _OUTSIDE, 0.0, thread_time, self._overhead
        seconds, calls, enter = self.seconds, self.calls, self._enter

        def seen(frame: FrameType, event: str, _: Any) -> None:
            nonlocal step, last
            seconds[step] = seconds.get(step, 0.0) + clock() - last - overhead
            if event == "call":
                stack.append(step)
                step = enter(frame.f_code, step)
                calls[step] = calls.get(step, 0) + 1
            elif event == "return" and stack:
                step = stack.pop()
            last = clock()

        before = sys.getprofile()
        last = clock()
        sys.setprofile(seen)
        try:
            work()
        finally:
            sys.setprofile(before)

    def _enter(self, code: CodeType, step: Step) -> Step:
        """The step of a function that is called in a step."""
        if code not in self._kinds:
            self._kinds[code] = self._kind(code)
        kind = self._kinds[code]
        if kind is None:
            return step
        if kind[0] == "hook":
            return kind[1], "hook"
        if kind[0] == "around":  # the SDK wraps functions of LangGraph; what LangChain does for a hook is the hook's
            return _OUTSIDE if step[0] in ("", REQUEST) else step
        return step[0] or REQUEST, kind[1]

    def _kind(self, code: CodeType) -> tuple[str, str] | None:
        """A hook with its phase, a step with its name, LangChain, or nothing: then it belongs to its caller's step."""
        path, name = code.co_filename, code.co_name
        if _THEIRS in path:
            return "step", SDK
        if _OURS not in path and _ADAPTERS not in path:
            return ("around", "") if any(each in path for each in _AROUND) else None
        if name.startswith("on_"):
            return "hook", PHASES.get(name.rpartition("_")[2], "")
        module = path.rpartition(_OURS)[2].replace(_SEPARATOR, "/")
        found = self._entries.get((module, name)) or self._entries.get((module, None))
        return None if found is None else ("step", found)


def profiled(work: Callable[[], object], rounds: int) -> dict[str, Any]:
    """Profile some work, in turns with runs of it without a profile.

    Returns:
        `seconds` that the work takes, the median of the runs without a profile, and `steps`: phase, name, seconds and
        function calls of each. Their seconds add up to those of the work.
    """
    overhead = _overhead()  # anew each time: it rises and falls with the machine's speed
    plain: list[float] = []
    found: list[Profile] = []
    work()
    for _ in range(rounds):
        gc.collect()
        begun = thread_time()
        work()
        plain.append(thread_time() - begun)
        gc.collect()
        gc.disable()  # its time is spread over all steps by the scale, instead of falling on the one where it is due
        profile = Profile(overhead)
        try:
            profile.of(work)
        finally:
            gc.enable()
        found.append(profile)
    whole = statistics.median(plain)
    steps = list(dict.fromkeys(step for profile in found for step in profile.seconds))
    times = {step: max(statistics.median(each.seconds.get(step, 0.0) for each in found), 0.0) for step in steps}
    scale = whole / sum(times.values())
    return {
        "seconds": whole,
        "steps": [
            [*step, seconds * scale, statistics.median(each.calls.get(step, 0) for each in found)]
            for step, seconds in times.items()
        ],
    }


def _overhead(number: int = 1_000) -> float:
    """Seconds per event that a profile takes outside of its callback's two readings of the clock, and of reading it."""

    def nothing() -> None:
        return None

    def work() -> None:
        for _ in range(number):
            nothing()

    def plain() -> float:
        begun = thread_time()
        work()
        return thread_time() - begun

    def seen() -> float:
        profile = Profile()
        profile.of(work)
        return sum(profile.seconds.values())

    without, with_profile = min(plain() for _ in range(20)), min(seen() for _ in range(20))
    return max(with_profile - without, 0.0) / (2 * number)
