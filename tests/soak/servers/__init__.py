"""The servers' soak: the same requests with the handler and without it, in one server, while Sentry has problems."""
