"""The providers' own classes against a server that nobody here wrote."""
