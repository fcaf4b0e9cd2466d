"""Hours of a provider's outage: the same calls with and without our handler must look the same to the application.

Compares what it sees (results; exceptions with their text, variables, causes and tracebacks) and what stays in the
process when nothing is running. See `service` for the calls.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import Any, TextIO

from tests.kit import HANG, REPOSITORY

KEPT = ("exceptions", "tracebacks", "frames")
"""What must be equal after each half hour, when the application has kept some exceptions."""

SAME = ("old", "exceptions", "tracebacks", "frames", "tasks")
"""What must be equal when it has let them go."""

MORE = {"scopes": 6, "spans": 0, "threads": 1}
"""By how much the others may be more with the handler. A thread keeps the scope in which it was started (the SDK's
ThreadingIntegration hands it over), and with it the run's. The SDK starts one more when there are spans to send."""

MORE_OBJECTS = 300
"""By how many objects the process may grow more with the handler, between the second half hour and the last: caches
and queues are never quite as full as before."""

MORE_MEMORY = 16.0
"""The same for memory, in MB."""

_SCRIPT = (
    "from tests.soak import moved_clock; moved_clock.install(); "
    "from tests.soak.service import main; main({with_handler}, {half_hours}, {calls})"
)

HEADER = (
    f"{'hours':>5} {'calls':>6} {'failed':>6} | "
    + " ".join(f"{name:>11}" for name in KEPT)
    + " | "
    + " ".join(f"{name:>{max(len(name), 6)}}" for name in (*SAME, *MORE))
    + f" | {'issues':>11} {'objects':>15} {'MB':>11} | {'other':>5}"
)


def main(half_hours: int, calls: int, out: TextIO) -> int:
    """Play both, and print a row for each half hour: with the handler / without.

    Args:
        half_hours: How many.
        calls: Calls in each of the five parts of half an hour.
        out: Where the rows go.

    Returns:
        The exit code.
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _SCRIPT.format(with_handler=with_handler, half_hours=half_hours, calls=calls)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        for with_handler in (True, False)
    ]
    try:
        told = [process.communicate(timeout=HANG * 10)[0].splitlines() for process in processes]
    finally:
        for process in processes:
            process.kill()
    with_, without = [[json.loads(line) for line in lines] for lines in told]
    print(HEADER, file=out)
    played = failed = 0
    faults: list[str] = []
    for number, (one, other) in enumerate(zip(with_, without, strict=False)):
        faults += [f"after {(number + 1) / 2} h: {each}" for each in differences(one, other)]
        played += len(one["story"])
        failed += sum(_is_failure(saw) for _, _, saw in one["story"])
        print(_row((number + 1) / 2, played, failed, one, other), file=out)
    faults += [f"a process ended with {each.returncode}" for each in processes if each.returncode]
    faults += [] if len(with_) == len(without) == half_hours else ["not every half hour was played"]
    if not faults and half_hours > 2:
        faults += grown(with_, without)
    for each in faults:
        print(each, file=out)
    print(f"{len(faults)} differences" if faults else "the application sees and keeps the same", file=out)
    return 1 if faults else 0


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """How half an hour with the handler, the first, differs from one without."""
    found = [
        f"{where}{name}: {with_[name]}, without {without[name]}"
        for where, names, with_, without in (("kept ", KEPT, one["kept"], other["kept"]), ("", SAME, one, other))
        for name in names
        if with_[name] != without[name]
    ]
    if one["live"]:
        found.append(f"{one['live']} live runs")
    for name, more in MORE.items():
        if one[name] > other[name] + more:
            found.append(f"{name}: {one[name]}, without {other[name]}")
    for saw, saw_without in zip(one["story"], other["story"], strict=False):
        if saw != saw_without:
            found.append(f"saw {saw}, without {saw_without}")
    if len(one["story"]) != len(other["story"]):
        found.append(f"{len(one['story'])} calls, without {len(other['story'])}")
    return found


def grown(with_: list[dict[str, Any]], without: list[dict[str, Any]]) -> list[str]:
    """What has grown more with the handler than without, between the second half hour and the last."""
    found = []
    objects, objects_without = (rows[-1]["objects"] - rows[1]["objects"] for rows in (with_, without))
    if objects > max(objects_without, 0) + MORE_OBJECTS:
        more = Counter(with_[-1]["kinds"]) - Counter(with_[1]["kinds"])
        most = ", ".join(f"{kind} +{count}" for kind, count in more.most_common(8))
        found.append(f"objects: {objects} more, without {objects_without} more: {most}")
    memory, memory_without = (rows[-1]["memory"] - rows[1]["memory"] for rows in (with_, without))
    if memory > max(memory_without, 0.0) + MORE_MEMORY:
        found.append(f"memory: {memory:.1f} MB more, without {memory_without:.1f} MB more")
    return found


def _is_failure(saw: Any) -> bool:
    return isinstance(saw, list)


def _row(hours: float, played: int, failed: int, one: dict[str, Any], other: dict[str, Any]) -> str:
    kept = [f"{one['kept'][name]}/{other['kept'][name]}".rjust(11) for name in KEPT]
    both = [f"{one[name]}/{other[name]}".rjust(max(len(name), 6)) for name in (*SAME, *MORE)]
    seen = sum(saw != without for saw, without in zip(one["story"], other["story"], strict=False))
    rest = [
        f"{one['issues']}/{other['issues']}".rjust(11),
        f"{one['objects']}/{other['objects']}".rjust(15),
        f"{one['memory']:.0f}/{other['memory']:.0f}".rjust(11),
    ]
    return f"{hours:5} {played:6} {failed:6} | {' '.join(kept)} | {' '.join(both)} | {' '.join(rest)} | {seen:5}"
