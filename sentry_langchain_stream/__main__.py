"""`python -m sentry_langchain_stream`."""

import sys
from importlib.metadata import version

_OF_EXTRA = frozenset(
    {
        "fastapi",
        "httpx",
        "httpx_sse",
        "langchain_openai",
        "openai",
        "rich",
        "sse_starlette",
        "starlette",
        "typer",
        "uvicorn",
    }
)


_NEEDED = "'sentry-sdk>=2.44,<3' 'langchain-core>=1.0,<2'"

_HELP = """Usage: python -m sentry_langchain_stream COMMAND

  doctor     Check whether Sentry is set up so that AI spans arrive and are correct.
  demo       Stream an answer, and show its span. Needs: pip install 'sentry-langchain-stream[demo]'
  --version  Print the version.

Each command has --help."""


def main() -> None:
    """Run the command line.

    `doctor`, `--help` and `--version` need no extra. If the extra of another command is missing, say how to install it
    (exit code 2).
    """
    if sys.argv[1:2] == ["doctor"]:
        raise SystemExit(_doctor(sys.argv[2:]))
    if sys.argv[1:] == ["--version"]:
        from . import __version__

        print(f"sentry-langchain-stream {__version__}")
        return
    try:
        from .cli import app

        app()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _OF_EXTRA:
            raise
        if sys.argv[1:] in ([], ["--help"]):
            print(_HELP)
            return
        print(
            f"{package} is not installed; the command line needs the extra `demo`:\n\n"
            "    pip install 'sentry-langchain-stream[demo]'\n",
            file=sys.stderr,
        )
        raise SystemExit(2) from None


def _doctor(arguments: list[str]) -> int:
    try:
        from .doctor.command import main as doctor
    except ImportError as error:
        # A version that is too old may lack what even the doctor imports.
        versions = ", ".join(f"{name} {version(name)}" for name in ("sentry-sdk", "langchain-core"))
        print(f"doctor: {error}. Installed: {versions}.\n\n    pip install --upgrade {_NEEDED}\n", file=sys.stderr)
        return 1
    return doctor(arguments)


if __name__ == "__main__":
    main()
