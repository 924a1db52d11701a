"""The work of a plan for throughput by layer, for one block of images, counted from its steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from secure.coded.plan import FRESH_PARTS, BatchPlan, Linear, Product, Quadratic, Select, Step, Sum
from secure.residues.times import BlockTime, predicted_ms


@dataclass(frozen=True, kw_only=True)
class BatchLayerWork:
    """One layer at one position of one prime; the numbers are whole.

    multiply_adds: codes that are not zero, times residues. products: other modular products. additions: other modular
    additions. read, written: residues. codes: numbers of the layer's matrices.
    """

    layer: str
    multiply_adds: int = 0
    products: int = 0
    additions: int = 0
    read: int = 0
    written: int = 0
    codes: int = 0


@dataclass(frozen=True, kw_only=True)
class BatchWorkload:
    """A block's work. layers: in the order of first appearance. images: of a full block. log2_q: bits of the modulus.

    inputs, outputs: residues of one position and prime that a block brings and takes away. core_time: of the kernels of
    one core (`secure.residues.times`), for a whole block.
    """

    poly_modulus_degree: int
    images: int
    primes: int
    log2_q: float
    layers: tuple[BatchLayerWork, ...]
    inputs: int
    outputs: int
    core_time: BlockTime


def batch_workload(plan: BatchPlan) -> BatchWorkload:
    """The work of one full block.

    Raises: PlanError for a layer that no core runs exactly.
    """
    parts = plan.parts
    features = [plan.inputs, *(step.features for step in plan.steps)]
    layers: dict[str, BatchLayerWork] = {}
    for value, step in enumerate(plan.steps, start=1):
        before = layers.get(step.layer, BatchLayerWork(layer=step.layer))
        read = sum(features[source] * parts[source] for source in step.sources)
        found = _counted(step, [parts[source] for source in step.sources])
        layers[step.layer] = replace(
            before,
            multiply_adds=before.multiply_adds + found.multiply_adds,
            products=before.products + found.products,
            additions=before.additions + found.additions,
            codes=before.codes + found.codes,
            read=before.read + read,
            written=before.written + step.features * parts[value],
        )
    return BatchWorkload(
        poly_modulus_degree=plan.params.poly_modulus_degree,
        images=plan.params.slots,
        primes=plan.params.levels,
        log2_q=plan.params.log2_qp,
        layers=tuple(layers.values()),
        inputs=plan.inputs * FRESH_PARTS,
        outputs=plan.outputs * parts[-1],
        core_time=predicted_ms(plan),
    )


def _counted(step: Step, parts: list[int]) -> BatchLayerWork:
    """One step at one position and prime. parts: of its sources."""
    features = step.features
    match step:
        case Linear():
            return BatchLayerWork(
                layer=step.layer, multiply_adds=step.nonzeros * parts[0], additions=features, codes=step.nonzeros
            )
        case Quadratic():
            pairs = parts[0] * (parts[0] + 1) // 2
            scaled = int(np.count_nonzero(step.square != 1)) * (2 * parts[0] - 1)
            linear = int(np.count_nonzero(step.linear)) * parts[0]
            sums = features * (pairs - (2 * parts[0] - 1)) + linear + features
            return BatchLayerWork(layer=step.layer, products=features * pairs + scaled + linear, additions=sums)
        case Product():
            pairs = features * parts[0] * parts[1]
            sums = pairs - features * (parts[0] + parts[1] - 1)
            return BatchLayerWork(layer=step.layer, products=pairs, additions=sums)
        case Sum():
            scaled = sum(
                int(np.count_nonzero(np.abs(row) != 1)) * count for row, count in zip(step.factors, parts, strict=True)
            )
            return BatchLayerWork(layer=step.layer, products=scaled, additions=features * (sum(parts) - max(parts)))
        case Select():
            return BatchLayerWork(
                layer=step.layer, products=int(np.count_nonzero(np.abs(step.factors) != 1)) * max(parts)
            )
    raise TypeError(f"{type(step).__name__} is no step of a plan")
