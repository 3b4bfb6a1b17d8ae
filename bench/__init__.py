"""Benchmarks: `python -m bench.run`, `python -m bench.queries`, `python -m bench.peers`."""
