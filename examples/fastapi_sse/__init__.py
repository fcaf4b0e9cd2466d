"""A service that streams answers, and a page to watch it."""
