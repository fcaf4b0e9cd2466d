"""Tests of the demo, the command line and the examples."""
