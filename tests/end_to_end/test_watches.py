"""What the application can learn of its runs: ids, outcome, tokens and cost, by id or of a block."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from contextlib import suppress
from typing import Any, cast
from uuid import uuid4

import pytest
import sentry_sdk
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda

from sentry_langchain_stream import RunInfo, SentryStreamHandler, SentryStreamIntegration, track_stream, watch_runs
from sentry_langchain_stream._runs import known_runs, watches
from sentry_langchain_stream.testing import capture_spans
from tests.kit import HANG
from tests.kit.absent import needs
from tests.kit.embedding import Letters
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way, content_allowed

QUESTION = {"question": "Hi"}


def chain(*models: Any) -> Any:
    """A chain that calls each model once."""
    made: Any = ChatPromptTemplate.from_template("{question}")
    for model in models or (ScriptedModel(),):
        made = made | model | StrOutputParser()
    return made


def refuse(_: int) -> None:
    raise ConnectionError


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_block_yields_what_its_runs_are_in_sentry(shape: str, way: Way) -> None:
    """The ids are those of the root's span, and the numbers are the sums of the model calls in it."""
    handler = SentryStreamHandler("support-bot")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        with handler.watch() as runs:
            await way.run(chain(ScriptedModel(), ScriptedModel()), QUESTION, {"callbacks": [handler]})
        (found,) = runs
    root, calls = captured.find(op="function"), captured.find_all(op="gen_ai.chat")
    assert (found.trace_id, found.span_id, found.outcome) == (root.trace_id, root.span_id, "completed")
    assert (found.kind, found.pipeline, found.model_calls) == ("pipeline", "support-bot", 2)
    for name in ("input", "output", "total"):
        assert getattr(found, f"{name}_tokens") == sum(each.attributes[f"gen_ai.usage.{name}_tokens"] for each in calls)
        assert getattr(runs, f"{name}_tokens") == getattr(found, f"{name}_tokens")
    assert found.seconds is not None
    assert found.seconds >= 0


def priced(tokens: int) -> ScriptedModel:
    """A model that has a price, and reports so many tokens of input and of output."""
    used = {"input_tokens": tokens, "output_tokens": tokens, "total_tokens": 2 * tokens}
    return ScriptedModel(model_name="gpt-4o-mini", usage=used, metadata={"ls_provider": "openai"})


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
@needs("genai_prices")
async def test_the_cost_of_a_run_is_the_sum_of_its_calls(shape: str, way: Way) -> None:
    """With `cost=True`, a chain of two calls costs what the spans of both calls report together."""
    handler = SentryStreamHandler(cost=True)
    with capture_spans(**WIRE_SHAPES[shape]) as captured, handler.watch() as runs:
        await way.run(chain(priced(1_000), priced(100)), QUESTION, {"callbacks": [handler]})
    costs = [span.attributes["gen_ai.cost.total_tokens"] for span in captured.find_all(op="gen_ai.chat")]
    assert len(costs) == 2
    assert costs[0] > costs[1] > 0
    assert runs.cost == runs[0].cost == pytest.approx(sum(costs))


@needs("genai_prices")
def test_a_block_has_no_cost_if_that_of_one_run_is_not_known() -> None:
    """The cost of a part would look like that of the whole. What has used no tokens costs nothing."""
    handler = SentryStreamHandler(cost=True)
    with capture_spans(), handler.watch() as runs:
        priced(1_000).invoke("Hi", {"callbacks": [handler]})
        RunnableLambda(str).invoke("Hi", {"callbacks": [handler]})
        with suppress(ConnectionError):
            ScriptedModel(before=refuse).invoke("Hi", {"callbacks": [handler]})
        known = runs.cost
        ScriptedModel(model_name="of our own").invoke("Hi", {"callbacks": [handler]})
    assert known == runs[0].cost is not None
    assert runs.cost is None


@needs("genai_prices")
@pytest.mark.parametrize("sampled", [0.0, 1.0], ids=["not sampled", "sampled"])
def test_a_run_has_no_cost_if_that_of_one_call_is_not_known(sampled: float) -> None:
    """An agent may fall back to a deployment with a name of its own. A call that was not answered costs nothing."""
    handler = SentryStreamHandler(cost=True)
    unknown, failing = ScriptedModel(model_name="of our own"), ScriptedModel(before=refuse)
    with capture_spans(traces_sample_rate=sampled), handler.watch() as runs:
        chain(priced(1_000), failing.with_fallbacks([priced(1_000)])).invoke(QUESTION, {"callbacks": [handler]})
        known = runs.cost
        chain(priced(1_000), unknown).invoke(QUESTION, {"callbacks": [handler]})
    assert known == runs[0].cost is not None
    assert runs[1].cost is runs.cost is None


@needs("genai_prices")
def test_embeddings_without_a_price_leave_a_block_without_a_cost() -> None:
    """They are no part of a run's tokens, but of its bill."""
    with capture_spans(integrations=[SentryStreamIntegration(cost=True)]), watch_runs() as runs:
        priced(1_000).invoke("Hi")
        known = runs.cost
        Letters().embed_query("Hi")
    assert [found.kind for found in runs] == ["model", "embeddings"]
    assert known is not None
    assert runs.cost is None


@needs("genai_prices")
def test_a_reranker_without_a_price_leaves_a_run_without_a_cost() -> None:
    """It has no tokens, but its calls have a price."""

    class CohereRerank(BaseDocumentCompressor):
        model: str = "rerank-v3.5"

        def compress_documents(self, documents: Any, query: str, callbacks: Any = None) -> Any:
            return documents

    def ranked(asked: str) -> str:
        CohereRerank().compress_documents([Document("a")], asked)
        return asked

    handler = SentryStreamHandler(cost=True)
    with capture_spans() as captured, handler.watch() as runs:
        (RunnableLambda(ranked) | priced(1_000)).invoke("Hi", {"callbacks": [handler]})
    assert captured.find(op="gen_ai.rerank")
    assert runs.cost is runs[0].cost is None


@needs("genai_prices")
def test_the_cost_of_a_lone_call_is_known() -> None:
    """A model call that is a root run is one call, with the cost that its span reports."""
    handler = SentryStreamHandler(cost=True)
    with capture_spans() as captured, handler.watch() as runs:
        priced(1_000).invoke("Hi", {"callbacks": [handler]})
    cost = captured.find(op="gen_ai.chat").attributes["gen_ai.cost.total_tokens"]
    assert (runs.model_calls, runs.cost) == (1, cost)


def test_a_run_that_goes_on_is_of_the_model_that_has_named_itself() -> None:
    """As soon as a chunk names the model that answers, that is the model of its run, as of its span."""
    handler = SentryStreamHandler()
    with capture_spans() as captured, handler.watch() as runs:
        stream = ScriptedModel(of_each={"model_name": "answered-2024"}).stream("Hi", {"callbacks": [handler]})
        run_id = next(iter(stream)).id
        (live,) = handler._runs._runs.values()
        found = handler.run_info(live.id)
        handler._runs.end_all("exit")
    assert run_id
    assert found is not None
    assert found.model == runs[0].model == "answered-2024"
    assert captured.find(op="gen_ai.chat").attributes["gen_ai.response.model"] == "answered-2024"


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_run_is_found_by_its_id_while_it_is_running_and_after(shape: str) -> None:
    """The id that the application chose finds the run; a child's id only while it is live."""
    handler, run_id = SentryStreamHandler(), uuid4()
    during: list[RunInfo | None] = []
    with capture_spans(**WIRE_SHAPES[shape]) as captured:

        def look(given: Any) -> Any:
            during.append(handler.run_info(run_id))
            return given

        app: Any = RunnableLambda(look) | chain()
        app.invoke(QUESTION, {"callbacks": [handler], "run_id": run_id})
        after = handler.run_info(run_id)
    root = captured.find(op="function")
    assert during[0] is not None
    assert after is not None
    assert (during[0].span_id, during[0].outcome) == (root.span_id, None)
    assert (after.span_id, after.outcome) == (root.span_id, "completed")
    assert handler.run_info(uuid4()) is None


@pytest.mark.parametrize("ending", ["failed", "abandoned"])
async def test_the_outcome_is_known(ending: str) -> None:
    """A run that failed or was left says so, with the class of the exception and what had arrived."""
    handler = SentryStreamHandler()
    with capture_spans(), handler.watch() as runs:
        if ending == "failed":
            with suppress(ConnectionError):
                chain(ScriptedModel(before=refuse)).invoke(QUESTION, {"callbacks": [handler]})
        else:
            stream = chain().stream(QUESTION, {"callbacks": [handler]})
            next(stream)
            stream.close()
    (found,) = runs
    assert found.outcome == ending
    assert found.error_type == ("ConnectionError" if ending == "failed" else None)


async def test_runs_in_tasks_and_threads_belong_to_the_block_that_started_them() -> None:
    """Blocks in tasks at the same time see their own runs only, including those of LangChain's threads."""
    handler = SentryStreamHandler()

    async def ask(calls: int) -> int:
        with handler.watch() as runs:
            await asyncio.gather(*(chain().ainvoke(QUESTION, {"callbacks": [handler]}) for _ in range(calls)))
            chain().batch([QUESTION] * calls, {"callbacks": [handler]})
        return len(runs)

    def in_a_thread(found: list[int]) -> None:
        with handler.watch() as runs:
            chain().invoke(QUESTION, {"callbacks": [handler]})
        found.append(len(runs))

    found: list[int] = []
    with capture_spans():
        threads = [threading.Thread(target=in_a_thread, args=(found,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert [*await asyncio.gather(ask(1), ask(2), ask(3))] == [2, 4, 6]
        for thread in threads:
            thread.join()
    assert found == [1] * 4


async def test_a_block_keeps_to_its_handler_and_may_be_inside_another() -> None:
    """`watch()` sees the runs of its handler, `watch_runs()` those of all, also of an integration."""
    mine, other = SentryStreamHandler(), SentryStreamHandler()
    with capture_spans(integrations=[SentryStreamIntegration()]), watch_runs() as everything:
        with mine.watch() as runs:
            chain().invoke(QUESTION, {"callbacks": [mine]})
            chain().invoke(QUESTION, {"callbacks": [other]})
            chain().invoke(QUESTION)
        chain().invoke(QUESTION, {"callbacks": [mine]})
    assert (len(runs), len(everything)) == (1, 4)


def test_the_block_of_each_of_two_handlers_sees_the_run() -> None:
    """A run that two handlers see is in the `watch()` of both, though only one of them records it."""
    one, other = SentryStreamHandler(), SentryStreamHandler()
    with capture_spans() as captured, one.watch() as ones, other.watch() as others:
        chain().invoke(QUESTION, {"callbacks": [one, other]})
    root = captured.find(op="function")
    assert [[run.span_id for run in runs] for runs in (ones, others)] == [[root.span_id], [root.span_id]]


async def test_nothing_is_kept_after_the_block() -> None:
    """A run that ends after the block is not added, and the block is forgotten."""
    handler = SentryStreamHandler()
    with capture_spans():
        with handler.watch() as runs:
            stream = chain().stream(QUESTION, {"callbacks": [handler]})
            next(stream)
        for _ in stream:
            pass
        assert len(runs) == 0
        del stream
        gone = weakref.ref(runs)
        del runs
        gc.collect()
        assert gone() is None


@pytest.mark.parametrize("options", [{"traces_sample_rate": 0.0}, {"traces_sample_rate": None}], ids=str)
@needs("genai_prices")
async def test_the_numbers_do_not_depend_on_sampling(options: dict[str, Any]) -> None:
    """Without a span in Sentry there are no ids and no address, but the same tokens and the same cost."""
    handler = SentryStreamHandler(cost=True)
    with capture_spans(), handler.watch() as sampled:
        chain(priced(100)).invoke(QUESTION, {"callbacks": [handler]})
    with capture_spans(**options), handler.watch() as runs:
        chain(priced(100)).invoke(QUESTION, {"callbacks": [handler]})
    (found,) = runs
    assert (found.trace_id, found.span_id, found.url("https://acme.sentry.io")) == (None, None, None)
    assert (found.total_tokens, found.cost) == (sampled.total_tokens, sampled.cost)
    assert found.total_tokens
    assert found.cost


@pytest.mark.parametrize(
    ("dsn", "base", "page"),
    [
        ("https://key@o42.ingest.sentry.io/1", None, "https://sentry.io/organizations/42/explore/traces/trace/"),
        ("https://key@o42.ingest.us.sentry.io/1", None, "https://sentry.io/organizations/42/explore/traces/trace/"),
        ("https://key@sentry.example.com/1", None, None),
        ("https://key@sentry.example.com/1", "https://acme.sentry.io/", "https://acme.sentry.io/explore/traces/trace/"),
    ],
)
async def test_the_address_of_the_trace(dsn: str, base: str | None, page: str | None) -> None:
    """The DSN of sentry.io tells the organisation; the address of the organisation can be given."""
    handler = SentryStreamHandler()
    with capture_spans(), handler.watch() as runs:
        chain().invoke(QUESTION, {"callbacks": [handler]})
        sentry_sdk.get_client().options["dsn"] = dsn
        (found,) = runs
        expected = page and f"{page}{found.trace_id}/?node=span-{found.span_id}"
        assert found.url(base) == expected


@pytest.mark.parametrize(
    ("base", "error"),
    [(123, TypeError), (b"x", TypeError), ("acme", ValueError), ("acme.sentry.io", ValueError), ("", ValueError)],
)
def test_what_is_no_address_is_refused(base: Any, error: type[Exception]) -> None:
    """Of a name of the organisation no address could be made that leads anywhere."""
    handler = SentryStreamHandler()
    with capture_spans(), handler.watch() as runs:
        chain().invoke(QUESTION, {"callbacks": [handler]})
    with pytest.raises(error, match=r"^base must be"):
        runs[0].url(base)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_tracked_stream_tells_of_its_run(shape: str) -> None:
    """Before the first pull nothing is known; then the ids; in the end the outcome and the tokens."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured, watch_runs() as runs:
        stream = track_stream(iter(["one ", "two "]), model="gpt-4o-mini")
        before, _, during, _, after = (
            stream.run_info,
            next(stream),
            stream.run_info,
            list(stream),
            stream.run_info,
        )
    span = captured.find(op="gen_ai.chat")
    assert before is None
    assert during is not None
    assert after is not None
    assert (during.span_id, during.outcome) == (span.span_id, None)
    assert (after.span_id, after.outcome, after.output_tokens) == (span.span_id, "completed", 2)
    assert (during.model_calls, after.model_calls, after.cost) == (0, 1, None)
    assert list(runs) == [after]


def test_a_run_may_end_while_another_one_is_added() -> None:
    """Garbage collection may end a run at any point, also where a block learns of the end of another one."""
    handler = SentryStreamHandler()

    class Collecting(watches.WatchedRuns):
        """At whose first question garbage is collected, and ends a run."""

        asked = False

        @property
        def _open(self) -> bool:
            if not self.asked:
                self.asked = True
                chain().invoke(QUESTION, {"callbacks": [handler]})
            return True

        @_open.setter
        def _open(self, value: bool) -> None:
            pass

    def work() -> None:
        with Collecting() as runs:
            chain().invoke(QUESTION, {"callbacks": [handler]})
            found.append(len(runs))

    found: list[int] = []
    with capture_spans():
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(10)  # with a lock it would wait for ever
    assert found == [2]


def test_a_call_that_starts_as_its_chain_ends_is_counted_once() -> None:
    """A call in a thread that nobody waits for may start when the chain around it has just ended."""
    starting, ended = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def redact(text: str) -> str:
        if threading.current_thread() in threads and not starting.is_set():
            starting.set()
            assert ended.wait(HANG)
        return text

    def start(question: str, config: Any) -> str:
        thread = threading.Thread(target=lambda: ScriptedModel().invoke(question, config))
        threads.append(thread)
        thread.start()
        assert starting.wait(HANG)
        return question

    def wait(question: str) -> str:
        ended.set()
        threads[0].join(HANG)
        return question

    handler = SentryStreamHandler(redact=redact)
    with capture_spans(**content_allowed(True)), handler.watch() as runs:
        (RunnableLambda(start) | RunnableLambda(wait)).invoke("Hi", {"callbacks": [handler]})
    assert [(run.kind, run.model_calls) for run in runs] == [("pipeline", 1)]


def test_the_latest_runs_are_known_though_their_ids_were_used_before() -> None:
    """Of the many that have ended it is the oldest that is forgotten, by the last time that its id was used."""
    handler, again = SentryStreamHandler(), uuid4()
    with capture_spans():
        for number in range(known_runs._MOST + 2):
            config: Any = {"callbacks": [handler]}
            if number in (0, known_runs._MOST):
                config["run_id"] = again
            RunnableLambda(str).invoke("Hi", config)
        assert handler.run_info(again) is not None


def test_a_tracked_stream_knows_its_run_however_many_have_ended_since() -> None:
    """What a stream of the application's own tells of its run stays with the stream."""
    with capture_spans():
        stream = track_stream(iter(["one"]), model="m")
        list(stream)
        for _ in range(known_runs._MOST + 1):
            list(track_stream(iter(["one"]), model="m"))
        assert stream.run_info is not None


async def test_a_run_is_found_by_the_text_of_its_id() -> None:
    """An id that came as JSON or in a header is a text; what is no id is refused."""
    handler, run_id = SentryStreamHandler(), uuid4()
    with capture_spans():
        chain().invoke(QUESTION, {"callbacks": [handler], "run_id": run_id})
    found = handler.run_info(run_id)
    assert found is not None
    for text in (str(run_id), run_id.hex, f" {str(run_id).upper()} "):
        assert handler.run_info(text) == found
    assert handler.run_info(str(uuid4())) is None
    with pytest.raises(ValueError, match="run_id must be a UUID, not 'first'"):
        handler.run_info("first")
    with pytest.raises(TypeError, match="run_id must be a UUID or the text of one, not int"):
        handler.run_info(cast(Any, 5))
