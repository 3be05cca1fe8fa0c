"""Parts of scripts/bench_rules.py: the rows, every rule here and in the peers, clocks, memory, and the page."""
