"""What providers really send, and what the span then records."""
