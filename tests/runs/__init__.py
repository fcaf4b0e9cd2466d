"""Tests of `_runs`: runs, model calls, usage, prices and attributes."""
