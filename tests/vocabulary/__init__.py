"""Tests of `_vocabulary`: attribute keys, span names and providers."""
