"""How much each choice of a layer distorts the network's answers: by Taylor expansion, or measured by running it.

LPViT ranks by the Taylor expansion. Far from the trained weights it underestimates, because a network that is sure of
its answers has almost no curvature. Measured curves prune one layer at a time and measure the change of the outputs on
calibration images, as the code that LPViT builds on does (RD_PRUNE).
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.blocks.importance import joint_score
from compress.blocks.patterns import Groups
from compress.blocks.prefix_cache import cached_prefix
from compress.blocks.statistics import output_statistics, statistics_held

Array = NDArray[np.float64]
Kept = NDArray[np.bool_]
#: (layer, masks (choices, blocks)) -> distortion of every choice.
Distortion = Callable[[str, Kept], Array]

#: Images that measured curves run on.
IMAGES = 256


def taylor_distortion(responses: dict[str, Array]) -> Distortion:
    """The second-order Taylor estimate of each choice, over all blocks that it prunes together."""

    def distortion(name: str, masks: Kept) -> Array:
        return np.array([joint_score(responses[name], ~mask) for mask in masks])

    return distortion


class MeasuredDistortion:
    """Mean Kullback-Leibler divergence (nats) from the reference's answers to the module's with one layer pruned.

    The module runs in eval mode on the first IMAGES images. It is copied, and each layer is restored after its turn.
    hold_statistics: the layers' outputs keep the means and deviations that the reference has.
    """

    def __init__(
        self,
        module: nn.Module,
        reference: nn.Module,
        images: NDArray[np.float32],
        groups: dict[str, Groups],
        *,
        hold_statistics: bool = False,
    ) -> None:
        self._module = copy.deepcopy(module).eval()
        self._groups = groups
        dtype = next(module.parameters()).dtype
        self._images = torch.from_numpy(np.ascontiguousarray(images[:IMAGES])).to(dtype)
        self._answers = _log_answers(reference, self._images)
        self._held = output_statistics(reference, groups, self._images) if hold_statistics else {}

    def __call__(self, name: str, masks: Kept) -> Array:
        layer = self._module.get_submodule(name)
        weight: Tensor = layer.weight.detach()  # type: ignore[assignment, union-attr, operator]
        whole = weight.clone()
        found: dict[bytes, float] = {}
        order = []
        with statistics_held(self._module, self._held), cached_prefix(self._module, layer, self._images):
            for mask in masks:
                weight.copy_(whole * torch.from_numpy(mask[self._groups[name]]))
                key = np.packbits((weight != 0).numpy()).tobytes()  # masks that differ only in empty blocks
                if key not in found:
                    answers = _log_answers(self._module, self._images)
                    found[key] = float(F.kl_div(answers, self._answers, reduction="batchmean", log_target=True))
                order.append(found[key])
        weight.copy_(whole)
        return np.maximum(np.array(order), 0.0)


def _log_answers(module: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return F.log_softmax(module(images).double(), dim=1)
