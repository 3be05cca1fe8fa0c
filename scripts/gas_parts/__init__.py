"""What scripts/bench_gas.py measures: `rounds` that go well, `disputes` about rounds that do not, and the `page`."""
