"""`SentryStreamIntegration`: traces every LangChain run of the process, without passing callbacks."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import wraps
from typing import TYPE_CHECKING, Any

import sentry_sdk
from langchain_core.callbacks import BaseCallbackManager, manager
from sentry_sdk.integrations import DidNotEnable, Integration

from ._from_langchain import internals as langchain_internals
from ._from_langchain import text_models
from ._runtime.containment import contained
from ._to_sentry import client as sentry_client
from ._to_sentry import held_issues, issues, model_integrations, other_integrations
from ._to_sentry.other_integrations import INTEGRATION, is_sentrys_handler
from .handler import SentryStreamHandler

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._runs.settings import HandlerOptions


class SentryStreamIntegration(Integration):
    """Adds a `SentryStreamHandler` to every LangChain and LangGraph run, including runs in third-party code.

    Pass it in `sentry_sdk.init(integrations=[SentryStreamIntegration(pipeline_name=...)])`. A handler in a run's
    callbacks takes precedence. Runs under a client without this integration are not changed.

    It also enables Sentry's integrations of the providers' client libraries, so that calls of a raw client get a span
    too. They are silent during the model calls that this integration records. With `redact` or
    `include_prompts=False` they record no content. They stay off where they have no such setting,
    because `data_collection` allows content.

    Args:
        pipeline_name: As for `SentryStreamHandler`.
        providers: Which of Sentry's integrations of client libraries to enable: `True` for all whose library is
            installed, `False` for none, or a collection of `"anthropic"`, `"boto3"`, `"cohere"`, `"google_genai"`,
            `"huggingface_hub"`, `"litellm"`, `"mistral"`, `"openai"`.
        **settings: The other arguments of `SentryStreamHandler`, by keyword.

    Raises:
        ImportError: As for `SentryStreamHandler`, or a client library that `providers` names is not installed.
        TypeError: An argument has the wrong type or is unknown.
        ValueError: An argument has a value that is not allowed.
    """

    identifier = INTEGRATION
    origin = "auto.ai.langchain_stream"

    def __init__(
        self,
        pipeline_name: str | None = None,
        *,
        providers: bool | Collection[str] = True,
        **settings: Unpack[HandlerOptions],
    ) -> None:
        named: Any = {} if pipeline_name is None else {"pipeline_name": pipeline_name}
        self.handler = SentryStreamHandler(**named, **settings)
        chosen = self.handler._settings
        self.vetoes = chosen.redact is not None or not chosen.include_prompts
        self.providers = model_integrations.enable(providers, include_prompts=not self.vetoes)

    @staticmethod
    def setup_once() -> None:
        """Add the handler to LangChain's callback managers from now on. Sentry calls this once per process."""
        issues.watch(held_issues.reported)  # a raw client's call may fail before there is any run
        if langchain_internals.configure is None:
            raise DidNotEnable("this version of langchain-core makes its callback managers in another way")
        with langchain_internals.replacing:
            manager._configure = _with_handler(manager._configure)


def _decide(client: Any, identifier: str, found: Any) -> Any:
    """Which integration of a client library a client is to have, see `other_integrations.decide`."""
    ours = other_integrations.own_integration(client)
    own = ours.providers if isinstance(ours, SentryStreamIntegration) else {}
    if own and ours.vetoes and sentry_client.has_data_collection(client):
        own = {}  # their `include_prompts=False` is no veto then
    return model_integrations.of_client(client, identifier, found, own)


def _of_client_calls(event: Any, _: BaseException) -> list[Any]:
    """What may be recorded of the call of a raw client, whose failure an integration reports that was enabled here."""
    client = sentry_client.current_client()
    ours, identifier = other_integrations.own_integration(client), issues.mechanism(event)
    if not isinstance(ours, SentryStreamIntegration) or identifier not in ours.providers:
        return []
    if _decide(client, identifier, None) is not ours.providers[identifier]:
        return []  # the application has passed one of its own
    return [ours.handler._runs.policy(client)]


def _runs_outside() -> Any:
    """The live runs for calls of embedding models and rerankers that no run encloses, see `text_models.outside`."""
    integration = sentry_sdk.get_client().get_integration(SentryStreamIntegration)
    return integration.handler._runs if integration is not None else None


other_integrations.decide(_decide)
issues.also(_of_client_calls)
text_models.outside(_runs_outside)


def _with_handler(configure: Callable[..., Any]) -> Callable[..., Any]:
    # Sentry's LangchainIntegration wraps the same function to add its own handler. Which wrapper is the outer one
    # depends on the order of `init`. Both return the same callback manager, so ours replaces Sentry's handler there.
    @wraps(configure)
    def configured(*args: Any, **kwargs: Any) -> Any:
        made = configure(*args, **kwargs)
        with contained("integration"):
            integration = sentry_sdk.get_client().get_integration(SentryStreamIntegration)
            if integration is not None and isinstance(made, BaseCallbackManager):
                _take(made, integration.handler)
        return made

    return configured


def _take(callbacks: BaseCallbackManager, handler: SentryStreamHandler) -> None:
    """Add the handler to a new callback manager, unless the application has passed another one."""
    for theirs in [each for each in callbacks.handlers if is_sentrys_handler(each)]:
        if not isinstance(theirs, SentryStreamHandler):
            callbacks.remove_handler(theirs)
    present = [each for each in callbacks.handlers if isinstance(each, SentryStreamHandler)]
    if not present:
        callbacks.add_handler(handler, inherit=True)
