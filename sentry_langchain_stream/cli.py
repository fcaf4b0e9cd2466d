"""The command line. Needs the extra `demo`; each command imports what it needs when it runs.

`doctor` needs no extra, for it is asked in production, so it has a parser of its own and `__main__` goes straight to
it. Here it stands only to be found in the list of commands.
"""

from __future__ import annotations

import io
import sys
from enum import Enum
from typing import Annotated

import typer

app = typer.Typer(
    help="Sentry spans for LangChain runs that stay right when answers are streamed.",
    no_args_is_help=True,
    add_completion=False,
)


def _not_empty(value: str) -> str:
    if not value.strip():
        raise typer.BadParameter("must not be empty")
    return value


class _Dialect(str, Enum):
    """`settings.Dialect`, as typer reads it."""

    gen_ai = "gen_ai"
    ai = "ai"


@app.command()
def demo(
    question: Annotated[str | None, typer.Option(help="What to ask.")] = None,
    model: Annotated[str, typer.Option(help="The model to ask for.")] = "gpt-4o-mini",
    dialect: Annotated[
        _Dialect, typer.Option(help="gen_ai: today's Sentry. ai: the LLM Monitoring convention of 2024.")
    ] = _Dialect.gen_ai,
    pipeline_name: Annotated[str, typer.Option(help="Name of the pipeline.", callback=_not_empty)] = "support-bot",
    spotlight: Annotated[bool, typer.Option("--spotlight", help="Send the spans to a running Spotlight too.")] = False,
) -> None:
    """Stream an answer through FastAPI, and show and check the spans that Sentry receives.

    Needs no key and no network. With OPENAI_API_KEY set, the answer comes from OpenAI; with SENTRY_DSN
    set, the spans are really sent. The exit code is 1 if a check fails.
    """
    from rich.console import Console

    from .demo import spotlight as viewer
    from .demo import story

    url = viewer.address() if spotlight else None
    if url is not None and not viewer.is_running(url):
        raise typer.BadParameter(f"no Spotlight answers at {url}: start it, see docs/spotlight.md")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every terminal has a ✓
    try:
        holds = story.tell(
            Console(),
            question=question or story.QUESTION,
            model=model,
            dialect=dialect.value,
            pipeline_name=pipeline_name,
            viewer=url,
        )
    except ValueError as error:
        raise typer.BadParameter(f"SENTRY_DSN is not a DSN: {error}") from None
    if not holds:
        raise typer.Exit(1)


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def doctor(context: typer.Context) -> None:
    """Check whether Sentry is set up so that AI spans arrive and are right. Needs no extra."""
    from .doctor.command import main

    raise typer.Exit(main(context.args))
