"""The loss by which a converted network is distilled from the one that it was made from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from compress.graph.modules import polynomial_activations
from compress.training.loop import Loss
from compress.training.objective import Objective

#: Weight of the penalty on inputs of polynomials outside the fitted range, where polynomial and activation soon differ.
RANGE_WEIGHT = 1.0


def distillation_loss(student: nn.Module, objective: Objective, teacher: nn.Module | None = None) -> Loss:
    """The objective's loss, and the range penalty of polynomials.

    Its targets are `Objective.targets`; with a teacher they are `Objective.labels`, and the teacher runs on the
    (augmented) inputs itself.
    """
    polynomials = list(polynomial_activations(student))

    def loss(outputs: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
        if teacher is not None:
            with torch.no_grad():
                targets = objective.targets(teacher(inputs), targets)
        total = objective.loss(outputs, targets)
        for polynomial in polynomials:
            if polynomial.excess is not None:
                total = total + RANGE_WEIGHT * polynomial.excess
                polynomial.excess = None
        return total

    return loss
