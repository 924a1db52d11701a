"""Validation rows of machines for networks in clear: Eyeriss on AlexNet and VGG-16, TPU v1 on its six applications."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

from benchmarks.costmodel_row import CALIBRATION, HELD_OUT, Row
from hwmodel.architecture import PlainArray
from hwmodel.architecture_file import load_architecture
from hwmodel.counts import LayerWork, PlainWorkload
from hwmodel.plain import array_dram_bytes, price_array
from hwmodel.shapes import shape_workload

EYERISS = "Eyeriss, JSSC 2017, AlexNet, batch 4"
EYERISS_VGG = "Eyeriss, JSSC 2017, VGG-16, batch 3"
LAYERS, NETWORKS, TPU = "Eyeriss, layers", "Eyeriss, networks", "TPU v1, applications"
#: Layer: total ms, mW, DRAM MB, share of zero inputs (cost-model notes 3.1; layer values recalled, sums checked in the text).
ALEXNET = {
    "CONV1": (20.9, 332, 5.0, 0.0001),
    "CONV2": (41.9, 288, 4.0, 0.387),
    "CONV3": (23.6, 266, 3.0, 0.725),
    "CONV4": (18.4, 235, 2.1, 0.793),
    "CONV5": (10.5, 236, 1.3, 0.776),
}
ALEXNET_BATCH, VGG_BATCH = 4, 3
#: Application: MACs per weight byte, published TOPS, batch, weights in millions (cost-model notes 3.2; text read).
TPU_APPLICATIONS = {
    "MLP0": (200, 12.3, 200, 20),
    "MLP1": (168, 9.7, 168, 5),
    "LSTM0": (64, 3.7, 64, 52),
    "LSTM1": (96, 2.8, 96, 34),
    "CNN0": (2888, 86.0, 8, 8),
    "CNN1": (1750, 14.1, 32, 100),
}
TPU_NOTES = {
    "LSTM1": "small matrices and dependences between steps are not in a roofline",
    "CNN1": "half its MACs unused and 35 % of cycles waiting on weights of four dense layers; its layers are not published",
}


def plain_rows() -> Iterator[Row]:
    """Every row of the machines in clear."""
    eyeriss = cast(PlainArray, load_architecture("eyeriss"))
    yield from _alexnet_rows(eyeriss)
    yield from _vgg_rows(eyeriss)
    yield from _tpu_rows(cast(PlainArray, load_architecture("tpu-v1")))


def alexnet() -> PlainWorkload:
    """The five convolutions with the published shares of zero inputs."""
    layers = shape_workload("alexnet").layers
    return PlainWorkload(
        tuple(replace(layer, zero_inputs=int(layer.inputs * ALEXNET[layer.layer][3])) for layer in layers)
    )


def _alexnet_rows(array: PlainArray) -> Iterator[Row]:
    workload = alexnet()
    costs = price_array(workload, array, ALEXNET_BATCH)
    for layer, cost in zip(workload.layers, costs, strict=True):
        total_ms, power_mw, dram_mb, _ = ALEXNET[layer.layer]
        use = CALIBRATION if layer.layer == "CONV1" else HELD_OUT
        chip_mj = (cost.energy_mj.value - cost.energy_parts["DRAM"]) * ALEXNET_BATCH
        for quantity, unit, published, modelled, used in (
            ("latency", "ms", total_ms, cost.latency_ms.value * ALEXNET_BATCH, use),
            ("energy of the chip", "mJ", total_ms * power_mw * 1e-3, chip_mj, use),
            ("DRAM traffic", "MB", dram_mb, array_dram_bytes(layer, array, ALEXNET_BATCH) * 1e-6, HELD_OUT),
        ):
            family = LAYERS if quantity != "DRAM traffic" else "Eyeriss, DRAM traffic"
            yield _row(family, layer.layer, quantity, unit, published, modelled, used, EYERISS, "recalled")
    fps = 1e3 / sum(cost.latency_ms.value for cost in costs)
    yield _row(NETWORKS, "AlexNet CONV1-5", "rate", "image/s", 34.7, fps, HELD_OUT, EYERISS, "source read")
    energy_mj = sum(cost.energy_mj.value - cost.energy_parts["DRAM"] for cost in costs)
    power_mw = energy_mj * fps
    yield _row(NETWORKS, "AlexNet CONV1-5", "power", "mW", 278, power_mw, HELD_OUT, EYERISS, "source read")


def _vgg_rows(array: PlainArray) -> Iterator[Row]:
    convolutions = PlainWorkload(
        tuple(layer for layer in shape_workload("vgg16").layers if layer.layer.startswith("conv"))
    )
    costs = price_array(convolutions, array, VGG_BATCH)
    fps = 1e3 / sum(cost.latency_ms.value for cost in costs)
    power_mw = sum(cost.energy_mj.value - cost.energy_parts["DRAM"] for cost in costs) * fps
    dram_mb = sum(array_dram_bytes(layer, array, VGG_BATCH) for layer in convolutions.layers) * 1e-6
    note = (
        "its passes over large feature maps are bound by the buffer; how it folds them is not in the text that was read"
    )
    for quantity, unit, published, modelled in (
        ("rate", "image/s", 0.7, fps), ("power", "mW", 236, power_mw), ("DRAM traffic", "MB", 321.1, dram_mb),
    ):  # fmt: skip
        yield _row(
            NETWORKS, "VGG-16 CONV", quantity, unit, published, modelled, HELD_OUT, EYERISS_VGG, "source read", note
        )


def _tpu_rows(array: PlainArray) -> Iterator[Row]:
    for name, (intensity, published, batch, weights_m) in TPU_APPLICATIONS.items():
        weights = int(weights_m * 1e6)
        side = int(weights**0.5)
        layer = LayerWork(
            layer=name, macs=weights * intensity // batch, nonzero_macs=weights * intensity // batch, weights=weights,
            nonzeros=weights, weight_bits=8, channels=side, fan_in=side, outputs=side * max(1, intensity // batch),
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
