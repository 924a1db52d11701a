"""Layer, Imported: a torch model as a list of operations of a few kinds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

from compress.graph.composite import ElementwiseActivation
from compress.graph.unsupported import unsupported
from compress.network import Shape


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One operation of a kind.

    Linear: linear, conv, convtranspose, norm, affine, avgpool, axismap, gather, concat, add, reshape, permute. Of two
    values: multiply. Exact as well: polynomial. Conversion replaces activation, maxpool, unevenmaxpool, samplenorm.

    name: module path (with '#2', '#3' when a module is called again) or function name, unique. inputs: names of layers
    or 'input'. shape: of the value without the batch axis. module: the torch module, if it is one. options: the kind's
    numbers (stride, padding, dilation, groups, kernel, scale, shift, axes, axis, matrix, indices, coefficients, signs,
    and weight and bias of a layer without a module), 'function', the evaluator of an activation, or 'average', what
    takes the place of an uneven max pooling.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    shape: Shape
    fx_node: fx.Node
    module: nn.Module | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def torch_module(self) -> nn.Module:
        """The torch module of a linear or conv layer. Raises: UnsupportedLayerError for one that is a function."""
        if self.module is None:
            raise unsupported(self.name, f"{self.kind} layer", "without a module", "write it as a module of torch.nn")
        return self.module

    @property
    def varies(self) -> bool:
        """Whether an activation differs from channel to channel, as PReLU does."""
        return isinstance(self.module, ElementwiseActivation) and self.module.varies

    def evaluated(self, x: NDArray[np.float64], channel: int = 0) -> NDArray[np.float64]:
        """An activation's values at x, any shape, float64. channel: which one's, where the activation varies."""
        function = self.options["function"]
        values = torch.from_numpy(x.copy()).to(_device(function))
        with torch.no_grad():
            if isinstance(self.module, ElementwiseActivation) and self.module.varies:
                return np.asarray(self.module.of_channel(values, channel).to(torch.float64).cpu().numpy())
            return np.asarray(function(values).cpu().numpy())


def _device(function: object) -> torch.device:
    """Where the constants of an activation are; the processor if it has none."""
    state = [*function.parameters(), *function.buffers()] if isinstance(function, nn.Module) else []
    return state[0].device if state else torch.device("cpu")


@dataclass(frozen=True)
class Imported:
    """A model as layers in execution order.

    dropped: operations at the end that were left out, such as softmax. ends_in_sigmoid: whether a sigmoid, which could
    be left out of a classifier, makes the outputs.
    """

    graph_module: fx.GraphModule
    input_shape: Shape
    layers: tuple[Layer, ...]
    dropped: tuple[str, ...]
    ends_in_sigmoid: bool = False
