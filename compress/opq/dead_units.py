"""Units that pruning has cut off: outputs that nothing reads, and constant outputs that no weight feeds.

An output that nothing reads loses its weights and bias. The constant of an output that nothing feeds is added to the
bias of the next layer; then nothing reads it either. Outputs of the network do not change, and the positions and biases
of such units need not be stored any more (ours).
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from compress.graph.layers import Layer
from compress.joint.regroup import unify
from compress.joint.unified import Normalization, Program, UnifiedModule, View
from compress.model.compressed import CompressedModel, prunable_layers, tied_layers
from compress.model.masking import WeightMask
from compress.model.quantizer import latent_weight, quantizer_of


def without_dead_units(model: CompressedModel, input_shape: tuple[int, ...]) -> CompressedModel:
    """The same network with dead units cleared; outputs change by float rounding only. `model` is not changed.

    A layer is cleared if it is compressed, shares its weight with no other, and is read by exactly one such layer
    (after ReLU, pooling and flattening). Constants are passed on only where there is no padding. Masks and latent
    weights change, steps and levels do not.
    Raises: UnsupportedLayerError for a layer that has no form in integers.
    """
    module = copy.deepcopy(model.module)
    pairs = _pairs(unify(module, input_shape))
    tied = tied_layers(module)
    shared = tied.keys() | set(tied.values())
    names = {id(layer): name for name, layer in prunable_layers(module)}
    cleared: dict[str, int] = {}
    for _ in pairs:  # a cleared unit may cut off others before and after it
        for maker, reader in pairs:
            a, b = maker.weighted[0].torch_module, reader.weighted[0].torch_module
            if {names[id(a)], names[id(b)]} & shared or _mask(a) is None or _mask(b) is None:
                continue
            count = _clear_constants_(maker, a, b) + _clear_unread_(a, b)
            cleared[names[id(a)]] = cleared.get(names[id(a)], 0) + count
    return model.after(module, input_shape=input_shape, method="dead-units", cleared=cleared)


def _pairs(program: Program) -> list[tuple[UnifiedModule, UnifiedModule]]:
    """Pairs (maker, reader) of modules with one weighted layer each, where only the reader reads the maker's value."""
    readers: dict[str, list[UnifiedModule | Normalization | View]] = {}
    for step in program.steps:
        for source in _sources(step):
            readers.setdefault(source, []).append(step)
    found = []
    for maker in program.modules:
        if not isinstance(maker, UnifiedModule):
            continue
        after = readers.get(maker.name, [])
        while len(after) == 1 and isinstance(view := after[0], View) and view.layer.kind == "reshape":
            after = readers.get(view.name, [])
        if len(after) == 1 and isinstance(reader := after[0], UnifiedModule) and _alone(maker) and _alone(reader):
            found.append((maker, reader))
    return found


def _sources(step: UnifiedModule | Normalization | View) -> set[str]:
    return set(step.sources) if isinstance(step, UnifiedModule) else {step.source}


def _alone(module: UnifiedModule) -> bool:
    """Whether the module is one weighted layer and what follows it: no sum, no grouped convolution, no table."""
    return (
        len(module.terms) == 1
        and module.table is None
        and module.softmax is None
        and not module.constants
        and module.scale == 1.0
        and len(module.weighted) == 1
        and getattr(module.weighted[0].torch_module, "groups", 1) == 1
    )


def _columns(a: nn.Module, b: nn.Module) -> Tensor:
    """b's weights as (outputs, units of a, values of a unit)."""
    weight: Tensor = b.weight.detach()  # type: ignore[assignment, union-attr, operator]
    return weight.reshape(len(weight), len(a.weight), -1)  # type: ignore[arg-type]


def _clear_constants_(maker: UnifiedModule, a: nn.Module, b: nn.Module) -> int:
    """Units of a that no weight feeds: their value, times what b makes of it, becomes part of b's bias."""
    read = _columns(a, b)
    constant = ~(a.weight != 0).flatten(1).any(dim=1) & (read != 0).any(dim=2).any(dim=0)  # type: ignore[union-attr, operator]
    units = torch.nonzero(constant).flatten()
    bias: Tensor | None = a.bias  # type: ignore[assignment]
    values = torch.zeros(len(units)) if bias is None else bias.detach()[units]
    if any(layer.kind == "activation" for layer in maker.after):
        values = torch.relu(values)
    padded = any(_padding(layer) for layer in maker.after) or np.any(getattr(b, "padding", 0))
    if not len(units) or ((b.bias is None or padded) and bool(values.any())):
        return 0
    with torch.no_grad():
        if b.bias is not None:
            b.bias.add_((read[:, units].sum(dim=2) * values).sum(dim=1))  # type: ignore[operator]
        goes = torch.zeros_like(read, dtype=torch.bool).index_fill(1, units, True)
        _clear_(b, goes.reshape(latent_weight(b).shape))
    return len(units)


def _clear_unread_(a: nn.Module, b: nn.Module) -> int:
    """Units of a that b does not read: without weights and bias."""
    unread = ~(_columns(a, b) != 0).any(dim=2).any(dim=0)
    weights = (a.weight != 0).flatten(1).any(dim=1)  # type: ignore[union-attr, operator]
    left = weights if a.bias is None else weights | (a.bias != 0)  # type: ignore[operator]
    with torch.no_grad():
        _clear_(a, unread.reshape((-1,) + (1,) * (a.weight.ndim - 1)).expand(a.weight.shape))  # type: ignore[union-attr, operator, arg-type]
        if a.bias is not None:
            a.bias[unread] = 0.0  # type: ignore[index, operator]
    return int((unread & left).sum())


def _clear_(layer: nn.Module, where: Tensor) -> None:
    """Prune the weights of a compressed layer where True."""
    mask = _mask(layer)
    assert mask is not None  # asked before
    mask[where] = False
    latent_weight(layer).data[where] = 0.0


def _mask(layer: nn.Module) -> Tensor | None:
    """The mask buffer of a compressed layer, None for any other."""
    quantizer = quantizer_of(layer)
    if quantizer is not None:
        return quantizer.mask
    chain = getattr(layer, "parametrizations", {})
    parts = chain["weight"] if "weight" in chain else ()
    return next((part.mask for part in parts if isinstance(part, WeightMask)), None)


def _padding(layer: Layer) -> bool:
    """Whether an average reaches over the edge; a maximum does not take what it pads with."""
    return layer.kind == "avgpool" and bool(np.any(layer.options.get("padding", 0)))
