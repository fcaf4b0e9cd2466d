"""Tests of whole runs: real LangChain on one side, what Sentry receives on the other."""
