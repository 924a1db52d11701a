"""What removing a block would cost: second-order Taylor on calibration data, by per-sample gradients.

A set S of blocks of one layer costs 1/2 mean_n (sum_{B in S} g_n . w_B)^2: the inner products of each sample's gradient
with the blocks, squared before the mean over samples (empirical Fisher; derived). The gradient of the mean loss would
let samples cancel each other. Adding up squares of single blocks would miss that blocks of one layer err in one
direction.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn

from compress.blocks.options import Gradient
from compress.blocks.patterns import Groups
from compress.checks import check_seed
from compress.dataset import Progress
from compress.errors import CalibrationError, ConfigError
from compress.labels import check_labels
from compress.training.objective import CLASSES, Objective

Array = NDArray[np.float64]

BATCH_IMAGES = 64
#: How many numbers the per-sample gradients that are held at once may have.
CHUNK_NUMBERS = 2**24


def single_scores(responses: Array) -> Array:
    """s_B = 1/2 mean_n (g_n . w_B)^2 of every block by itself, from `responses` (blocks, samples)."""
    return np.asarray((responses**2).sum(axis=1))


def joint_score(responses: Array, pruned: NDArray[np.bool_]) -> float:
    """What removing a set of blocks costs; responses (blocks, samples), pruned (blocks,)."""
    return float((responses[pruned].sum(axis=0) ** 2).sum())


def block_responses(
    module: nn.Module,
    images: NDArray[np.float32],
    labels: NDArray[Any] | None,
    groups: Mapping[str, Groups],
    *,
    gradient: Gradient = "sampled",
    objective: Objective = CLASSES,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Array]:
    """sqrt(1 / 2 samples) g_n . w_B of every block and sample, (blocks, samples), for the layers named in `groups`.

    labels: those of the images, for gradient "labels" alone. objective: what the network is for, which decides what a
    loss is. `module` is not changed, and runs in eval mode. To find what a set of blocks costs, add the rows of its
    blocks and then the squares over samples (`joint_score`).

    Raises: ConfigError, also for gradient "labels" without labels; CalibrationError when a gradient is not finite or a
    layer never runs.
    """
    check_seed(seed)
    if gradient not in get_args(Gradient):
        raise ConfigError("gradient", gradient, f"one of {', '.join(get_args(Gradient))}")
    if gradient == "labels" and labels is None:
        raise ConfigError("gradient", gradient, "sampled or outputs, because the data has no labels for this network")
    module = copy.deepcopy(module).eval().requires_grad_(True)
    listener = _Listener(module, groups)
    found: dict[str, list[Array]] = {name: [] for name in groups}
    generator = torch.Generator().manual_seed(seed)
    dtype = next(module.parameters()).dtype
    with listener.attached():
        for start in range(0, len(images), BATCH_IMAGES):
            listener.products.clear()
            outputs = module(torch.from_numpy(np.ascontiguousarray(images[start : start + BATCH_IMAGES])).to(dtype))
            answers = None if labels is None else labels[start : start + BATCH_IMAGES]
            _loss(gradient, objective, outputs, answers, generator).backward()  # type: ignore[no-untyped-call]
            for name in groups:
                if name not in listener.products:
                    raise CalibrationError(name, "does not run on the calibration images; leave it out of the blocks")
                found[name].append(listener.products[name])
            if progress is not None:
                progress("score blocks", min(1.0, (start + BATCH_IMAGES) / len(images)))
    # the squared change of the outputs has twice the curvature of a loss with the same gradients
    factor = np.sqrt((1.0 if gradient == "outputs" else 0.5) / len(images))
    responses = {name: factor * np.concatenate(parts, axis=1) for name, parts in found.items()}
    for name, values in responses.items():
        if not np.isfinite(values).all():
            raise CalibrationError(name, "has gradients that are not finite on the calibration images; check the data")
    return responses


class _Listener:
    """Hooks on the layers of a module; `products` holds g_n . w_B (blocks, samples) by layer after a backward pass."""

    def __init__(self, module: nn.Module, groups: Mapping[str, Groups]) -> None:
        self.products: dict[str, Array] = {}
        self._layers = {name: module.get_submodule(name) for name in groups}
        self._weights = {name: layer.weight.detach().double().numpy() for name, layer in self._layers.items()}  # type: ignore[union-attr, operator]
        self._indicators = {name: _indicator(numbers) for name, numbers in groups.items()}

    @contextmanager
    def attached(self) -> Iterator[None]:
        """The hooks are in place inside this context."""
        handles = [layer.register_forward_hook(self._hook(name)) for name, layer in self._layers.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def forward_hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen = inputs[0].detach()

            def backward_hook(delta: Tensor) -> None:
                products = _layer_products(layer, seen, delta, self._weights[name], self._indicators[name])
                before = self.products.get(name)  # a layer may run twice
                self.products[name] = products if before is None else before + products

            output.register_hook(backward_hook)

        return forward_hook


def _loss(
    gradient: Gradient,
    objective: Objective,
    outputs: Tensor,
    labels: NDArray[Any] | None,
    generator: torch.Generator,
) -> Tensor:
    """What is differentiated, summed over a batch."""
    if gradient == "labels" and labels is not None:
        if objective.task == "classes":
            check_labels(labels, outputs.shape[1])
        wanted = torch.as_tensor(labels).reshape(len(outputs), -1).to(outputs.dtype)
        return len(outputs) * objective.label_loss(outputs, wanted, outputs)
    if gradient == "sampled":
        return objective.sampled_loss(outputs, generator)
    signs = torch.randint(0, 2, outputs.shape, generator=generator) * 2 - 1
    return (outputs * signs).sum()


def _layer_products(
    layer: nn.Module, inputs: Tensor, delta: Tensor, weight: Array, indicator: sparse.csr_matrix
) -> Array:
    """g_n . w_B (blocks, samples) of one layer, with the gradients of only a few samples in memory at a time."""
    count = max(1, CHUNK_NUMBERS // weight.size)
    parts = [
        _inner_products(sample_gradients(layer, x, dy).double().numpy(), weight, indicator)
        for x, dy in zip(inputs.split(count), delta.split(count), strict=True)
    ]
    return np.concatenate(parts, axis=1)


def sample_gradients(layer: nn.Module, inputs: Tensor, delta: Tensor) -> Tensor:
    """Gradient of the weight for every sample, (samples, *weight's shape), from inputs and output gradients."""
    if not isinstance(layer, nn.Conv1d | nn.Conv2d):
        samples = len(inputs)
        x, dy = inputs.reshape(samples, -1, inputs.shape[-1]), delta.reshape(samples, -1, delta.shape[-1])
        return torch.einsum("nto,nti->noi", dy, x)
    run: Any = F.conv1d if isinstance(layer, nn.Conv1d) else F.conv2d
    options: dict[str, Any] = {"stride": layer.stride, "dilation": layer.dilation, "groups": layer.groups}
    padding: Any = layer.padding
    if layer.padding_mode != "zeros":
        inputs = F.pad(inputs, layer._reversed_padding_repeated_twice, mode=layer.padding_mode)
        padding = 0
    weight = layer.weight.detach()

    def one(x: Tensor, dy: Tensor) -> Tensor:
        pull: Any = torch.func.vjp(lambda w: run(x[None], w, padding=padding, **options)[0], weight)[1]
        gradient: Tensor = pull(dy)[0]
        return gradient

    return torch.func.vmap(one)(inputs, delta)


def _indicator(groups: Groups) -> sparse.csr_matrix:
    """(blocks, weights), one where a weight belongs to the block."""
    flat = groups.ravel()
    return sparse.csr_matrix((np.ones(flat.size), (flat, np.arange(flat.size))), shape=(int(flat.max()) + 1, flat.size))


def _inner_products(gradients: Array, weight: Array, indicator: sparse.csr_matrix) -> Array:
    """g_n . w_B, (blocks, samples), from gradients (samples, *weight's shape)."""
    return np.asarray(indicator @ (gradients * weight[None]).reshape(len(gradients), -1).T)
