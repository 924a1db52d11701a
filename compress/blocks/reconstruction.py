"""Surviving weights of a pruned layer are refitted by least squares, so that its outputs change least. Needs no labels.

Layers are refitted in running order. Each reads what the pruned layers before it give, and aims at the outputs of the
original network. This is the usual layer-wise reconstruction; the released code of LPViT has none (ours).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.dataset import Progress
from compress.errors import CalibrationError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: Strength of the pull towards the old weights, relative to the mean square of an input.
RIDGE = 1e-2
BATCH_IMAGES = 256


def refit(gram: Array, cross: Array, start: Array, mask: Mask, ridge: float = RIDGE) -> Array:
    """Rows w (outputs, inputs) of least |y - x w|^2 + ridge * mean(diag gram) * |w - start|^2, zero outside the mask.

    gram: x^T x (inputs, inputs); cross: y^T x (outputs, inputs). Rows with equal masks share a factorization.
    """
    result = np.where(mask, start, 0.0)
    pull = ridge * float(np.trace(gram)) / len(gram)
    patterns, member = np.unique(mask, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        kept = np.flatnonzero(pattern)
        rows = np.flatnonzero(member.ravel() == number)
        if not kept.size or pull == 0.0:
            continue
        square = gram[np.ix_(kept, kept)] + pull * np.eye(len(kept))
        residual = cross[np.ix_(rows, kept)] - start[np.ix_(rows, kept)] @ gram[np.ix_(kept, kept)]
        result[np.ix_(rows, kept)] += np.linalg.solve(square, residual.T).T
    return result


def reconstruct_(
    module: nn.Module,
    original: nn.Module,
    masks: Mapping[str, Mask],
    images: NDArray[np.float32],
    *,
    progress: Progress | None = None,
) -> list[str]:
    """Refit the plain weights of the layers named in `masks`, in place; returns the names of refitted layers.

    original: the same module before pruning. masks: by layer, in running order. Grouped convolutions, and convolutions
    whose padding is not zeros, are left as they are.
    Raises: CalibrationError when a layer's inputs are not finite.
    """
    module.eval()
    target = copy.deepcopy(original).eval()
    done = []
    for position, (name, mask) in enumerate(masks.items()):
        layer = module.get_submodule(name)
        if not _refittable(layer):
            continue
        gram, cross = _moments(module, target, name, images)
        if not (np.isfinite(gram).all() and np.isfinite(cross).all()):
            raise CalibrationError(name, "its inputs on the calibration images are not finite; check the data")
        weight, bias = layer.weight, layer.bias  # type: ignore[union-attr]
        start = weight.detach().double().numpy().reshape(len(mask), -1)  # type: ignore[union-attr, operator]
        matrix_mask = mask.reshape(len(mask), -1)
        if bias is not None:  # the last input is the constant one
            start = np.concatenate([start, bias.detach().double().numpy()[:, None]], axis=1)  # type: ignore[union-attr, operator]
            matrix_mask = np.concatenate([matrix_mask, np.ones((len(mask), 1), dtype=bool)], axis=1)
        else:
            gram, cross = gram[:-1, :-1], cross[:, :-1]
        refitted = refit(gram, cross, start, matrix_mask)
        with torch.no_grad():
            if bias is not None:
                bias.copy_(torch.from_numpy(refitted[:, -1]))  # type: ignore[operator]
                refitted = refitted[:, :-1]
            weight.copy_(torch.from_numpy(refitted.reshape(mask.shape)))  # type: ignore[operator]
        done.append(name)
        if progress is not None:
            progress("refit", (position + 1) / len(masks))
    return done


def _refittable(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Linear):
        return True
    return isinstance(layer, nn.Conv2d) and layer.groups == 1 and layer.padding_mode == "zeros" and _numbers(layer)


def _numbers(layer: nn.Conv2d) -> bool:
    """Whether the padding is given by numbers and not by "same" or "valid"."""
    return not isinstance(layer.padding, str)


def _moments(module: nn.Module, target: nn.Module, name: str, images: NDArray[np.float32]) -> tuple[Array, Array]:
    """x^T x and y^T x of a layer, summed over all images and positions.

    x: the inputs in `module` with a constant one appended; y: the outputs in `target`.
    """
    seen: dict[str, Tensor] = {}
    layer = module.get_submodule(name)
    handles = [
        layer.register_forward_hook(lambda part, inputs, output: seen.update(x=inputs[0])),
        target.get_submodule(name).register_forward_hook(lambda part, inputs, output: seen.update(y=output)),
    ]
    dtype = next(module.parameters()).dtype
    gram, cross = np.zeros((1, 1)), np.zeros((1, 1))
    try:
        with torch.no_grad():
            for start in range(0, len(images), BATCH_IMAGES):
                batch = torch.from_numpy(np.ascontiguousarray(images[start : start + BATCH_IMAGES])).to(dtype)
                module(batch)
                target(batch)
                x, y = _rows(layer, seen["x"], seen["y"])
                x = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1).double()
                gram = gram + (x.T @ x).numpy()
                cross = cross + (y.double().T @ x).numpy()
    finally:
        for handle in handles:
            handle.remove()
    return gram, cross


def _rows(layer: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs and outputs as matrices with one row per image and position."""
    if isinstance(layer, nn.Conv2d):
        columns = F.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # type: ignore[arg-type]
        return columns.transpose(1, 2).reshape(-1, columns.shape[1]), y.flatten(2).transpose(1, 2).reshape(
            -1, y.shape[1]
        )
    return x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
