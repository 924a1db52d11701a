"""Prices of a network in clear, layer by layer.

Array:  compute = MACs / (clock * MACs per cycle * filled share);
        on chip = max(compute, buffer traffic) / utilization, because units and buffer both wait while a pass is loaded;
        latency = max(on chip, DRAM) + the part of the smaller one that double buffering does not hide + one call per
        layer;
        energy  = MACs + buffer traffic + DRAM traffic + requantizations + static power * latency.
        Zero weights, narrow weights and power-of-two steps save something only where the machine's file says so.
CPU:    latency = max(MACs and element-wise operations, weights from memory) + one call per layer;
        energy  = core power * latency.
        A dense float32 kernel multiplies zeros too.
"""

from __future__ import annotations

from collections.abc import Mapping

from compress.errors import CostModelError
from hwmodel.architecture import CpuSeal, PlainArray
from hwmodel.band import Band, exactly, larger, smaller
from hwmodel.cost import LayerCost, no_cost
from hwmodel.counts import BLOCK_SIZES, FLOAT_BITS, LayerWork, PlainWorkload
from hwmodel.mapping import fill, stored_weight_share, tiled_traffic_bytes

MS_PER_S = 1e3
MJ_PER_PJ = 1e-9


def price_array(
    workload: PlainWorkload, array: PlainArray, images: int = 1, buffer_bytes: Mapping[str, float] | None = None
) -> tuple[LayerCost, ...]:
    """Cost per image of every layer on an accelerator array, when `images` go through a layer together.

    buffer_bytes: buffer traffic per image and layer, where that of the machine's own mapping is known. Without it, the
    machine's bytes per MAC are used.
    """
    stored, known = stores_weights(workload, array), buffer_bytes or {}
    return tuple(
        no_cost(layer.layer)
        if layer.idle
        else _array_layer(layer, array, images, weights_stored=stored, buffer_bytes=known.get(layer.layer))
        for layer in workload.layers
    )


def stores_weights(workload: PlainWorkload, array: PlainArray) -> bool:
    """True when all weights of the network fit in the array's own store, so that none comes from DRAM."""
    return sum(_weight_bytes(layer, array) for layer in workload.layers) <= array.weight_store_bytes.value


def array_dram_bytes(work: LayerWork, array: PlainArray, images: int = 1, *, weights_stored: bool = False) -> float:
    """DRAM traffic of one layer for all images together: inputs, weights and biases in, outputs out."""
    value_bytes = array.operand_bits.value / 8
    input_bytes = images * work.inputs * value_bytes
    if array.zero_run_bits.value:
        input_bytes = min(input_bytes, images * (work.inputs - work.zero_inputs) * array.zero_run_bits.value / 8)
    output_bytes = images * work.outputs * value_bytes
    if array.keeps_activations.value and input_bytes + output_bytes <= array.buffer_bytes.value:
        input_bytes = output_bytes = 0.0
    return tiled_traffic_bytes(
        work,
        input_bytes=input_bytes,
        weight_bytes=0.0 if weights_stored else _weight_bytes(work, array),
        output_bytes=output_bytes + work.biases * value_bytes,
        tile_values=array.buffer_bytes.value / value_bytes,
        images=images,
    )


def _weight_bytes(work: LayerWork, array: PlainArray) -> float:
    """Bytes of a layer's weights as the machine stores them."""
    native_bits = work.weights * array.operand_bits.value
    bits = min(work.packed_bits, native_bits) if array.packs_weights.value else native_bits
    return bits / 8 / stored_weight_share(work, array)


def computed_share(work: LayerWork, array: PlainArray) -> float:
    """Share of the MACs that the machine computes after skipping the zero weights or blocks that it can skip.

    Raises: CostModelError for a block size that layers are not counted at.
    """
    granularity = int(array.skip_granularity.value)
    if granularity == 0 or work.macs == 0:
        return 1.0
    if granularity == 1:
        return work.nonzero_macs / work.macs
    if granularity not in BLOCK_SIZES:
        raise CostModelError(
            f"architecture '{array.name}': skip_granularity: got {granularity}; "
            f"allowed: 0, 1, {', '.join(map(str, BLOCK_SIZES))}"
        )
    return work.kept_weights[BLOCK_SIZES.index(granularity)] / work.weights if work.kept_weights else 1.0


def width_share(work: LayerWork, array: PlainArray) -> float:
    """Time and energy of a MAC relative to the native width; below 1 only where units split for narrower weights."""
    narrowest, native = array.smallest_bits.value, array.operand_bits.value
    width = narrowest
    while width < min(work.weight_bits, native):
        width *= 2
    return min(1.0, width / native)


def _array_layer(
    work: LayerWork, array: PlainArray, images: int, *, weights_stored: bool, buffer_bytes: float | None
) -> LayerCost:
    share, width = computed_share(work, array), width_share(work, array)
    rate = array.clock_hz.band * array.macs_per_cycle.band * array.utilization.band
    slowed = smaller(exactly(1.0), exactly(share) / array.skip_efficiency.band)
    slots = slowed * (work.macs * width / fill(work, array)) + exactly(work.elementwise)
    compute_ms = slots / rate * MS_PER_S
    done = work.macs * share * width + work.elementwise
    buffered = array.buffer_bytes_per_mac.band * done if buffer_bytes is None else exactly(buffer_bytes)
    buffer_ms = buffered / (array.buffer_bytes_per_s.band * array.utilization.band) * MS_PER_S
    on_chip_ms = larger(compute_ms, buffer_ms)
    dram_bytes = exactly(array_dram_bytes(work, array, images, weights_stored=weights_stored) / images)
    dram_ms = dram_bytes / array.dram_bytes_per_s.band * MS_PER_S
    exposed_ms = smaller(on_chip_ms, dram_ms) * array.dram_overlap.band.complement
    call_ms = array.layer_call_us.band * (1e-3 / images)
    latency_ms = larger(on_chip_ms, dram_ms) + exposed_ms + call_ms
    latency_parts = {
        "compute": compute_ms.value,
        "buffer": on_chip_ms.value - compute_ms.value,
        "DRAM": latency_ms.value - on_chip_ms.value - call_ms.value,
        "calls": call_ms.value,
    }
    zero_share = work.zero_inputs / work.inputs if work.inputs else 0.0
    ungated = (array.gated_share.band * zero_share).complement
    shifts = array.shifts_requantize.value and work.power_of_two_steps
    requantize_pj = (array.shift_energy_pj if shifts else array.requantize_energy_pj).band
    energies = {
        "multiply-accumulate": array.mac_energy_pj.band * ungated * (done * MJ_PER_PJ),
        "buffer": buffered * array.buffer_energy_pj.band * MJ_PER_PJ,
        "DRAM": dram_bytes * array.dram_energy_pj.band * MJ_PER_PJ,
        "requantization": requantize_pj * ((work.outputs if work.macs else 0) * MJ_PER_PJ),
        "static": latency_ms * array.static_power_w.band,  # ms * W = mJ
    }
    return LayerCost.of(work.layer, latency_ms, latency_parts, energies, operations=done, moved_bytes=dram_bytes.value)


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
