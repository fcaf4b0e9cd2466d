"""What the chunks of the providers' own client libraries mean, without importing any of them."""
