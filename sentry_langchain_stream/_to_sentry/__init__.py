"""Sends to Sentry: both span models, the active span, issues and metrics. Avoids duplicates of other integrations."""
