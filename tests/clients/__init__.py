"""Streams of the providers' own client libraries, given to `track_stream`."""
