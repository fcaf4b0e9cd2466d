"""Against a running Spotlight."""
