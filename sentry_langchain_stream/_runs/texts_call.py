"""The record of a call of a model that answers without a text. Plain values only."""

from __future__ import annotations

from dataclasses import dataclass

from .call import Call
from .usage import Usage


@dataclass(slots=True, eq=False)
class TextsCall(Call):
    """A call of a model that answers without a text: an embedding model or a reranker.

    Content is present only if it may be recorded.
    """

    inputs: int | None = None
    """The number of texts to embed, or of documents to rank."""
    embedded: str | None = None
    """The texts to embed, as JSON."""
    dimensions: int | None = None
    """The length of an embedding."""
    query: str | None = None
    """The query of a reranker."""
    top: int | None = None
    """How many documents a reranker is to return at most."""
    documents: int | None = None
    """How many documents it returned."""
    found: str | None = None
    """The documents that it returned, as JSON."""
    tokens: int = 0
    """The input tokens that the provider has reported, summed over the requests of the call."""
    unreported: int = 0
    """The number of requests whose answer has no tokens."""

    def count(self, tokens: int | None, model: str | None) -> None:
        """Count a request that the provider has answered.

        Args:
            tokens: Its input tokens. 0 is taken for unknown: a model that answers has read something.
            model: The model that answered.
        """
        if tokens:
            self.tokens += tokens
        else:
            self.unreported += 1
        if model and self.response.model is None:
            self.response = self.response._replace(model=model)

    def needs_estimate(self) -> bool:
        """Whether the provider's tokens are not known for all requests."""
        return not self.tokens or self.unreported > 0

    def add_usage(self, estimate: int | None) -> None:
        """Record the tokens that the provider reported. If it reported none for any request, record the estimate."""
        if not self.needs_estimate():
            self.reported = Usage(input=self.tokens, total=self.tokens)
        elif estimate is not None:
            self.reported = Usage(input=estimate, total=estimate, source="estimate")

    def usage(self) -> Usage | None:
        """Return the recorded tokens, if there are any. There are no output tokens."""
        return self.reported
