"""The command line. Needs the extra `demo`. Each command imports its modules when it runs.

`doctor` needs no extra, because it runs in production. So it has its own parser, and `__main__` calls it directly. The
command here only makes it appear in the list of commands.
"""

from __future__ import annotations

import io
import sys
from enum import Enum
from typing import Annotated

import typer

app = typer.Typer(
    help="Sentry spans for LangChain runs, correct for streamed answers too.",
    no_args_is_help=True,
    add_completion=False,
)


def _not_empty(value: str) -> str:
    if not value.strip():
        raise typer.BadParameter("must not be empty")
    return value


class _Dialect(str, Enum):
    """`Dialect` as an enum, which typer needs."""

    gen_ai = "gen_ai"
    ai = "ai"


@app.command()
def demo(
    question: Annotated[str | None, typer.Option(help="The question.")] = None,
    model: Annotated[str, typer.Option(help="The name of the model.")] = "gpt-4o-mini",
    dialect: Annotated[
        _Dialect, typer.Option(help="gen_ai: current Sentry. ai: the LLM Monitoring convention of 2024.")
    ] = _Dialect.gen_ai,
    pipeline_name: Annotated[str, typer.Option(help="The name of the pipeline.", callback=_not_empty)] = "support-bot",
    spotlight: Annotated[bool, typer.Option("--spotlight", help="Send the spans to a running Spotlight too.")] = False,
) -> None:
    """Stream an answer through FastAPI, and show and check the spans that Sentry receives.

    Needs no key and no network. If OPENAI_API_KEY is set, the answer comes from OpenAI. If SENTRY_DSN is set, the spans
    are sent to Sentry. The exit code is 1 if a check fails.
    """
    from rich.console import Console

    from .demo import spotlight as viewer
    from .demo import story

    url = viewer.address() if spotlight else None
    if url is not None and not viewer.is_running(url):
        raise typer.BadParameter(f"Spotlight does not answer at {url}. Start it, see docs/spotlight.md")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every terminal can show ✓
    try:
        passed = story.run(
            Console(highlight=False),
            question=question or story.QUESTION,
            model=model,
            dialect=dialect.value,
            pipeline_name=pipeline_name,
            viewer=url,
        )
    except ValueError as error:
        raise typer.BadParameter(f"SENTRY_DSN is not a DSN: {error}") from None
    if not passed:
        raise typer.Exit(1)


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def doctor(context: typer.Context) -> None:
    """Check whether Sentry is set up so that AI spans arrive and are correct. Needs no extra."""
    from .doctor.command import main

    raise typer.Exit(main(context.args))
