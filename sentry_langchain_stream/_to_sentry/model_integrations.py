"""Sentry's integrations of the providers' client libraries: silent during a model call of ours, on for all others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from types import FrameType
from typing import Any, NamedTuple

from sentry_sdk.integrations import DidNotEnable, Integration, setup_integrations

from .._runtime.containment import contain, pass_on
from . import internals, other_integrations


class ModelIntegration(NamedTuple):
    """A row of `MODEL_INTEGRATIONS`.

    Args:
        cls: The name of the class in `sentry_sdk.integrations.<identifier>`.
        library: The module of the client library.
    """

    cls: str
    library: str


MODEL_INTEGRATIONS: Mapping[str, ModelIntegration] = {
    "anthropic": ModelIntegration("AnthropicIntegration", "anthropic"),
    "boto3": ModelIntegration("Boto3Integration", "botocore"),
    "cohere": ModelIntegration("CohereIntegration", "cohere"),
    "google_genai": ModelIntegration("GoogleGenAIIntegration", "google.genai"),
    "huggingface_hub": ModelIntegration("HuggingfaceHubIntegration", "huggingface_hub"),
    "litellm": ModelIntegration("LiteLLMIntegration", "litellm"),
    "mistral": ModelIntegration("MistralIntegration", "mistralai"),
    "openai": ModelIntegration("OpenAIIntegration", "openai"),
}
"""The integrations of sentry-sdk 2.44 to 2.75 that make spans for calls of a model's client library.

Those of agent frameworks (`openai_agents`, `pydantic_ai`), of MCP and of evaluations (`typesafe`) are not among them:
no model package of LangChain uses those libraries.
"""

_BEDROCK = "bedrock-runtime"
_MAKE_API_CALL = "sentry_patched_make_api_call"


def silence_during(is_calling: Callable[[bool], bool]) -> None:
    """Keep these integrations silent while the calling code is inside a model call that we record.

    Args:
        is_calling: Returns whether it is. Its argument is whether embeddings are asked for.
    """
    for identifier in MODEL_INTEGRATIONS:
        if identifier != "boto3":
            other_integrations.silence(identifier, lambda frame: is_calling(_embeds(frame)))
        else:
            other_integrations.silence(identifier, partial(_is_bedrock_call, is_calling))


def _embeds(frame: FrameType) -> bool:
    """Whether an integration asks for a call of an embedding model: by its function, or by the one that it wraps."""
    wrapped = frame.f_locals.get("f")
    names = (frame.f_code.co_name, getattr(wrapped, "__qualname__", ""))
    return any("embed" in name.lower() for name in names)


@cache
def traces_bedrock() -> bool:
    """Whether the boto3 integration makes spans for model calls.

    It makes spans for HTTP requests only, except in SDK versions where it is a package that has a module for Bedrock.
    Ask when it is loaded: to look for the module imports botocore.
    """
    try:
        return find_spec("sentry_sdk.integrations.boto3._services.bedrock") is not None
    except Exception as error:  # the package refuses its import without botocore
        pass_on(error)
        return False


def _is_bedrock_call(is_calling: Callable[[bool], bool], frame: FrameType) -> bool:
    """Whether the boto3 integration asks for a call of Bedrock, rather than of another service, inside a model call."""
    asking: FrameType | None = frame if traces_bedrock() else None
    while asking is not None:
        if asking.f_code.co_name == _MAKE_API_CALL:
            client = asking.f_locals.get("self")
            service = getattr(getattr(getattr(client, "meta", None), "service_model", None), "service_name", None)
            return service == _BEDROCK and is_calling(False)
        asking = asking.f_back
    return False


# -- Enabling them ----------------------------------------------------------------------------------------------------

_set_up: set[str] = set()
"""The identifiers of those that were set up here."""


def enable(chosen: bool | Collection[str], *, include_prompts: bool) -> dict[str, Integration]:
    """Make those integrations whose client library is installed. Call it before `sentry_sdk.init`.

    Sentry's LangchainIntegration switches `openai`, `anthropic` and `google_genai` off for the whole process, and the
    SDK does not enable `litellm` and `mistral` automatically.

    Args:
        chosen: `True` for all of them, `False` for none, or the identifiers of some.
        include_prompts: Whether they may record content, if the client allows it.

    Raises:
        ImportError: A client library is not installed, or not supported by the SDK, whose integration was chosen.
        TypeError: `chosen` has the wrong type.
        ValueError: There is no integration of such a name.
    """
    made: dict[str, Integration] = {}
    for identifier in _identifiers(chosen):
        integration, why = _make(identifier, include_prompts=include_prompts)
        if integration is not None:
            made[identifier] = integration
        elif not isinstance(chosen, bool):
            raise ImportError(f"providers: {identifier!r} cannot be enabled: {why}")
    return made


def _identifiers(chosen: bool | Collection[str]) -> Collection[str]:
    if isinstance(chosen, bool):
        return tuple(MODEL_INTEGRATIONS) if chosen else ()
    if isinstance(chosen, str) or not isinstance(chosen, Collection):
        raise TypeError(f"providers must be True, False or a collection of names, not {chosen!r}")
    for identifier in chosen:
        if identifier not in MODEL_INTEGRATIONS:
            raise ValueError(f"providers: {identifier!r} is not one of {', '.join(MODEL_INTEGRATIONS)}")
    return chosen


def _make(identifier: str, *, include_prompts: bool) -> tuple[Integration | None, str]:
    """Make and set up an integration. Returns it, or `None` and the reason."""
    row = MODEL_INTEGRATIONS[identifier]
    if not _is_installed(row.library):
        return None, f"{row.library} is not installed"
    try:
        cls: Any = getattr(import_module(f"sentry_sdk.integrations.{identifier}"), row.cls)
        try:
            integration = cls(include_prompts=include_prompts)
        except TypeError:  # boto3 and mistral have no such argument
            if not include_prompts:
                return None, "it records content whenever the client allows it"
            integration = cls()
        if not _is_set_up(integration):
            return None, "this version of sentry-sdk refuses it"
        _set_up.add(identifier)
        return integration, ""
    except (DidNotEnable, ImportError, AttributeError) as error:
        return None, str(error)
    except Exception as error:  # a client library that fails to import must not stop the application
        contain(f"the {identifier} integration", error)
        return None, str(error)


def _is_installed(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except ImportError:  # a parent package is missing
        return False


def _is_set_up(integration: Integration) -> bool:
    """Whether an integration has wrapped its library, now or before. The SDK does that once per process."""
    name = integration.identifier
    if name in setup_integrations([integration], with_defaults=False):
        return True
    # Workaround: another client was made before, and LangchainIntegration switched this one off there. The SDK
    # remembers that it has dealt with it (sentry-sdk 2.44 to 2.75), so it has to be made to forget. Can go when it
    # remembers that per client.
    if internals.processed_integrations is None:
        return False
    internals.processed_integrations.discard(name)
    return name in setup_integrations([integration], with_defaults=False)


def of_client(client: Any, identifier: str, found: Any, own: Mapping[str, Integration]) -> Any:
    """Return the integration that a client is to have.

    Args:
        client: The client.
        identifier: The identifier of the integration.
        found: The one that the SDK has for this client, or `None`.
        own: Those that `enable` made for this client.
    """
    if identifier not in _set_up or _names(client, "integrations", identifier):
        return found
    if _names(client, "disabled_integrations", identifier):
        return None
    if identifier in own:
        return own[identifier]
    # Once an integration is set up, the SDK gives it to every client by default, also where LangchainIntegration
    # switches it off (sentry-sdk 2.44 to 2.75). A client without `SentryStreamIntegration` is to be as without us.
    return None if identifier in _SWITCHED_OFF and "langchain" in client.integrations else found


_SWITCHED_OFF = frozenset({"openai", "anthropic", "google_genai"})
"""Those that LangchainIntegration switches off."""


def _names(client: Any, option: str, identifier: str) -> bool:
    """Whether the application named this integration in an option of `sentry_sdk.init`."""
    return any(getattr(each, "identifier", None) == identifier for each in client.options.get(option) or ())
