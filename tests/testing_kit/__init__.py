"""Tests of the public `testing` package and of the pytest plugin."""
