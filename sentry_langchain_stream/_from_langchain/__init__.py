"""Reads LangChain's events: hooks, model calls, steps, payloads, parameters, tools, marks and stream events."""
