"""What LangChain calls on a handler: a short method per event, which hands it to the parts behind the handler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from .._runtime.containment import contain, contained
from .inline_hooks import DONE, Hook, InlineHandler

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import ChatGenerationChunk, GenerationChunk, LLMResult

    from .engine import Engine


class Hooks(InlineHandler):
    """The hooks of a handler. None of them raises what the application has not raised."""

    def _hand_to(self, engine: Engine) -> None:
        """Hand all events to these parts from now on."""
        # Imported with the first handler, see `handler.py`.
        from .._runs.estimates import TOKEN, weight
        from .answers import NAMES

        # An attribute each, for what is asked for with every event.
        self._runs = engine.runs
        self._models = engine.models
        self._steps = engine.steps
        self._read_start = engine.read_start
        self._not_started = engine.not_started
        self._end_anyway = engine.end_anyway
        self._start_inner = engine.steps.start_inner
        self._gather = engine.models.gather
        self._plain = engine.runs.plain.get
        self._now = engine.runs.now
        self._token_size, self._weight = TOKEN, weight
        self._names_no_model = frozenset(NAMES).isdisjoint

    # -- models ---------------------------------------------------------------------------------------------

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Hook:
        """A chat model starts: open its span."""
        try:
            flat = messages[0] if len(messages) == 1 else [message for prompt in messages for message in prompt]
            self._models.start(
                self._read_start("model", run_id, parent_run_id, metadata, kwargs),
                serialized,
                kwargs,
                payload=messages[0] if messages else messages,
                messages=flat,
            )
        except Exception as error:
            self._not_started("on_chat_model_start", error, run_id)
        return DONE

    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Hook:
        """Any other model starts: open its span."""
        try:
            self._models.start(
                self._read_start("model", run_id, parent_run_id, metadata, kwargs),
                serialized,
                kwargs,
                payload=prompts[0] if prompts else prompts,
                prompts=prompts,
            )
        except Exception as error:
            self._not_started("on_llm_start", error, run_id)
        return DONE

    def on_llm_new_token(
        self,
        token: str | list[str | dict[str, Any]],
        *,
        chunk: GenerationChunk | ChatGenerationChunk | None = None,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **kwargs: Any,
    ) -> Hook:
        """A chunk has arrived: count it, and keep its text if it may be recorded."""
        # This runs once per token. So what most chunks need is written out here, without the call of a function. And
        # all that LangChain passes has a name here: to gather what has none takes Python longer than all of it.
        try:
            try:
                call = self._plain(run_id.int)  # to hash an id, Python would call a function
            except AttributeError:  # LangChain lets any id pass
                call = None
            if call is None or token.__class__ is not str or not token:
                self._gather(run_id, token, chunk)
                return DONE
            now = self._now()
            if (gap := now - call.last_chunk_at) > call.longest_gap:
                call.longest_gap, call.longest_gap_at = gap, call.last_chunk_at
            call.last_chunk_at = now
            call.chunks += 1
            if (size := len(token)) <= self._token_size and token.isascii():
                call.short += size
                if (keep := call.keep) is not None:
                    keep(token)
                    if call.short > call.room:
                        call.make_room()
            else:
                call.weight += self._weight(token)
                if call.text is not None:
                    call.text.add(token)
            message: Any = None
            try:
                message = chunk.message  # type: ignore[union-attr]
                # Of each chunk ChatOpenAI says who the provider is, and of the last one the model.
                if message.usage_metadata is not None or (
                    call.named is None and not self._names_no_model(message.response_metadata)
                ):
                    self._models.gather_facts(call, message)
            except (AttributeError, TypeError):  # a completion model's chunk has no message, and others may have less
                if message is not None:
                    self._models.gather_facts(call, message)
        except Exception as error:
            contain("on_llm_new_token", error)
        return DONE

    def on_stream_event(self, event: Any, *, run_id: UUID, **kwargs: Any) -> Hook:
        """A v3 stream event has arrived: count it as a chunk, and keep its content if that may be recorded."""
        try:
            self._models.gather_event(run_id, event)
        except Exception as error:
            contain("on_stream_event", error)
        return DONE

    def on_llm_end(
        self,
        response: LLMResult,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **kwargs: Any,
    ) -> Hook:
        """The model has answered: close its span."""
        try:
            self._models.end(run_id, "completed", response)
        except BaseException as error:
            self._end_anyway("on_llm_end", error, run_id)
        return DONE

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> Hook:
        """The model failed, or the consumer left the stream: close its span with what has arrived."""
        try:
            self._models.fail(run_id, error, kwargs.get("response"))
        except BaseException as failure:
            self._end_anyway("on_llm_error", failure, run_id, "failed")
        return DONE

    # -- chains, tools and retrievers -----------------------------------------------------------------------

    def on_chain_start(
        self,
        serialized: dict[str, Any],
        inputs: dict[str, Any],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Hook:
        """A chain starts. A root chain is the pipeline. Any other chain links its children to its parent.

        A decision model starts as a chain too, and is a model call.
        """
        try:
            if self._start_inner(run_id, parent_run_id, metadata, kwargs):
                return DONE
            run_type = kwargs.get("run_type")
            if run_type == "llm":
                start = self._read_start("model", run_id, parent_run_id, metadata, kwargs)
                self._models.start_decision(start, serialized, inputs)
                return DONE
            start = self._read_start("chain", run_id, parent_run_id, metadata, kwargs)
            if run_type == "prompt":
                self._steps.start_prompt(start, serialized, inputs)
            else:
                self._steps.start_chain(start, inputs)
        except Exception as error:
            self._not_started("on_chain_start", error, run_id)
        return DONE

    def on_chain_end(
        self,
        outputs: dict[str, Any],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **kwargs: Any,
    ) -> Hook:
        """The chain ended."""
        try:
            self._steps.end_chain(run_id, outputs)
        except BaseException as error:
            self._end_anyway("on_chain_end", error, run_id)
        return DONE

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> Hook:
        """The chain failed, or its consumer left."""
        try:
            self._steps.fail(run_id, error)
        except BaseException as failure:
            self._end_anyway("on_chain_error", failure, run_id, "failed")
        return DONE

    def on_interrupt(self, event: Any) -> Hook:
        """A graph waits for a human. LangGraph fires this since 1.2."""
        with contained("on_interrupt"):
            self._steps.interrupt(event.run_id)
        return DONE

    def on_resume(self, event: Any) -> Hook:
        """A graph that waited goes on."""
        return DONE

    def on_tool_start(
        self,
        serialized: dict[str, Any],
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Hook:
        """A tool starts."""
        try:
            start = self._read_start("tool", run_id, parent_run_id, metadata, kwargs)
            self._steps.start_tool(start, serialized, kwargs, input_str)
        except Exception as error:
            self._not_started("on_tool_start", error, run_id)
        return DONE

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> Hook:
        """The tool ended."""
        try:
            self._steps.end_tool(run_id, output)
        except BaseException as error:
            self._end_anyway("on_tool_end", error, run_id)
        return DONE

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> Hook:
        """The tool failed or was interrupted."""
        try:
            self._steps.fail(run_id, error)
        except BaseException as failure:
            self._end_anyway("on_tool_error", failure, run_id, "failed")
        return DONE

    def on_retriever_start(
        self,
        serialized: dict[str, Any],
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Hook:
        """A retriever starts."""
        try:
            self._steps.start_retriever(
                self._read_start("retriever", run_id, parent_run_id, metadata, kwargs), serialized, query
            )
        except Exception as error:
            self._not_started("on_retriever_start", error, run_id)
        return DONE

    def on_retriever_end(self, documents: Sequence[Document], *, run_id: UUID, **kwargs: Any) -> Hook:
        """The retriever ended."""
        try:
            self._steps.end_retriever(run_id, documents)
        except BaseException as error:
            self._end_anyway("on_retriever_end", error, run_id)
        return DONE

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> Hook:
        """The retriever failed or was interrupted."""
        try:
            self._steps.fail(run_id, error)
        except BaseException as failure:
            self._end_anyway("on_retriever_error", failure, run_id, "failed")
        return DONE
