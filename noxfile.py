"""What is promised of versions, tried: `make matrix` runs the suite over them, `make wheel` installs a release on them.

A cell is a Python version with the newest packages, with the oldest ones that `pyproject.toml` allows, or with none of
the extras (bare). The interpreters are those on the PATH; with uv, others are downloaded where that is possible.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "uv"
nox.options.envdir = ".cache/nox"
nox.options.error_on_missing_interpreters = True

ROOT = Path(__file__).parent
RESULTS = ROOT / ".cache" / "matrix"
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")["project"]

NEWEST_ON = ["3.10", "3.11", "3.12", "3.13", "3.14", "3.15"]
OLDEST_ON = ["3.10", "3.13"]
BARE_ON = ["3.13"]
INSTALLED_ON = ["3.10", "3.13"]

RANGED = ("sentry-sdk", "langchain-core", "langchain", "langgraph")
"""The packages of which a range of versions is promised. In the oldest cells each is the oldest of its range."""

OLDEST_BESIDES = ["langgraph-prebuilt==1.0.0"]
"""What LangGraph's oldest version needs: it does not bound this part of its own, whose later versions break it."""

NOT_OLDEST = {"deepagents", "langchain-google-genai", "langgraph-supervisor", "langgraph-swarm"}
"""Test packages of which no version works with the oldest LangChain."""

BARE = {"pytest", "pytest-asyncio", "pytest-xdist", "hypothesis"}
"""All that the bare cell has besides the package and what that requires."""


def requirements(extra: str | None = None) -> dict[str, Requirement]:
    """What the package requires, with what an extra adds, by name."""
    extras = PROJECT["optional-dependencies"]
    found: dict[str, Requirement] = {}
    for line in [*PROJECT["dependencies"], *(extras[extra] if extra else ())]:
        requirement = Requirement(line)
        if requirement.name == PROJECT["name"]:
            for each in requirement.extras:
                found |= requirements(each)
        else:
            found[requirement.name] = requirement
    return found


def oldest(name: str) -> str:
    """A requirement of exactly the oldest version that is allowed."""
    (version,) = [each.version for each in requirements("test")[name].specifier if each.operator == ">="]
    return f"{name}=={version}"


# -- the suite --------------------------------------------------------------------------------------------------


@nox.session(python=NEWEST_ON, tags=["matrix"])
def newest(session: nox.Session) -> None:
    """The suite with the newest packages."""
    session.install("--editable", ".[test]")
    _test(session)


@nox.session(name="oldest", python=OLDEST_ON, tags=["matrix"])
def oldest_(session: nox.Session) -> None:
    """The suite with the oldest packages that are allowed."""
    others = [str(each) for name, each in requirements("test").items() if name not in {*RANGED, *NOT_OLDEST}]
    session.install("--editable", ".", *map(oldest, RANGED), *OLDEST_BESIDES, *others)
    _test(session)


@nox.session(python=BARE_ON, tags=["matrix"])
def bare(session: nox.Session) -> None:
    """The suite without any package of the extras."""
    session.install("--editable", ".", *(str(each) for name, each in requirements("test").items() if name in BARE))
    _test(session)


@nox.session(python=NEWEST_ON[-1], tags=["matrix"])
def loops(session: nox.Session) -> None:
    """Endings on uvloop and with eager tasks. Elsewhere uvloop is not installed: uvicorn would take it for its own."""
    session.install("--editable", ".[test]", "uvloop")
    session.run("python", "-m", "pytest", "--quiet", "tests/end_to_end/test_loops.py", *session.posargs)


@nox.session(python="3.13", tags=["matrix"])
def served(session: nox.Session) -> None:
    """A graph on LangGraph's development server, whose packages hold back others."""
    session.install("--editable", ".[test]", "langgraph-cli[inmem]>=0.4")
    session.run("python", "-m", "pytest", "--quiet", "tests/end_to_end/test_langgraph_server.py", *session.posargs)


@nox.session(python="3.13", tags=["matrix"])
def ray(session: nox.Session) -> None:
    """Tasks and actors of Ray, which is large."""
    session.install("--editable", ".[test]", "ray>=2.40")
    session.run("python", "-m", "pytest", "--quiet", "tests/end_to_end/test_ray.py", *session.posargs)


@nox.session(tags=["matrix"])
def chat_uis(session: nox.Session) -> None:
    """The page on Streamlit, Gradio and Chainlit, whose servers hold back other packages, on nox's own Python."""
    session.install("--editable", ".[test]", "streamlit", "gradio", "gradio_client", "chainlit")
    session.run("python", "-m", "pytest", "--quiet", "tests/end_to_end/test_chat_uis.py", *session.posargs)


@nox.session(default=False)
def payloads(session: nox.Session) -> None:
    """The book of payloads, with every provider's package: an environment of its own, as some hold back others."""
    session.install("--editable", ".[payloads]")
    session.run("python", "-m", "pytest", "--quiet", "tests/payloads", *session.posargs)


def _test(session: nox.Session) -> None:
    """Run the tests, or those that the arguments name, and keep what came of it for the table."""
    session.notify("table")
    report = RESULTS / f"{session.name}.xml"
    report.unlink(missing_ok=True)
    about = RESULTS / f"{session.name}.json"
    RESULTS.mkdir(parents=True, exist_ok=True)
    versions = session.run(
        "python",
        "-c",
        "import importlib.metadata as m, json, platform\n"
        "found = {each.name.lower().replace('_', '-'): each.version for each in m.distributions()}\n"
        f"print(json.dumps({{'python': platform.python_version(), **{{n: found.get(n) for n in {RANGED!r}}}}}))",
        silent=True,
        log=False,
    )
    if versions is None:  # the environment is made, and no more than that
        return
    about.write_text(json.dumps({"versions": json.loads(str(versions)), "whole": not session.posargs}))
    command = [
        "--numprocesses",
        "auto",
        "--dist",
        "loadscope",
        "--no-loadscope-reorder",
        "--quiet",
        f"--junitxml={report}",
    ]
    temporary = ["--basetemp", str(ROOT / ".cache" / f"pytest-{session.name}")]
    session.run("python", "-m", "pytest", *command, *temporary, *session.posargs)


@nox.session(python=False, default=False)
def table(session: nox.Session) -> None:
    """Print a line per cell that was run, and keep those that ran the whole suite in `docs/supported.json`."""
    session.run(sys.executable, "-m", "tests.project.supported", external=True)


# -- the release ------------------------------------------------------------------------------------------------


@nox.session(tags=["wheel"], default=False)
def build(session: nox.Session) -> None:
    """Build the sdist, from it the wheel, and look at both."""
    session.install("build[uv]", "twine")
    for each in (ROOT / "dist").glob("*"):
        each.unlink()
    session.run("python", "-m", "build", "--installer", "uv", silent=True)
    session.run("twine", "check", "--strict", *map(str, _release()))


@nox.session(python=INSTALLED_ON, tags=["wheel"], default=False, requires=["build"])
@nox.parametrize("form", ["wheel", "sdist"])
@nox.parametrize("packages", ["oldest", "newest"])
def install(session: nox.Session, form: str, packages: str) -> None:
    """Install one of them without extras, and use it from outside the checkout."""
    (file,) = [each for each in _release() if (each.suffix == ".whl") == (form == "wheel")]
    pinned = [oldest(name) for name in requirements()] if packages == "oldest" else []
    session.install("--reinstall-package", PROJECT["name"], str(file), *pinned)
    session.chdir(session.create_tmp())
    session.run("python", "-W", "error", str(ROOT / "tests" / "kit" / "apps" / "installed.py"))
    doctor = session.run("python", "-m", "sentry_langchain_stream", "doctor", silent=True, success_codes=[0, 1])
    assert re.search(r"^ok +probe ", str(doctor), re.MULTILINE), doctor
    told = session.run("python", "-m", "sentry_langchain_stream", "demo", silent=True, success_codes=[2])
    assert "needs the extra `demo`" in str(told), told


def _release() -> list[Path]:
    files = sorted((ROOT / "dist").glob("*"))
    if sorted(each.suffix for each in files) != [".gz", ".whl"]:
        raise RuntimeError(f"expected a wheel and an sdist in dist/, found {[each.name for each in files]}")
    return files
