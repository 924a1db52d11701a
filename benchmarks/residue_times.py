"""The times of the kernels of a throughput plan on this machine, fitted, and how well they predict whole networks.

    python -m benchmarks.residue_times

The networks are not part of the fit; they are predicted by the fitted times.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from benchmarks.batch_networks import conv_network, dense_layers
from cipherpress.timing.residue_kernels import NAMES, ResidueCase, measure_residues, plan_ms, residue_cases
from secure.residues.times import predicted_ms

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
    found = measure_residues(cases, ROUNDS)
    sys.stdout.write("fitted: " + ", ".join(f"{name}={getattr(found.times, name):.3g}" for name in NAMES) + "\n")
    _report(cases, found.measured_ms, found.predicted_ms)
    predicted = {name: predicted_ms(case.plan, times=found.times).total_ms for name, case in nets.items()}
    _report(nets, plan_ms(nets, ROUNDS), predicted)


def _report(cases: Mapping[str, ResidueCase], measured: Mapping[str, float], predicted: Mapping[str, float]) -> None:
    for name, case in cases.items():
        rate = case.plan.params.slots / measured[name] * 1e3
        sys.stdout.write(
            f"{name:<42} {measured[name]:8.2f} ms, predicted {predicted[name]:8.2f} "
            f"({predicted[name] / measured[name]:.2f}), {rate:8.0f} images/s\n"
        )


if __name__ == "__main__":
    main()
