"""The one training loop: AdamW with a one-cycle learning rate, over tensors in memory.

Training, fine-tuning and distillation differ only in the loss that they pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase as NormBase

from compress.checks import check_seed
from compress.dataset import Progress
from compress.errors import CalibrationError
from compress.labels import check_labels
from compress.model.precision import in_precision
from compress.training.schedule import Schedule

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
Augment = Callable[[Tensor, torch.Generator], Tensor]

#: Share of the steps in which the learning rate rises.
WARM_UP = 0.2


def fit_(
    module: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    schedule: Schedule,
    *,
    loss: Loss,
    seed: int = 0,
    augment: Augment | None = None,
    after_step: Callable[[], None] | None = None,
    shrunk: Sequence[Tensor] = (),
    progress: Progress | None = None,
) -> None:
    """Train `module` in place and leave it in eval mode. Deterministic for a seed on one machine.

    loss: (outputs, targets, inputs) -> scalar. augment: (batch, generator) -> batch. after_step: called after every
    step. shrunk: parameters that every step also moves towards zero, by learning rate * shrinkage, but never beyond it.
    That is the proximal step of an L1 penalty, without Adam's scaling.
    Raises: CalibrationError when the loss stops being a finite number.
    """
    check_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)  # dropout draws from the global generator
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    total = max(1, schedule.epochs * math.ceil(len(inputs) / schedule.batch_size))
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: one_cycle(step / total))
    module.train()
    for part in module.modules():
        if isinstance(part, NormBase) and part.affine and not any(own.requires_grad for own in part.parameters()):
            part.eval()  # a frozen normalization keeps its statistics too
    for epoch in range(schedule.epochs):
        for batch in torch.randperm(len(inputs), generator=generator).split(schedule.batch_size):
            images = inputs[batch] if augment is None else augment(inputs[batch], generator)
            value = loss(module(images), targets[batch], images)
            if value.device.type == "cpu":
                _check_finite(value, module, epoch)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            if schedule.gradient_clip is not None:
                nn.utils.clip_grad_norm_(parameters, schedule.gradient_clip)
            optimizer.step()
            if schedule.shrinkage:
                shrink_(shrunk, optimizer.param_groups[0]["lr"] * schedule.shrinkage)
            rates.step()
            if after_step is not None:
                after_step()
        _check_finite(value, module, epoch)  # on a GPU, asking after every step would keep it waiting
        if progress is not None:
            progress("training", (epoch + 1) / schedule.epochs)
    module.eval()


def _check_finite(value: Tensor, module: nn.Module, epoch: int) -> None:
    """Raises: CalibrationError."""
    if not torch.isfinite(value):
        raise CalibrationError(
            type(module).__name__, f"training diverged in epoch {epoch + 1}; try a smaller learning rate"
        )


def shrink_(parameters: Sequence[Tensor], by: float) -> None:
    """Soft thresholding in place: every number moves by `by` towards zero; numbers nearer than that become zero."""
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(F.softshrink(parameter, by))


def one_cycle(done: float) -> float:
    """The factor on the learning rate after a share of all steps: a linear rise, then a cosine fall to a thousandth."""
    if done < WARM_UP:
        return 0.04 + 0.96 * done / WARM_UP
    return 0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP)))


def predict(module: nn.Module, inputs: NDArray[np.float32], batch_size: int = 1000) -> NDArray[np.float64]:
    """Outputs in eval mode, (images, *output shape), float64."""
    module.eval()
    with torch.no_grad():
        batches = torch.from_numpy(np.ascontiguousarray(inputs)).split(batch_size)
        parts = [module(in_precision(batch, module)) for batch in batches]
    return torch.cat(parts).double().numpy()


def accuracy(module: nn.Module, inputs: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Share of images whose largest output is the label's.

    Raises: DataError for labels that are larger than the outputs allow.
    """
    scores = predict(module, inputs)
    check_labels(labels, scores.shape[1])
    return float(np.mean(scores.argmax(axis=1) == labels))
