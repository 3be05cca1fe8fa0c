"""Parts of the benchmarks: the rows, every rule here and in the peers, clocks, memory, command lines, and the page."""
