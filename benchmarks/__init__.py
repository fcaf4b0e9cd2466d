"""What the handler costs, beside its peers. `make bench` runs it and writes `docs/performance.md`."""
