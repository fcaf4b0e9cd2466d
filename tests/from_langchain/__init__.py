"""Tests of `_from_langchain`: what LangChain's events and payloads mean."""
