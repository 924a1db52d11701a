"""Prices of a network in clear, layer by layer.

Array:  latency = max(compute, DRAM);  compute = MACs / (clock * MACs per cycle * utilization);
        energy  = MACs * (MAC with registers + buffer traffic) + DRAM bytes * energy a byte + static power * latency.
        Every layer reads its inputs and weights from DRAM once and writes its outputs there (layer-by-layer execution).
CPU:    latency = max(MACs and element-wise operations, weights from memory) + one call a layer;
        energy  = core power * latency.
        A dense float32 kernel multiplies zeros too.
"""

from __future__ import annotations

from hwmodel.architecture import CpuSeal, PlainArray
from hwmodel.band import Band, exactly, larger
from hwmodel.cost import LayerCost, no_cost
from hwmodel.counts import FLOAT_BITS, LayerWork, PlainWorkload

MS_PER_S = 1e3
MJ_PER_PJ = 1e-9


def price_array(workload: PlainWorkload, array: PlainArray) -> tuple[LayerCost, ...]:
    """Cost of every layer on an accelerator array."""
    return tuple(no_cost(layer.layer) if layer.idle else _array_layer(layer, array) for layer in workload.layers)


def array_dram_bytes(work: LayerWork, array: PlainArray) -> float:
    """DRAM traffic of one layer: inputs, weights and biases in, outputs out, in the array's operand width."""
    operand_bits = array.operand_bits.value
    weight_bits = (
        min(work.packed_bits, work.weights * operand_bits) if array.packs_weights.value else work.weights * operand_bits
    )
    return ((work.inputs + work.outputs + work.biases) * operand_bits + weight_bits) / 8


def _array_layer(work: LayerWork, array: PlainArray) -> LayerCost:
    macs = exactly((work.nonzero_macs if array.skips_zero_weights.value else work.macs) + work.elementwise)
    dram_bytes = exactly(array_dram_bytes(work, array))
    rate = array.clock_hz.band * array.macs_per_cycle.band * array.utilization.band
    compute_ms = macs / rate * MS_PER_S
    dram_ms = dram_bytes / array.dram_bytes_per_s.band * MS_PER_S
    latency_ms = larger(compute_ms, dram_ms)
    energies = {
        "multiply-accumulate": macs * array.mac_energy_pj.band * MJ_PER_PJ,
        "buffer": macs * array.buffer_bytes_per_mac.band * array.buffer_energy_pj.band * MJ_PER_PJ,
        "DRAM": dram_bytes * array.dram_energy_pj.band * MJ_PER_PJ,
        "static": latency_ms * array.static_power_w.band,  # ms * W = mJ
    }
    return LayerCost.of(
        work.layer, latency_ms, {"compute": compute_ms.value, "DRAM": latency_ms.value - compute_ms.value}, energies
    )


def price_cpu(workload: PlainWorkload, cpu: CpuSeal) -> tuple[LayerCost, ...]:
    """Cost of every layer in float32 on one core."""
    return tuple(no_cost(layer.layer) if layer.idle else _cpu_layer(layer, cpu) for layer in workload.layers)


def _cpu_layer(work: LayerWork, cpu: CpuSeal) -> LayerCost:
    compute_ms = (cpu.mac_ns.band * work.macs + cpu.elementwise_ns.band * work.elementwise) * 1e-6
    weight_bytes = exactly((work.weights + work.biases) * FLOAT_BITS / 8)
    busy_ms = larger(compute_ms, weight_bytes / cpu.memory_bytes_per_s.band * MS_PER_S)
    call_ms = cpu.layer_call_us.band * 1e-3
    latency_ms: Band = busy_ms + call_ms
    parts = {"compute": compute_ms.value, "memory": busy_ms.value - compute_ms.value, "calls": call_ms.value}
    return LayerCost.of(work.layer, latency_ms, parts, {"core": latency_ms * cpu.core_power_w.band})
