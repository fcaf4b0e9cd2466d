"""Whole applications to read and to run."""
