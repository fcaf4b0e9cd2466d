"""Content: what may be recorded and how much of it, and the shape of messages, media, tools and labels."""
