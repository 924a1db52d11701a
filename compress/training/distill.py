"""The loss by which a converted network is distilled from the one that it was made from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from compress.graph.modules import polynomial_activations
from compress.training.loop import Loss

#: Temperature that softens both distributions; 2 to 5 is usual. A quadratic network cannot follow the small
#: probabilities of its teacher, so that more softening would spend its capacity on them and cost accuracy.
TEMPERATURE = 1.0

#: Weight of the cross entropy with the labels, relative to that with the teacher. It is large, because compression may
#: have weakened the teacher.
LABEL_SHARE = 0.8

#: Weight of the penalty on inputs of polynomials outside the fitted range, where polynomial and activation soon differ.
RANGE_WEIGHT = 1.0


def distillation_targets(teacher_logits: Tensor, labels: Tensor) -> Tensor:
    """Logits of the teacher and labels in one array (count, classes + 1); the teacher then runs only once per input."""
    return torch.cat([teacher_logits, labels.to(teacher_logits.dtype)[:, None]], dim=1)


def distillation_loss(student: nn.Module, teacher: nn.Module) -> Loss:
    """The loss: KL divergence from the teacher, cross entropy with labels, and the range penalty of polynomials.

    Its targets are `distillation_targets`, or only labels (batch,); then the teacher runs on the (augmented) inputs
    itself.
    """
    polynomials = list(polynomial_activations(student))

    def loss(outputs: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
        if targets.ndim == 1:
            with torch.no_grad():
                wanted, labels = teacher(inputs), targets
        else:
            wanted, labels = targets[:, :-1], targets[:, -1].long()
        soft = F.kl_div(
            F.log_softmax(outputs / TEMPERATURE, dim=1),
            F.log_softmax(wanted / TEMPERATURE, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        total = (1.0 - LABEL_SHARE) * TEMPERATURE**2 * soft + LABEL_SHARE * F.cross_entropy(outputs, labels)
        for polynomial in polynomials:
            if polynomial.excess is not None:
                total = total + RANGE_WEIGHT * polynomial.excess
                polynomial.excess = None
        return total

    return loss
