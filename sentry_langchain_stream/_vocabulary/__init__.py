"""Vocabulary: the attribute keys of both dialects, span ops and span names, and the names of providers."""
