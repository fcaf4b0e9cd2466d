"""A book of real payloads: what providers send, read by their own packages, and what the span then has to say."""
