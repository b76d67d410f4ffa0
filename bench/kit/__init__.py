"""What the benchmarks share: measuring, peers, and one way to print."""
