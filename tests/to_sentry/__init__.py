"""Tests of `_to_sentry`: what is handed to Sentry's SDK."""
