"""`python -m sentry_langchain_stream`."""

import sys

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


def main() -> None:
    """Run the command line. If its extra is missing, say how to install it (exit code 2). `doctor` needs none."""
    if sys.argv[1:2] == ["doctor"]:
        from .doctor.command import main as doctor

        raise SystemExit(doctor(sys.argv[2:]))
    try:
        from .cli import app

        app()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _OF_EXTRA:
            raise
        print(
            f"{package} is not installed; the command line needs the extra `demo`:\n\n"
            "    pip install 'sentry-langchain-stream[demo]'\n",
            file=sys.stderr,
        )
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
