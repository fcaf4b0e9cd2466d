"""Tests of `_runtime`: failures of ours are contained."""
