"""How much the answers depend on each weight: the diagonal of the Fisher information on calibration images."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.checks import check_seed, is_whole
from compress.errors import CalibrationError, ConfigError
from compress.gathering import as_dataset
from compress.graph.joined import joined
from compress.model.compressed import CompressedModel, module_of, prunable_layers, tied_layers
from compress.model.folding import fold_batch_norm
from compress.model.precision import in_precision
from compress.model.quantizer import write_out_all_
from compress.model.unhooked import unhooked_copy
from compress.training.loop import predict
from compress.training.objective import ASKED_ROWS, settled

Array = NDArray[np.float64]

#: Images per gradient.
BATCH_IMAGES = 32


def weight_curvature(
    model: nn.Module | CompressedModel, data: object, *, images: int = 4096, seed: int = 0
) -> dict[str, Array]:
    """E[g^2] of every weight of every Linear, Conv1d and Conv2d, by module path; `model` is not changed.

    g is the gradient of -log p(y | x), with y drawn from the network's own answers as the task has it
    (`Objective.sampled_loss`). To second order, removing a weight w costs E[g^2] w^2 / 2. The mean of g is zero, so
    that a batch of n images has E[(mean g)^2] = E[g^2] / n and no gradients of single samples are needed (derived).
    Normalizations are folded first, as in `opq`. data: what `as_dataset` takes; labels only tell the task. images:
    training images drawn without replacement (`data.calibration`).
    Raises: ConfigError; DataError for data of another form, or labels that do not fit the outputs; CalibrationError
    when an answer or a gradient is not finite.
    """
    check_seed(seed)
    if not (is_whole(images) and images >= 1):
        raise ConfigError("images", images, "a whole number, 1 or more")
    model, data = joined(model, as_dataset(data))
    module = unhooked_copy(module_of(model))
    write_out_all_(layer for _, layer in prunable_layers(module))
    module = fold_batch_norm(module).requires_grad_(True)
    tied = tied_layers(module)
    weights: dict[str, Tensor] = {
        name: layer.weight  # type: ignore[misc]
        for name, layer in prunable_layers(module)
        if name not in tied
    }
    sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    generator = torch.Generator().manual_seed(seed)
    inputs = in_precision(torch.from_numpy(np.ascontiguousarray(data.calibration(images, seed))), module)
    _, objective = settled(
        data, predict(module, data.x_train[:ASKED_ROWS]), trust_labels=isinstance(model, CompressedModel)
    )
    for batch in inputs.split(BATCH_IMAGES):
        scores = module(batch)
        if not torch.isfinite(scores).all():
            raise CalibrationError(
                None,
                f"model {type(module).__name__}: its answers to the calibration images are not finite; check the data",
            )
        loss = objective.sampled_loss(scores, generator) / len(batch)
        gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        for name, gradient in zip(weights, gradients, strict=True):
            if gradient is not None:  # a layer that never runs has none
                sums[name] += gradient.square() * (len(batch) * len(batch) / len(inputs))
    found = {name: total.double().numpy() for name, total in sums.items()}
    for name, values in found.items():
        if not np.isfinite(values).all():
            raise CalibrationError(name, "has gradients that are not finite on the calibration images; check the data")
    return found
