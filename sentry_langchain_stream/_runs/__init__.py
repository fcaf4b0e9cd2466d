"""Runs and model calls: which are live, their spans and attributes, and how each of them ends."""
