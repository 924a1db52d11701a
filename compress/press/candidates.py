"""Makes the networks that a search asks for, and prices them with a compiler, which is passed in as a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

from numpy.typing import NDArray
from torch import nn

from compress.checks import check_seed
from compress.conversion.calibrate import network_outputs
from compress.conversion.friendly import activation_names
from compress.dataset import Dataset, Progress
from compress.errors import BudgetError, CompileError
from compress.graph.importing import import_model
from compress.model.compressed import CompressedModel, module_of
from compress.model.unhooked import unhooked_copy
from compress.network import Network
from compress.press.pressing import pruned, trained
from compress.press.setting import Setting
from compress.press.sketch import sketched
from compress.press.target import Costs, Estimate, Trial
from compress.scores import scoring_of
from compress.training.loop import predict
from compress.training.objective import settled_for

#: (network, largest error or None) -> (what it compiled to, costs, predicted error). Raises CompileError or
#: BudgetError.
Compile = Callable[[Network, float | None], tuple[Any, Costs, float]]


class Candidates:
    """A model, data with held-out images in place of test images, and a compiler.

    Costs are estimated without training: the setting's zeros and lines are put into the uncompressed converted network,
    which is then compiled for the error that its own plan has. This works because a plan depends on which weights are
    zero and hardly on their values. It also depends on how much error a network tolerates, and only training tells
    that: a network converted without training has such large values that its plan says nothing.
    """

    def __init__(
        self,
        model: nn.Module | CompressedModel,
        data: Dataset,
        compile_network: Compile,
        *,
        max_error: float | None = None,
        augment: bool = True,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        check_seed(seed)
        data, objective = settled_for(module_of(model), data, trust_labels=isinstance(model, CompressedModel))
        self._scoring = objective.scoring
        self._model, self._data, self._compile, self._max_error = model, data, compile_network, max_error
        self._augment, self._seed, self._progress = augment, seed, progress
        self._pruned: dict[tuple[str | None, float], nn.Module | CompressedModel | None] = {}
        self._base: tuple[Network, float] | None = None

    @cached_property
    def activations(self) -> tuple[str, ...]:
        """Names of the activations, in the order in which they run."""
        module = unhooked_copy(module_of(self._model))
        return tuple(activation_names(import_model(module, self._data.input_shape, logits=self._scoring.names_classes)))

    def estimate(self, setting: Setting) -> Estimate | None:
        """The predicted costs of a setting, before training; None where the family cannot give up the share."""
        start = self._start(setting)
        if start is None:
            return None
        if self._base is None:
            raise RuntimeError("the uncompressed network is trained first")
        network, error = self._base
        masks = start.masks() if isinstance(start, CompressedModel) else {}
        try:
            _, costs, _ = self._compile(sketched(network, masks, setting.straight), error)
        except (CompileError, BudgetError):
            return Estimate(setting=setting, costs=None)
        return Estimate(setting=setting, costs=costs)

    def glimpse(self, setting: Setting) -> float:
        """Accuracy, or R2, on held-out images after one epoch; 0 where there is nothing to train."""
        start = self._start(setting)
        if start is None:
            return 0.0
        return self._accuracy(
            self._trained(start, replace(setting, bits=None, sparsity=0.0, finetune_epochs=0, convert_epochs=1))
        )

    def train(self, setting: Setting) -> Trial | None:
        """The setting trained and compiled; None where the family cannot give up the share, or where no plan exists.

        The first setting trained has to be the uncompressed one, because estimates start from its network.
        """
        start = self._start(setting)
        if start is None:
            return None
        network = self._trained(start, setting)
        try:
            outcome, costs, error = self._compile(network, self._max_error)
        except (CompileError, BudgetError):
            if self._base is None:
                raise
            return None
        if self._base is None:
            self._base = network, error
        return Trial(setting=setting, costs=costs, accuracy=self._accuracy(network), outcome=outcome)

    def _start(self, setting: Setting) -> nn.Module | CompressedModel | None:
        key = (setting.block, setting.share)
        if key not in self._pruned:
            try:
                self._pruned[key] = pruned(self._model, self._data, setting, seed=self._seed, progress=self._progress)
            except BudgetError:
                self._pruned[key] = None
        return self._pruned[key]

    def _trained(self, start: nn.Module | CompressedModel, setting: Setting) -> Network:
        teacher = module_of(self._model)
        return trained(
            start,
            self._data,
            setting,
            teacher=teacher,
            augment=self._augment,
            seed=self._seed,
            progress=self._progress,
        )

    def _accuracy(self, network: Network) -> float:
        outputs = network_outputs(network, self._data.x_test)
        return scoring_of(network.about).share(outputs, self._wanted)

    @cached_property
    def _wanted(self) -> NDArray[Any]:
        """Labels of the held-out images, or what the model answers where there are none."""
        if self._data.y_test is not None:
            return self._data.y_test
        return self._scoring.wanted(predict(module_of(self._model), self._data.x_test))
