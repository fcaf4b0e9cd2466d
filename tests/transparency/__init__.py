"""LangChain's and LangGraph's own unit tests, with and without the handler: `make transparency`.

See `docs/transparency.md`.
"""
