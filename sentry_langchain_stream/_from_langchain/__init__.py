"""Reads LangChain's events: hooks, model calls, steps, payloads, marks and stream events."""
