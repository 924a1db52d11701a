"""What a compressed model really weighs: every bit counted, beside the convention of papers that count surviving values
only.

bits = sum over layers of [values + positions + steps + bit-width fields] + 32 * (biases and everything not compressed)
(derived). Values and positions are counted in the cheapest of their encodings, and the report says which one that is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.account.adaptive_coding import decisions_bits, string_bits
from compress.account.entropy import best_rice
from compress.model.codebook import LayerCodes
from compress.model.compressed import CompressedModel, prunable_layers, tied_layers

FLOAT_BITS = 32
STEP_BITS = 8
LAYER_HEADER_BITS = 8
GAP_BITS = range(1, 17)


@dataclass(frozen=True)
class LayerAccount:
    """Bits of one compressed layer, everything counted.

    kept: weights that the mask keeps; some of their codes are zero. distinct: how many different non-zero magnitudes
    there are, which is how many products are needed when equal weights share one. entropy_bits: entropy of values and
    positions if all were independent. It is a bound for coders of independent codes and is not counted.
    """

    layer: str
    parameters: int
    nonzeros: int
    kept: int
    sparsity: float
    bits: int
    distinct: int
    entropy_bits: float
    value_bits: int
    value_encoding: str
    position_bits: int
    position_encoding: str
    overhead_bits: int

    @property
    def total_bits(self) -> int:
        return self.value_bits + self.position_bits + self.overhead_bits


def account_layer(name: str, codes: LayerCodes) -> LayerAccount:
    """Bits of a layer from its codes: non-zero values and their positions, steps and header.

    Values and positions are coded apart, or together by one adaptive code, whichever is shorter.
    """
    nonzero = codes.codes != 0
    count = int(nonzero.sum())
    rows = nonzero.reshape(len(codes.codes), -1)
    encoding, position_bits = cheapest_positions(rows, codes.bits)
    value_encoding, value_bits = "fixed", count * codes.bits
    adaptive = string_bits(codes.codes.reshape(rows.shape), codes.levels)
    if sum(adaptive) < value_bits + position_bits:
        value_encoding = encoding = "adaptive"
        position_bits, value_bits = adaptive
    return LayerAccount(
        layer=name,
        parameters=codes.codes.size,
        nonzeros=count,
        kept=int(codes.mask.sum()),
        sparsity=1 - count / codes.codes.size,
        bits=codes.bits,
        distinct=len(np.unique(np.abs(codes.codes[nonzero]))),
        entropy_bits=code_entropy_bits(codes.codes),
        value_bits=value_bits,
        value_encoding=value_encoding,
        position_bits=position_bits,
        position_encoding=encoding,
        overhead_bits=STEP_BITS * codes.log2_step.size + LAYER_HEADER_BITS,
    )


def account_mask(name: str, mask: NDArray[np.bool_]) -> LayerAccount:
    """Bits of a pruned layer without a codebook: surviving weights as 32-bit numbers, and the cheapest positions."""
    count = int(mask.sum())
    encoding, position_bits = cheapest_positions(mask.reshape(len(mask), -1), FLOAT_BITS)
    return LayerAccount(
        layer=name,
        parameters=mask.size,
        nonzeros=count,
        kept=count,
        sparsity=1 - count / mask.size,
        bits=FLOAT_BITS,
        distinct=count,
        entropy_bits=code_entropy_bits(mask.astype(np.int32)) + FLOAT_BITS * count,
        value_bits=FLOAT_BITS * count,
        value_encoding="fixed",
        position_bits=position_bits,
        position_encoding=encoding,
        overhead_bits=LAYER_HEADER_BITS,
    )


def cheapest_positions(nonzero: NDArray[np.bool_], value_bits: int) -> tuple[str, int]:
    """(encoding, bits) of the cheapest way to store where the non-zeros are; nonzero (rows, columns).

    Beside `position_offers` there is "relative": gaps of r bits with zeros as fillers, as in Deep Compression. The
    values of the fillers are counted here.
    """
    offers = position_offers(nonzero)
    count = int(nonzero.sum())
    if count < nonzero.size:
        for gap_bits in GAP_BITS:
            fillers = relative_fillers(nonzero.ravel(), gap_bits)
            offers[f"relative-{gap_bits}"] = (count + fillers) * gap_bits + fillers * value_bits
    best = min(offers, key=lambda name: offers[name])
    return best, offers[best]


def position_offers(nonzero: NDArray[np.bool_]) -> dict[str, int]:
    """Bits of the positions alone, by encoding.

    none: nothing is zero. bitmap: one bit per weight. csr: column numbers and row starts. rice: Golomb-Rice codes of
    the gaps.
    """
    rows, columns = nonzero.shape
    count = int(nonzero.sum())
    if count == nonzero.size:
        return {"none": 0}
    remainder, rice = best_rice(np.diff(np.flatnonzero(nonzero), prepend=-1))
    return {
        "bitmap": nonzero.size,
        "csr": count * int(np.ceil(np.log2(max(columns, 2)))) + (rows + 1) * int(np.ceil(np.log2(count + 1))),
        f"rice-{remainder}": rice,
    }


def relative_fillers(nonzero: NDArray[np.bool_], gap_bits: int) -> int:
    """Zero entries that gaps longer than 2^r need: sum of floor((gap - 1) / 2^r)."""
    gaps = np.diff(np.flatnonzero(nonzero), prepend=-1)
    return int(((gaps - 1) >> gap_bits).sum())


def code_entropy_bits(codes: NDArray[np.int32]) -> float:
    """N times the entropy of the codes, zeros included; no coder of independent codes needs fewer bits."""
    _, counts = np.unique(codes, return_counts=True)
    return float(np.sum(counts * np.log2(codes.size / counts)))


def account(model: CompressedModel) -> dict[str, Any]:
    """The size of the whole model: totals, and one row per compressed layer under "layers".

    compression_rate counts everything against 32 bits for every parameter; compression_rate_paper counts surviving
    values only.
    """
    tied = tied_layers(model.module)  # a shared weight is stored and counted once
    layers = [account_layer(name, codes) for name, codes in model.layers().items() if name not in tied]
    layers += [account_mask(name, mask) for name, mask in model.masks().items() if name not in tied]
    compressed = {layer.layer for layer in layers} | tied.keys()
    held = sum(parameter.numel() for parameter in model.module.parameters())
    parameters = original_parameters(model)
    in_codes = sum(layer.parameters for layer in layers)
    rest = held - in_codes + float_buffers(model)
    held_to_grids, grid_bits = parameters_on_grids(model)
    bits = sum(layer.total_bits for layer in layers) + FLOAT_BITS * (rest - held_to_grids) + grid_bits
    values = sum(layer.nonzeros * layer.bits for layer in layers)
    nonzeros = sum(layer.nonzeros for layer in layers)
    return {
        "parameters": parameters,
        "nonzeros": nonzeros + rest,
        "sparsity": 1 - nonzeros / in_codes if in_codes else 0.0,
        "bits": values / nonzeros if nonzeros else 0.0,
        "total_bits": bits,
        "compression_rate": FLOAT_BITS * parameters / bits,
        "compression_rate_paper": FLOAT_BITS * in_codes / values if values else 0.0,
        "uncompressed_layers": [name for name, _ in prunable_layers(model.module) if name not in compressed],
        "layers": [_row(layer) for layer in layers],
    }


def parameters_on_grids(model: CompressedModel) -> tuple[int, int]:
    """(how many, bits) of the biases, gains and constants on grids of joint quantization, one step per tensor."""
    step = next((step for step in reversed(model.history) if step["method"] == "joint"), None)
    if step is None:
        return 0, 0
    names = {name for row in step["modules"] for name in row["weight_fraction_bits"]}
    layers = [
        layer for name, layer in prunable_layers(model.module) if name in names and isinstance(layer.bias, Tensor)
    ]
    width = int(step["options"].get("bias_bits", step["options"]["bits"]))
    nonzero = [bias_flags(layer) for layer in layers]
    named = dict(model.module.named_parameters()) | dict(model.module.named_buffers())
    paths = {path for row in step["modules"] for path in row.get("on_grids", ())}
    others = [tensor.numel() for path, tensor in named.items() if path in paths]
    bits = sum(STEP_BITS + bias_bits(*flags, width) for flags in nonzero)
    bits += sum(STEP_BITS + count * int(step["options"]["bits"]) for count in others)
    return sum(flags.size for flags, _ in nonzero) + sum(others), bits


def bias_bits(nonzero: NDArray[np.bool_], fed: NDArray[np.bool_], width: int) -> int:
    """Bits of biases (outputs,), each of `width` bits: all of them, or only the non-zero ones and their positions.

    fed: outputs that have a weight. The probability that a bias is zero is learned separately for outputs with and
    without weights, because most of the latter are dead.
    """
    flags = decisions_bits(nonzero[fed]) + decisions_bits(nonzero[~fed])
    return min(nonzero.size * width, int(np.ceil(flags)) + int(nonzero.sum()) * width)


def bias_flags(layer: nn.Module) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which biases are not zero, and which outputs have a weight."""
    weight, bias = layer.weight, layer.bias
    with torch.no_grad():
        return (bias != 0).numpy(), (weight != 0).flatten(1).any(dim=1).numpy()  # type: ignore[union-attr, operator]


def original_parameters(model: CompressedModel) -> int:
    """Parameters before the first step, those of batch normalizations that were folded later included."""
    counts = [step["original_parameters"] for step in model.history if "original_parameters" in step]
    return int(counts[0]) if counts else sum(parameter.numel() for parameter in model.module.parameters())


def float_buffers(model: CompressedModel) -> int:
    """Numbers that inference needs beside the parameters: running statistics of normalizations that were not folded."""
    return sum(buffer.numel() for buffer in model.module.buffers() if buffer.is_floating_point())


def _row(layer: LayerAccount) -> Mapping[str, Any]:
    rate = FLOAT_BITS * layer.parameters / layer.total_bits
    return {**asdict(layer), "total_bits": layer.total_bits, "compression_rate": rate}
