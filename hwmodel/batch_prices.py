"""Prices of a plan for throughput, layer by layer, of one image of a full block.

cpu-engine: the times of the kernels as `secure.residues.times` predicts them, from residues in memory to residues in
    memory, on one thread. Reading and writing messages is not among them.
accelerator: derived, since no such machine has run such a plan. Integers may be computed modulo any primes, so the
    machine takes as many of its own words as the modulus has bits. Every multiply-add is a product and an addition.
    low   Computation alone, at full occupancy; the busiest unit hides all others.
    value max(busiest unit / occupancy, bytes over the bus / bandwidth), and the sum where all units are the same lanes.
          Only what a block brings and takes away crosses the bus, with the codes.
    high  The units work one after the other, every value of every layer crosses the bus, and nothing overlaps.
"""

from __future__ import annotations

from math import ceil

from hwmodel.architecture import CkksAccelerator, CpuEngine
from hwmodel.band import Band, exactly
from hwmodel.batch_counts import BatchLayerWork, BatchWorkload
from hwmodel.ckks import MJ_PER_PJ, MS_PER_S, WORDS_PER_OPERATION, busiest
from hwmodel.cost import LayerCost

#: Bytes of a code as an accelerator stores it, with its place in the row.
CODE_BYTES = 4
#: The layer that stands for a block's way into the machine and out of it.
MESSAGES = "input and output"


def price_batch_core(workload: BatchWorkload, cpu: CpuEngine) -> tuple[LayerCost, ...]:
    """Cost of every layer on one core. The band is that of the core's speed, as its other kernels have it."""
    speed = cpu.kernels["product_ns"].band
    band = Band(1.0, speed.low / speed.value, speed.high / speed.value)
    times = {**workload.core_time.layers_ms, MESSAGES: workload.core_time.moved_ms}
    costs = []
    for layer, block_ms in times.items():
        latency_ms = band * (block_ms / workload.images)
        energies = {"core": latency_ms * cpu.core_power_w.band}
        costs.append(LayerCost.of(layer, latency_ms, {"kernels": latency_ms.value}, energies))
    return tuple(costs)


def price_batch_accelerator(workload: BatchWorkload, machine: CkksAccelerator) -> tuple[LayerCost, ...]:
    """Cost of every layer on a CKKS accelerator."""
    ends = BatchLayerWork(layer=MESSAGES, read=workload.inputs, written=workload.outputs)
    layers = [_layer(layer, workload, machine, crosses=0) for layer in workload.layers]
    return (*layers, _layer(ends, workload, machine, crosses=ends.read + ends.written))


def batch_words(workload: BatchWorkload, machine: CkksAccelerator) -> int:
    """Machine words that carry one residue modulo the whole modulus."""
    return ceil(workload.log2_q / machine.word_bits.value)


def _layer(layer: BatchLayerWork, workload: BatchWorkload, machine: CkksAccelerator, *, crosses: int) -> LayerCost:
    """crosses: residues of one position that cross the bus in any case."""
    words = batch_words(workload, machine) * workload.poly_modulus_degree / workload.images  # of one image
    word_bytes = machine.word_bits.value / 8
    products, additions = layer.multiply_adds + layer.products, layer.multiply_adds + layer.additions
    units_ms = [
        exactly(count * words) / per_cycle.band / machine.clock_hz.band * MS_PER_S
        for count, per_cycle in ((products, machine.products_per_cycle), (additions, machine.additions_per_cycle))
    ]
    compute_ms = busiest(units_ms, machine)
    codes_bytes = layer.codes * CODE_BYTES / workload.images
    moved = crosses * words * word_bytes + codes_bytes
    all_moved = max(moved, (layer.read + layer.written) * words * word_bytes + codes_bytes)
    moved_bytes = Band(moved, 0.0, all_moved)
    bus_ms = moved_bytes / machine.memory_bytes_per_s.band * MS_PER_S
    busy_ms = compute_ms.value / machine.occupancy.value
    value_ms = busy_ms + bus_ms.value if machine.shared_units.value else max(busy_ms, bus_ms.value)
    high_ms = sum(unit.high for unit in units_ms) / machine.occupancy.low + bus_ms.high
    latency_ms = Band(value_ms, compute_ms.low, max(high_ms, value_ms))
    touched_bytes = (products + additions) * WORDS_PER_OPERATION * words * word_bytes
    energies = {
        "modular products": machine.product_energy_pj.band * (products * words * MJ_PER_PJ),
        "on-chip memory": machine.on_chip_energy_pj.band * (touched_bytes * MJ_PER_PJ),
        "memory": moved_bytes * machine.memory_energy_pj.band * MJ_PER_PJ,
        "static": latency_ms * machine.static_power_w.band,  # ms * W = mJ
    }
    parts = {"compute": busy_ms, "memory": value_ms - busy_ms}
    return LayerCost.of(
        layer.layer, latency_ms, parts, energies, operations=products * words, moved_bytes=moved_bytes.value
    )
