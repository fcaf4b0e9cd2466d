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
from typing import Any

import sentry_sdk

from .._to_sentry.client import makes_spans
from ..doctor import content, environment, own_chain, received, runs, setup
from ..testing.printable import printable
from .application import NoSuchApplication, initialise
from .case import Case
from .delivery import deliver
from .findings import Finding, error_text, exit_code
from .made import Named, Watch
from .one_loop import OneLoop
from .probe import run

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
    content.data_collection,
    setup.integrations,
    runs.handlers,
    runs.chain,
    received.probe,
    received.attributes,
    received.conventions,
    received.scrubber,
)

_COLOURS = {"fail": "31", "warning": "33", "ok": "32"}
"""Level -> colour, in the order of the lines. What was skipped is listed in one line at the end."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 0, 1 if a check failed, 2 for a wrong argument.
    """
    options = _parser().parse_args(arguments)
    try:
        # The output of the application goes to stderr, so that stdout has only the findings.
        with redirect_stdout(sys.stderr), OneLoop() as loop:
            findings = list(examine(options, loop))
        findings += loop.findings()
    except NoSuchApplication as error:
        print(f"doctor: --app {' '.join(options.app)}: {printable(str(error))}", file=sys.stderr)
        return 2
    except Unused as error:
        print(
            f"doctor: {error}: --app names no chain, graph or model, and no function that returns one", file=sys.stderr
        )
        return 2
    try:
        if options.json:
            print(json.dumps([asdict(finding) for finding in findings], indent=2))
        else:
            _print(findings)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has left, as `head` does, and Sentry would report that
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # it is flushed again as the process ends
    return exit_code(findings, strict=options.strict)


class Unused(Exception):
    """An argument is about a chain, and there is none."""


def examine(options: argparse.Namespace, loop: OneLoop) -> Iterator[Finding]:
    """Set up Sentry, run every check, and send the probe if asked to.

    Args:
        options: The arguments of the command.
        loop: The loop in which what is async of the application runs.

    Raises:
        Unused: An argument is about a chain, and the application has none.
    """
    watch = Watch()
    application = initialise(options.app, loop)
    yield application.finding
    failed = application.finding.level == "fail"
    if application.chain is None and not failed and (options.live or options.input is not None):
        raise Unused("--live" if options.live else "--input")
    client = sentry_sdk.get_client()
    case = Case(client) if failed else _case(client, application.chain, watch, options, loop)
    for check in OF_ENVIRONMENT if failed else (*OF_ENVIRONMENT, *OF_APPLICATION):
        yield _checked(check, case)
    if options.send and not failed:
        yield deliver(client, case.probe, options.timeout)


def _case(client: Any, chain: Named | None, watch: Watch, options: argparse.Namespace, loop: OneLoop) -> Case:
    made = watch.made()  # before the probe makes a handler and a model
    traced = makes_spans(client)
    own = None
    if traced and chain is not None:
        own = own_chain.run(client, chain, made, loop, options.input, live=options.live)
    return Case(
        client,
        run(client) if traced else None,
        made=made,
        own=own,
        app=bool(options.app),
        expects_content=options.expect_content,
    )


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
        "one line per check, what is wrong first. Sends nothing without --send.",
        epilog="exit code: 0; 1 if a check failed, with --strict also if one warned; 2 for a wrong argument",
    )
    parser.add_argument(
        "--app",
        metavar="MODULE[:NAME]",
        type=_target,
        action="append",
        default=[],
        help="import this module. NAME may be a function, which is called to set up Sentry as your application does, "
        "or a chain, graph or model, through which a probe is streamed. May be given more than once, in that order. "
        "Without --app, only sentry_sdk.init with SENTRY_DSN is called",
    )
    parser.add_argument("--input", metavar="JSON", type=_json, help="the input of the chain, if not a question")
    parser.add_argument("--live", action="store_true", help="call the chain's provider; without it, a script answers")
    parser.add_argument(
        "--expect-content", action="store_true", help="fail if prompts and answers would not be recorded"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print a list of objects: name, level (ok, warning, fail, skipped), found, remedy",
    )
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
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form module or module:name")
    return text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON. A text is JSON in double quotes: '\"Hi\"'") from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def _print(findings: Sequence[Finding]) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # an error message may contain any character
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    shown = [finding for level in _COLOURS for finding in findings if finding.level == level]
    width = max(len(finding.name) for finding in shown)
    for finding in shown:
        level = f"{finding.level:<7}"
        if coloured:
            level = f"\x1b[{_COLOURS[finding.level]}m{level}\x1b[0m"
        remedy = f". {finding.remedy}" if finding.remedy else ""
        print(f"{level}  {finding.name:<{width}}  {printable(finding.found + remedy)}")
    if skipped := [finding.name for finding in findings if finding.level == "skipped"]:
        print(f"\nnot checked, because of the findings above or as not asked for: {', '.join(skipped)}")
    counts = {each: sum(finding.level == each for finding in findings) for each in _COLOURS}
    print(f"\n{counts['ok']} ok, {counts['warning']} to look at, {counts['fail']} failed")
