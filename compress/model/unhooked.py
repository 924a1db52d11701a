"""unhooked_copy: a copy of a module without the hooks and parametrizations of torch.nn.utils, not in half precision.

Pruning (torch.nn.utils.prune) becomes a mask that training keeps. Weight and spectral normalization are written into
the weights. Other parametrizations, our own codebooks among them, stay.
"""

from __future__ import annotations

import copy

from torch import Tensor, nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from compress.model.masking import mask_layer_
from compress.model.precision import full_precision_
from compress.model.quantizer import PRUNABLE

#: The module of torch whose parametrizations are functions of their parameters alone in evaluation mode.
_TORCH_NORMS = "torch.nn.utils.parametrizations"


def unhooked_copy(module: nn.Module) -> nn.Module:
    """A deep copy in evaluation mode; half-precision parameters become float32, all others keep their type."""
    computed = {
        id(value): value.detach().clone()
        for part in module.modules()
        for value in vars(part).values()
        if isinstance(value, Tensor) and not value.is_leaf  # torch refuses to copy these; hooks compute them anew
    }
    copied = copy.deepcopy(module, dict(computed)).eval()
    for part in list(copied.modules()):
        _write_out_hooks_(part)
        _write_out_parametrizations_(part)
    return full_precision_(copied)


def _write_out_hooks_(part: nn.Module) -> None:
    for hook in list(part._forward_pre_hooks.values()):
        if isinstance(hook, prune.BasePruningMethod):
            name = str(hook._tensor_name)  # type: ignore[attr-defined]
            mask = getattr(part, f"{name}_mask") != 0
            prune.remove(part, name)
            if name == "weight" and isinstance(part, PRUNABLE):
                mask_layer_(part, mask.numpy())
        elif isinstance(hook, WeightNorm):
            remove_weight_norm(part, hook.name)
        elif isinstance(hook, SpectralNorm):
            remove_spectral_norm(part, hook.name)


def _write_out_parametrizations_(part: nn.Module) -> None:
    """Torch's own way would also take the weight from the module that was copied: both share a class."""
    if not parametrize.is_parametrized(part):
        return
    chains = dict(part.parametrizations.items())  # type: ignore[union-attr, operator]
    if all(type(step).__module__ == _TORCH_NORMS for chain in chains.values() for step in chain):
        values = {name: getattr(part, name).detach().clone() for name in chains}
        del part._modules["parametrizations"]
        part.__class__ = type(part).__bases__[0]
        for name, value in values.items():
            part.register_parameter(name, nn.Parameter(value))
