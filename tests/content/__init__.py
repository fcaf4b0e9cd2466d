"""Tests of `_content`: what may be recorded, in which shape, and how much of it."""
