"""Tests of the project itself: its documentation, architecture, packaging, benchmarks and notebooks."""
