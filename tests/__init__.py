"""The tests of sentry-langchain-stream."""
