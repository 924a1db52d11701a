"""Distillation of a converted network from the one it came from: the loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from compress.graph.modules import polynomial_activations
from compress.training.loop import Loss

#: Softens both distributions. A quadratic network cannot follow a teacher's small probabilities: softening (2 to 5 is
#: usual elsewhere) spends its capacity there and costs accuracy.
TEMPERATURE = 1.0

#: Share of the plain cross entropy with the labels beside the teacher's distribution: large, so that a student is not held
#: to a teacher that compression has weakened.
LABEL_SHARE = 0.8

#: Weight of the penalty on polynomial inputs outside the fitted range, where a polynomial leaves its activation fast.
RANGE_WEIGHT = 1.0


def distillation_targets(teacher_logits: Tensor, labels: Tensor) -> Tensor:
    """Teacher logits and labels side by side, (count, classes + 1), for a teacher that is asked once for all inputs."""
    return torch.cat([teacher_logits, labels.to(teacher_logits.dtype)[:, None]], dim=1)


def distillation_loss(student: nn.Module, teacher: nn.Module) -> Loss:
    """KL divergence to the teacher, cross entropy with the labels, the range penalty of the student's polynomials.

    targets are `distillation_targets`, or labels (batch,) alone: then the teacher looks at the (augmented) inputs itself.
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
