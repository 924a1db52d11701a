"""Validation rows of machines for networks in clear: Eyeriss on AlexNet and VGG-16, TPU v1 on its six applications."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

from benchmarks.costmodel_row import CALIBRATION, HELD_OUT, Row
from hwmodel.architecture import PlainArray
from hwmodel.architecture_file import load_architecture
from hwmodel.cost import LayerCost
from hwmodel.counts import LayerWork, PlainWorkload
from hwmodel.plain import array_dram_bytes, price_array
from hwmodel.shapes import shape_workload

EYERISS = "Eyeriss, JSSC 2017, AlexNet, batch 4"
EYERISS_VGG = "Eyeriss, JSSC 2017, VGG-16, batch 3"
LAYERS, TRAFFIC, NETWORKS = "Eyeriss, layers", "Eyeriss, DRAM traffic", "Eyeriss, networks"
TPU = "TPU v1, applications"
#: Layer: total ms, mW, DRAM MB, share of zero inputs (layer values recalled; their sums checked in the paper's text).
ALEXNET = {
    "CONV1": (20.9, 332, 5.0, 0.0001),
    "CONV2": (41.9, 288, 4.0, 0.387),
    "CONV3": (23.6, 266, 3.0, 0.725),
    "CONV4": (18.4, 235, 2.1, 0.793),
    "CONV5": (10.5, 236, 1.3, 0.776),
}
#: The same for the convolutions of VGG-16, and MB of global-buffer accesses (recalled). Total time, mean power and DRAM
#: traffic are from the paper's text: 0.7 frames/s, 236 mW, 321.1 MB.
VGG = {
    "conv1_1": (76.2, 247, 15.4, 0.016, 112.6),
    "conv1_2": (910.3, 218, 54.0, 0.477, 2402.8),
    "conv2_1": (470.3, 242, 33.4, 0.248, 1201.4),
    "conv2_2": (894.3, 231, 48.5, 0.387, 2402.8),
    "conv3_1": (241.1, 254, 20.2, 0.397, 607.4),
    "conv3_2": (460.9, 235, 32.2, 0.581, 1214.8),
    "conv3_3": (457.7, 233, 30.8, 0.587, 1214.8),
    "conv4_1": (135.8, 278, 17.8, 0.643, 321.8),
    "conv4_2": (254.8, 261, 28.6, 0.747, 643.7),
    "conv4_3": (246.3, 240, 22.8, 0.854, 643.7),
    "conv5_1": (54.3, 258, 6.3, 0.794, 90.0),
    "conv5_2": (53.7, 236, 5.7, 0.874, 90.0),
    "conv5_3": (53.7, 230, 5.6, 0.885, 90.0),
}
ALEXNET_BATCH, VGG_BATCH = 4, 3
VGG_NOTE = (
    "zeros and buffer accesses of each layer are the published ones; "
    "the chip's mapping of large feature maps is not known"
)
#: Application: MACs per weight byte, published TOPS, batch, weights in millions (arXiv 1704.04760, text read).
TPU_APPLICATIONS = {
    "MLP0": (200, 12.3, 200, 20),
    "MLP1": (168, 9.7, 168, 5),
    "LSTM0": (64, 3.7, 64, 52),
    "LSTM1": (96, 2.8, 96, 34),
    "CNN0": (2888, 86.0, 8, 8),
    "CNN1": (1750, 14.1, 32, 100),
}
#: Side of the square matrices, where the paper's text gives it (recalled).
TPU_SIDES = {"LSTM1": 600}
TPU_NOTES = {
    "LSTM1": "matrices of 600 x 600 in tiles of 256 x 256; dependences between steps are not in a roofline",
    "CNN1": "half its MACs unused and 35 % of cycles waiting on weights of four dense layers; "
    "its layers are not published",
}


def plain_rows() -> Iterator[Row]:
    """Every row of machines that run networks in clear."""
    eyeriss = cast(PlainArray, load_architecture("eyeriss"))
    yield from _alexnet_rows(eyeriss)
    yield from _vgg_rows(eyeriss)
    yield from _tpu_rows(cast(PlainArray, load_architecture("tpu-v1")))


def alexnet() -> PlainWorkload:
    """The five convolutions with the published shares of zero inputs."""
    return _with_zeros("alexnet", {layer: zeros for layer, (_, _, _, zeros) in ALEXNET.items()})


def _with_zeros(shape: str, zero_shares: Mapping[str, float]) -> PlainWorkload:
    layers = (layer for layer in shape_workload(shape).layers if layer.layer in zero_shares)
    return PlainWorkload(
        tuple(replace(layer, zero_inputs=int(layer.inputs * zero_shares[layer.layer])) for layer in layers)
    )


def _alexnet_rows(array: PlainArray) -> Iterator[Row]:
    workload = alexnet()
    costs = price_array(workload, array, ALEXNET_BATCH)
    for layer, cost in zip(workload.layers, costs, strict=True):
        use = CALIBRATION if layer.layer == "CONV1" else HELD_OUT
        yield from _layer_rows("AlexNet", layer, cost, array, ALEXNET_BATCH, ALEXNET[layer.layer][:3], EYERISS, use=use)
    yield from _network_rows("AlexNet CONV1-5", costs, 34.7, 278, EYERISS)


def _vgg_rows(array: PlainArray) -> Iterator[Row]:
    workload = _with_zeros("vgg16", {layer: values[3] for layer, values in VGG.items()})
    buffer_bytes = {layer: values[4] * 1e6 / VGG_BATCH for layer, values in VGG.items()}
    costs = price_array(workload, array, VGG_BATCH, buffer_bytes)
    for layer, cost in zip(workload.layers, costs, strict=True):
        yield from _layer_rows("VGG-16", layer, cost, array, VGG_BATCH, VGG[layer.layer][:3], EYERISS_VGG)
    yield from _network_rows("VGG-16 CONV", costs, 0.7, 236, EYERISS_VGG, VGG_NOTE)
    dram_mb = sum(array_dram_bytes(layer, array, VGG_BATCH) for layer in workload.layers) * 1e-6
    yield _row(NETWORKS, "VGG-16 CONV", "DRAM traffic", "MB", 321.1, dram_mb, HELD_OUT, EYERISS_VGG, "source read")


def _layer_rows(
    network: str, layer: LayerWork, cost: LayerCost, array: PlainArray, batch: int,
    published: tuple[float, float, float], source: str, use: str = HELD_OUT,
) -> Iterator[Row]:  # fmt: skip
    """Time, the chip's energy and DRAM traffic of one layer; published: total ms, mW, MB of the batch."""
    total_ms, power_mw, dram_mb = published
    chip_mj = (cost.energy_mj.value - cost.energy_parts["DRAM"]) * batch
    latency_ms, moved_mb = cost.latency_ms.value * batch, array_dram_bytes(layer, array, batch) * 1e-6
    name, published_mj = f"{network} {layer.layer}", total_ms * power_mw * 1e-3
    yield _row(LAYERS, name, "latency", "ms", total_ms, latency_ms, use, source, "recalled")
    yield _row(LAYERS, name, "energy of the chip", "mJ", published_mj, chip_mj, use, source, "recalled")
    yield _row(TRAFFIC, name, "DRAM traffic", "MB", dram_mb, moved_mb, HELD_OUT, source, "recalled")


def _network_rows(
    name: str, costs: Sequence[LayerCost], images_per_s: float, power_mw: float, source: str, note: str = ""
) -> Iterator[Row]:
    """Rate and the chip's mean power over all layers."""
    rate = 1e3 / sum(cost.latency_ms.value for cost in costs)
    chip_mj = sum(cost.energy_mj.value - cost.energy_parts["DRAM"] for cost in costs)
    yield _row(NETWORKS, name, "rate", "image/s", images_per_s, rate, HELD_OUT, source, "source read", note)
    yield _row(NETWORKS, name, "power", "mW", power_mw, chip_mj * rate, HELD_OUT, source, "source read", note)


def _tpu_rows(array: PlainArray) -> Iterator[Row]:
    for name, (intensity, published, batch, weights_m) in TPU_APPLICATIONS.items():
        weights = int(weights_m * 1e6)
        side = TPU_SIDES.get(name, int(weights**0.5))
        layer = LayerWork(
            layer=name, macs=weights * intensity // batch, nonzero_macs=weights * intensity // batch, weights=weights,
            nonzeros=weights, weight_bits=8, channels=side, fan_in=side,
            outputs=weights // side * max(1, intensity // batch),
        )  # fmt: skip
        (cost,) = price_array(PlainWorkload((layer,)), array, batch)
        tops = 2 * layer.macs / (cost.latency_ms.value * 1e-3) * 1e-12
        yield _row(
            TPU, name, "throughput", "TOPS", published, tops, HELD_OUT, "TPU v1, ISCA 2017, arXiv 1704.04760",
            "source read; 34 GB/s recalled", TPU_NOTES.get(name, ""),
        )  # fmt: skip


def _row(
    family: str, row: str, quantity: str, unit: str, published: float, modelled: float, use: str, source: str,
    mark: str, note: str = "",
) -> Row:  # fmt: skip
    return Row(
        family=family, row=row, quantity=quantity, unit=unit, published=published, modelled=modelled, use=use,
        source=source, mark=mark, note=note,
    )  # fmt: skip
