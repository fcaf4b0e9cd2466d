"""Every test runs with our own failures raised, unless it asks for `lenient`; without what it needs, it is skipped."""

import os
import random
import sys
from collections.abc import Generator, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from sentry_sdk import integrations
from sentry_sdk.profiler import transaction_profiler

from sentry_langchain_stream._from_langchain.inline_hooks import InlineHandler
from sentry_langchain_stream._runtime import containment
from tests.kit import absent, async_context, garbage
from tests.kit.fresh import Fresh


class _Module(pytest.Module):
    """A file of tests, all of which are skipped if it imports what is absent."""

    def collect(self) -> Any:
        try:
            return super().collect()
        except Exception as error:
            cause = error.__cause__ if isinstance(error, self.CollectError) else error
            if isinstance(cause, Exception) and (why := absent.reason(cause)):
                pytest.skip(why, allow_module_level=True)
            raise


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module:
    """Collect every file so."""
    module: pytest.Module = _Module.from_parent(parent, path=module_path)
    return module


def _skipping_what_is_absent() -> Generator[None, object, object]:
    try:
        return (yield)
    except Exception as error:
        if why := absent.reason(error):
            pytest.skip(why)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Skip a test that needs a newer Python, and a test whose fixtures need what is absent."""
    if not async_context.HAS_ASYNC_CONTEXT and async_context.needed_by(item):
        pytest.skip(async_context.REASON)
    return (yield from _skipping_what_is_absent())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Skip a test that needs what is absent."""
    return (yield from _skipping_what_is_absent())


# Workaround: the thread of Sentry's transaction profiler asks for the frames of all threads. If garbage is collected
# meanwhile, Python 3.11 may wait for itself for ever (python/cpython#106883). Without a DSN, Spotlight switches the
# profiler on, and the SDK never switches it off: it went on in the tests that came after. The tests of profiles take
# their samples themselves. Can go with Python 3.11.
transaction_profiler.ThreadScheduler.ensure_running = lambda self: None  # type: ignore[method-assign]

# Workaround: the SDK's batching threads wait for a random time. Hypothesis takes any use of `random` while it draws for
# the strategy's own, whichever thread it is, and fails the test. With a generator of their own they are not seen.
for _name in ("_batcher", "_span_batcher", "_log_batcher", "_metrics_batcher"):  # of some versions
    with suppress(ImportError):
        _batcher: Any = import_module(f"sentry_sdk.{_name}")
        if getattr(_batcher, "random", None) is random:
            _batcher.random = random.Random()

# The same examples in every run, so that no build fails by chance; `HYPOTHESIS_PROFILE=thorough` looks for new ones.
settings.register_profile("steady", derandomize=True, deadline=None, print_blob=True, max_examples=50)
settings.register_profile("thorough", derandomize=False, deadline=None, print_blob=True, max_examples=1_000)
# For mutation tests, which run each test a thousand times: few examples, and nothing spent on the smallest one.
settings.register_profile(
    "mutation",
    derandomize=True,
    deadline=None,
    max_examples=20,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


def pytest_collection_finish() -> None:
    """Leave what is there by now out of each later collection of garbage, of which tests ask for many."""
    _leave_libraries_out()


_MANY = 100
_known = 0


def _leave_libraries_out() -> None:
    global _known
    garbage.leave_out()
    _known = len(sys.modules)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Leave a library that this test was the first to import out of them, too."""
    if len(sys.modules) > _known + _MANY:
        _leave_libraries_out()


@pytest.fixture(scope="session", autouse=True)
def cheap_clients() -> Iterator[None]:
    """Look once for the packages that Sentry has integrations for: it looks again, in vain, for each client made.

    And name a release, or it would run git each time to find one.
    """
    find = integrations.iter_default_integrations
    found: dict[bool, list[type[integrations.Integration]]] = {}

    def known(with_auto_enabling: bool) -> Iterator[type[integrations.Integration]]:
        if with_auto_enabling not in found:
            found[with_auto_enabling] = list(find(with_auto_enabling))
        return iter(found[with_auto_enabling])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(integrations, "iter_default_integrations", known)
        patch.setenv("SENTRY_RELEASE", "tests")
        yield


@pytest.fixture(scope="session")
def fresh() -> Iterator[Fresh]:
    """Runs scripts in fresh processes, which need no time to import."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    made = Fresh()
    yield made
    made.close()


@pytest.fixture(scope="session")
def fresh_with_clients() -> Iterator[Fresh]:
    """The same, where Sentry finds the client libraries of all providers."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    made = Fresh(clients=True)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    """Raise our own failures instead of containing them, and forget what was reported before."""
    containment.strict(True)
    containment.forget_reports()
    InlineHandler._raises = True  # or LangChain would log what we raise
    yield
    InlineHandler._raises = False
    containment.strict(False)
    containment.forget_reports()


@pytest.fixture
def lenient(strict: None) -> None:
    """Contain our own failures, as in production."""
    containment.strict(False)
    InlineHandler._raises = False


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)
