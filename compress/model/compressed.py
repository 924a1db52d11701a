"""CompressedModel: a torch module whose layers are held to codebooks or masks, and the steps that made it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from compress.model.codebook import LayerCodes
from compress.model.masking import layer_mask
from compress.model.quantizer import PRUNABLE, layer_codes, weight_identity, write_out_all_


@dataclass(frozen=True, kw_only=True)
class CompressedModel:
    """A compressed module. No step changes it in place: every step makes a new one.

    module: in eval mode. The weight of a compressed layer has a CodebookQuantizer, or a WeightMask if it is only
    pruned. source: where the original came from (kind, name, file, sha256). history: one entry per step in plain JSON
    values (method, options, seed, data, accuracies). input_shape: without the batch axis; None until data has been
    seen. source and history are ordinary dicts: read them, and do not write to them. Codes and masks are copies.
    """

    module: nn.Module
    input_shape: tuple[int, ...] | None = None
    source: dict[str, Any] = field(default_factory=dict)
    history: tuple[dict[str, Any], ...] = ()

    def layers(self) -> dict[str, LayerCodes]:
        """Codes of every compressed layer by module path."""
        found = ((name, layer_codes(layer)) for name, layer in prunable_layers(self.module))
        return {name: codes for name, codes in found if codes is not None}

    def masks(self) -> dict[str, NDArray[np.bool_]]:
        """Masks of every layer that is pruned but not quantized, by module path."""
        found = ((name, layer_mask(layer)) for name, layer in prunable_layers(self.module))
        return {name: mask for name, mask in found if mask is not None}

    def after(self, module: nn.Module, *, input_shape: tuple[int, ...] | None = None, **step: Any) -> CompressedModel:
        """The model after one more step, which the history records."""
        shape = self.input_shape if input_shape is None else tuple(input_shape)
        return replace(self, module=module.eval(), input_shape=shape, history=(*self.history, step))

    def export(self) -> nn.Module:
        """An ordinary module whose dense weights are the quantized values."""
        plain = copy.deepcopy(self.module)
        write_out_all_(layer for _, layer in prunable_layers(plain))
        return plain


def module_of(model: nn.Module | CompressedModel) -> nn.Module:
    """The torch module of a plain or compressed model."""
    return model.module if isinstance(model, CompressedModel) else model


def prunable_layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers whose weights compression may change, by module path, each once."""
    for name, layer in module.named_modules():
        if isinstance(layer, PRUNABLE):
            yield name, layer


def tied_layers(module: nn.Module) -> dict[str, str]:
    """Module path -> path of the earlier layer that shares its weight. Both have one codebook and count once."""
    first: dict[int, str] = {}
    found = {}
    for name, layer in prunable_layers(module):
        owner = first.setdefault(weight_identity(layer), name)
        if owner != name:
            found[name] = owner
    return found


def source_record(module: nn.Module) -> dict[str, Any]:
    """Where a module came from, in plain JSON values: as the loader recorded it, else of kind "python"."""
    source = getattr(module, "cipherpress_source", None)
    if source is None:
        return {"kind": "python", "name": type(getattr(module, "joined_module", module)).__name__}
    return {key: value for key, value in vars(source).items() if value is not None}
