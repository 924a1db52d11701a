"""Quadratic networks with random weights, and rows of inputs of several distributions, for tests of error bounds."""

from benchmarks.promise_networks import network, rows

__all__ = ["network", "rows"]
