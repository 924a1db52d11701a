"""Means and deviations of layers' outputs, held to those of the network before pruning.

Pruning moves the mean and the deviation of what every later layer reads. With both put right by channel, which biases
and a factor on the weights can do, a pruned network answers about as it will after training, so that choices can be
compared, and training starts from there. It is what measuring batch normalizations again does where they are not yet
folded (Li et al., EagleEye, ECCV 2020, arXiv 2007.02491). A layer without any weight left answers with its mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

#: By layer: means and deviations of its outputs by channel.
Statistics = Mapping[str, tuple[Tensor, Tensor]]

#: A channel whose deviation is less than this share of the one before is not widened: it holds next to nothing.
LEAST_SHARE = 0.05


def output_statistics(module: nn.Module, names: Iterable[str], images: Tensor) -> Statistics:
    """Statistics of the layers that have a bias, in evaluation mode on these images (count, *input shape)."""
    found: dict[str, tuple[Tensor, Tensor]] = {}

    def listening(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: Any, output: Tensor) -> None:
            found[name] = _statistics(layer, output)

        return hook

    with _hooked(module, {name: listening(name) for name in names}), torch.no_grad():
        module(images)
    return found


@contextmanager
def statistics_held(module: nn.Module, wanted: Statistics, *, written: bool = False) -> Iterator[None]:
    """Inside, the outputs of layers have the wanted statistics over whatever batch runs.

    written: the layers themselves are changed so that they answer like that afterwards too, each from what the layers
    before it give then; run one batch.
    """

    def holding(name: str) -> Callable[..., Tensor]:
        mean, deviation = wanted[name]

        def hook(layer: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            own_mean, own_deviation = _statistics(layer, output)
            widened = own_deviation > LEAST_SHARE * deviation
            factor = torch.where(widened, deviation / own_deviation, torch.ones_like(deviation))
            shift = mean - factor * own_mean
            if written:
                _write(layer, factor, shift)
            return output * _wide(layer, factor, output) + _wide(layer, shift, output)

        return hook

    with _hooked(module, {name: holding(name) for name in wanted}):
        yield


@contextmanager
def _hooked(module: nn.Module, hooks: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    layers = {name: module.get_submodule(name) for name in hooks}
    handles = [layer.register_forward_hook(hooks[name]) for name, layer in layers.items() if layer.bias is not None]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _statistics(layer: nn.Module, output: Tensor) -> tuple[Tensor, Tensor]:
    rows = output.movedim(_axis(layer), 0).flatten(1)
    return rows.mean(dim=1), rows.std(dim=1)


def _wide(layer: nn.Module, values: Tensor, output: Tensor) -> Tensor:
    """Numbers by channel in a shape that broadcasts to the layer's output."""
    return values if _axis(layer) == -1 else values.reshape((-1,) + (1,) * (output.ndim - 2))


def _axis(layer: nn.Module) -> int:
    return -1 if isinstance(layer, nn.Linear) else 1


def _write(layer: Any, factor: Tensor, shift: Tensor) -> None:
    with torch.no_grad():
        layer.weight.mul_(factor.reshape((-1,) + (1,) * (layer.weight.ndim - 1)))
        layer.bias.mul_(factor).add_(shift)
