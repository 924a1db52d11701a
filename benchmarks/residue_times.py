"""The times of the kernels of a throughput plan on this machine, fitted, and how well they predict whole networks.

    python -m benchmarks.residue_times

The networks are not part of the fit; they are timed in the same rounds and predicted by the fitted times.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from benchmarks.batch_networks import conv_network, dense_layers
from cipherpress.timing.residue_kernels import NAMES, ResidueCase, measure_residues, residue_cases

ROUNDS = 15


def networks() -> Mapping[str, ResidueCase]:
    """Networks whose times are predicted."""
    mlp, lenet300 = (784, 64, 10), (784, 300, 100, 10)
    return {
        "784-64-10": ResidueCase(dense_layers(mlp, 1.0)),
        "784-64-10, 15 % left": ResidueCase(dense_layers(mlp, 0.15)),
        "784-64-10, 10 % left": ResidueCase(dense_layers(mlp, 0.10)),
        "784-64-10, 5 % left": ResidueCase(dense_layers(mlp, 0.05)),
        "784-300-100-10, two primes": ResidueCase(dense_layers(lenet300, 1.0, (41, 41), 4096)),
        "784-300-100-10, 3 % left, two primes": ResidueCase(dense_layers(lenet300, 0.03, (41, 41), 4096)),
        "784-300-100-10, 3 % left, three primes": ResidueCase(dense_layers(lenet300, 0.03, (35, 35, 35), 4096)),
        "two convolutions, 15 % left, five primes": ResidueCase(conv_network(0.15, (41,) * 5, 8192)),
    }


def main() -> None:
    """Print the fitted times, and predictions beside measurements."""
    cases, nets = residue_cases(), networks()
    found = measure_residues(cases, ROUNDS, nets)
    sys.stdout.write("fitted: " + ", ".join(f"{name}={getattr(found.times, name):.3g}" for name in NAMES) + "\n")
    for name, case in {**cases, **nets}.items():
        measured, predicted = found.measured_ms[name], found.predicted_ms[name]
        sys.stdout.write(
            f"{name:<42} {measured:8.2f} ms, predicted {predicted:8.2f} ({predicted / measured:.2f}), "
            f"{case.plan.params.slots / measured * 1e3:8.0f} images/s\n"
        )


if __name__ == "__main__":
    main()
