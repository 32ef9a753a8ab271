"""Measured claims, each beside a peer in the same run; results stand in ``benchmarks/results``."""
