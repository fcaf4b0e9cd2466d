"""`python -m sentry_langchain_stream doctor`."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict

import sentry_sdk

from .._to_sentry.client import makes_spans
from ..doctor import environment, received, setup
from ..testing.printable import printable
from .application import NoSuchApplication, initialise
from .case import Case
from .delivery import deliver
from .findings import Finding, error_text, exit_code
from .probe import Probe, run

Check = Callable[[Case], Finding]

OF_ENVIRONMENT: tuple[Check, ...] = (
    environment.python,
    environment.package,
    environment.sentry_sdk,
    environment.langchain_core,
    environment.langgraph,
    environment.provider_packages,
    environment.stream_usage,
    environment.shutdown,
)

OF_APPLICATION: tuple[Check, ...] = (
    setup.client,
    setup.dsn,
    setup.sampling,
    setup.tracing_mode,
    setup.data_collection,
    setup.integrations,
    received.probe,
    received.attributes,
    received.conventions,
    received.scrubber,
)

_COLOURS = {"ok": "32", "warning": "33", "fail": "31"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 0, 1 if a check failed, 2 for a wrong argument.
    """
    options = _parser().parse_args(arguments)
    try:
        # The output of the application goes to stderr, so that stdout has only the findings.
        with redirect_stdout(sys.stderr):
            findings = list(examine(options.app, options.timeout if options.send else None))
    except NoSuchApplication as error:
        print(f"doctor: --app {options.app}: {printable(str(error))}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    return exit_code(findings, strict=options.strict)


def examine(app: str | None = None, seconds: float | None = None) -> Iterator[Finding]:
    """Set up Sentry, run every check, and send the probe if asked to.

    Args:
        app: See `application.initialise`.
        seconds: How long to wait for the server's answer. `None` sends nothing.
    """
    initialised = initialise(app)
    yield initialised
    failed = initialised.level == "fail"
    client = sentry_sdk.get_client()
    case = Case(client, None if failed else _probe(client))
    for check in OF_ENVIRONMENT if failed else (*OF_ENVIRONMENT, *OF_APPLICATION):
        yield _checked(check, case)
    if seconds is not None and not failed:
        yield deliver(client, case.probe, seconds)


def _probe(client: sentry_sdk.client.BaseClient) -> Probe | None:
    return run(client) if makes_spans(client) else None


def _checked(check: Check, case: Case) -> Finding:
    try:
        return check(case)
    except Exception as error:  # a check that raises must not hide the other findings
        return Finding(
            check.__name__.replace("_", "-"), "warning", f"this check itself failed with {error_text(error)}"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sentry_langchain_stream doctor",
        description="Check whether this application's Sentry is set up so that AI spans arrive and are correct. Prints "
        "one line per check. Sends nothing without --send.",
        epilog="exit code: 0, 1 if a check failed, 2 for a wrong argument",
    )
    parser.add_argument(
        "--app",
        metavar="MODULE[:FUNCTION]",
        type=_target,
        help="import this module and call this function, to set up Sentry as your application does; "
        "without --app, only sentry_sdk.init with SENTRY_DSN is called",
    )
    parser.add_argument("--json", action="store_true", help="print a list of objects: name, level, found, remedy")
    parser.add_argument("--strict", action="store_true", help="exit with 1 for warnings too")
    parser.add_argument("--send", action="store_true", help="send a probe trace to the DSN and wait for the answer")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        default=10.0,
        help="how long to wait for the answer (default: 10)",
    )
    return parser


def _target(text: str) -> str:
    module, colon, path = text.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), *(path.split(".") if colon else [])]):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form module or module:function")
    return text


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError(text)
    return seconds


def _print(findings: Sequence[Finding]) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # an error message may contain any character
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        level = f"{finding.level:<7}"
        if coloured:
            level = f"\x1b[{_COLOURS[finding.level]}m{level}\x1b[0m"
        remedy = f". {finding.remedy}" if finding.remedy else ""
        print(f"{level}  {finding.name:<{width}}  {printable(finding.found + remedy)}")
    counts = {each: sum(finding.level == each for finding in findings) for each in _COLOURS}
    print(f"\n{counts['ok']} ok, {counts['warning']} to look at, {counts['fail']} failed")
