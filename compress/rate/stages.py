"""The trainings that a search over rates asks for: OPQ in shots by curvature, on rows that are not held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from compress.dataset import Dataset, Progress
from compress.errors import BudgetError, CompressError
from compress.joint.executable import joint_network
from compress.model.compressed import CompressedModel, module_of
from compress.opq.curvature import weight_curvature
from compress.opq.opq import opq
from compress.opq.options import HIGHEST_BITS
from compress.opq.shots import masks_only, opq_in_shots, rising_shots
from compress.opq.target_rate import at_rate, compression_rate, highest_rate
from compress.rate.finish import finished, obstacle, rate_when_finished
from compress.rate.recipe import RateRecipe, Settled
from compress.rate.search import HEADROOM
from compress.rate.target import RateTrial, Reference
from compress.training.finetune import finetune
from compress.training.loop import predict
from compress.training.objective import Objective

#: Rows that the integers of a finished network are simulated on at once.
ROWS_AT_ONCE = 500
#: Factor on the learning rate of further steps, which start from a network that is trained already.
FURTHER_RATE = 0.5


@dataclass(frozen=True)
class Outcome:
    """A network of a search. tuned: as training left it. model: finished."""

    tuned: CompressedModel
    model: CompressedModel
    settled: Settled


class Stages:
    """Makes the networks of a search (see `compress.rate.search.RateMaker`).

    held: held-out training rows in the place of the test rows, with labels as `settled_for` gives them. rate: the
    wanted rate, whose defaults of the recipe are taken; without it those of each network's own.
    """

    def __init__(
        self,
        model: nn.Module | CompressedModel,
        held: Dataset,
        objective: Objective,
        recipe: RateRecipe,
        *,
        rate: float | None,
        augment: bool,
        seed: int,
        progress: Progress | None = None,
    ) -> None:
        self._given, self._held, self._objective, self._recipe = model, held, objective, recipe
        self._rate, self._augment, self._seed, self._progress = rate, augment, seed, progress
        labelled = held.y_train is not None and held.task in (None, "classes")
        self._teacher = module_of(model) if recipe.distill or not labelled else None
        self._trained, self._base = 0, model
        self._gain = 1.0  # factor on the rate by what finishing clears, as the last network showed it
        self.obstacle = obstacle(module_of(model), held.input_shape)

    def check(self, rate: float) -> None:
        """Refuse a rate that is far beyond what pruning and codes of the given network reach, before any training.

        Raises: BudgetError; what `opq` and `weight_curvature` raise.
        """
        settled = self._settled(rate)
        reachable, sparsity = highest_rate(opq, self._given, **self._options(self._given, settled))
        if HEADROOM * reachable < rate:
            raise BudgetError(
                f"target-rate: {rate:g} asked, these options reach {reachable:.1f} at sparsity {sparsity} before "
                "training; ask for less or for fewer bits"
            )

    def reference(self) -> Reference:
        """The given network on the held-out rows, and the uncompressed one after training without them."""
        settled = self._settled(1.0)
        given = self.share(self._given, self._held)
        if not settled.epochs_reference:
            return Reference(given=given)
        # eight bits and no pruning change next to nothing, and fine-tuning needs a compressed network
        coded = opq(self._given, sparsity=0.0, bits=HIGHEST_BITS)
        tuned = self._tune(coded, settled.epochs_reference, "reference", settled.learning_rate)
        self._base = masks_only(tuned)
        return Reference(given=given, unseen=self.share(tuned, self._held))

    def first(self, rate: float) -> RateTrial:
        """A network in all shots of the recipe, from the uncompressed one."""
        settled, base = self._settled(rate), self._base
        last = self._at_rate(base, rate, settled)
        sparsity = float(last.history[-1]["options"]["sparsity"])
        shots = rising_shots(
            sparsity, settled.bits, shots=settled.shots, epochs_between=settled.epochs_between, epochs=settled.epochs
        )[:-1]
        if shots:
            base = masks_only(
                opq_in_shots(
                    base, self._held, shots, cap=settled.cap, learning_rate=settled.learning_rate,
                    shrinkage=settled.shrinkage, teacher=self._teacher, augment=self._augment, seed=self._next_seed(),
                    progress=self._named(f"shots towards {rate:.3g} times smaller"),
                )
            )  # fmt: skip
            last = self._at_rate(base, rate, settled)
        name = f"{rate:.3g} times smaller"
        tuned = self._tune(last, settled.epochs, name, settled.learning_rate, settled.shrinkage)
        return self._trial(rate, tuned, settled)

    def further(self, trial: RateTrial, rate: float) -> RateTrial:
        """A network of an earlier trial, pruned to the rate and trained on, without shrinkage and more slowly."""
        settled = self._settled(rate)
        small = self._at_rate(masks_only(trial.outcome.tuned), rate, settled)
        name = f"{trial.rate:.3g} to {rate:.3g} times smaller"
        tuned = self._tune(small, settled.epochs_further, name, FURTHER_RATE * settled.learning_rate)
        return self._trial(rate, tuned, settled)

    def one_shot(self, rate: float) -> tuple[CompressedModel, CompressedModel, int]:
        """The given network at the rate in one shot: untrained and after the epochs between shots; how many those are.

        Raises: BudgetError where one shot does not reach the rate.
        """
        settled, self._gain = self._settled(rate), 1.0
        small = self._at_rate(self._given, rate, settled)
        tuned = self._tune(small, settled.epochs_between, "one shot", settled.learning_rate, settled.shrinkage)
        return self._finish(small, settled), self._finish(tuned, settled), settled.epochs_between

    def share(self, model: nn.Module | CompressedModel, data: Dataset) -> float:
        """The score of a network on the test rows of `data` as a number that is 1 at best."""
        return self._objective.scoring.share(outputs(model, data.x_test), self.wanted(data))

    def wanted(self, data: Dataset) -> NDArray[Any]:
        """The labels of the test rows, or without any what the given network answers."""
        if data.y_test is not None:
            return data.y_test
        return self._objective.scoring.wanted(predict(module_of(self._given), data.x_test))

    def _settled(self, rate: float) -> Settled:
        return self._recipe.settled(rate if self._rate is None else self._rate, len(self._held.x_train))

    def _at_rate(self, model: nn.Module | CompressedModel, rate: float, settled: Settled) -> CompressedModel:
        """One shot of OPQ with the least sparsity that has the rate, once the biases are on grids."""
        return at_rate(opq, model, rate, **self._options(model, settled))

    def _options(self, model: nn.Module | CompressedModel, settled: Settled) -> dict[str, Any]:
        """Options of `at_rate`: how models are counted, and those of `opq`."""

        def counted(small: CompressedModel) -> float:
            if self.obstacle:
                return compression_rate(small)
            return self._gain * rate_when_finished(small, settled.bias_bits)

        curvature = weight_curvature(model, self._held, seed=self._seed + self._trained)
        return {
            "counted": counted, "bits": settled.bits, "weighting": "curvature", "curvature": curvature,
            "cap": settled.cap,
        }  # fmt: skip

    def _tune(
        self, model: CompressedModel, epochs: int, name: str, learning_rate: float, shrinkage: float = 0.0
    ) -> CompressedModel:
        return finetune(
            model, self._held, epochs=epochs, learning_rate=learning_rate, shrinkage=shrinkage, teacher=self._teacher,
            augment=self._augment, seed=self._next_seed(), progress=self._named(name),
        )  # fmt: skip

    def _trial(self, aim: float, tuned: CompressedModel, settled: Settled) -> RateTrial:
        model = self._finish(tuned, settled)
        share, rate = self._share_held_out(model), compression_rate(model)
        if not self.obstacle:
            self._gain = rate / rate_when_finished(tuned, settled.bias_bits)
        return RateTrial(aim=aim, rate=rate, share=share, outcome=Outcome(tuned, model, settled))

    def _share_held_out(self, model: CompressedModel) -> float:
        """The score on the held-out rows. Simulating integers is slow, so a share that finishing recorded is taken."""
        last = model.history[-1]
        if last["method"] == "joint" and last["score"] == self._objective.scoring.score != "mse":
            return float(last["score_after"])
        return self.share(model, self._held)

    def _finish(self, tuned: CompressedModel, settled: Settled) -> CompressedModel:
        """The network finished, or as it is where something in it has no form in integers."""
        if self.obstacle:
            return tuned
        try:
            return finished(
                tuned, self._held, activation_bits=settled.activation_bits, bias_bits=settled.bias_bits, seed=self._seed
            )
        except CompressError as error:
            self.obstacle = str(error)
            return tuned

    def _next_seed(self) -> int:
        self._trained += 1
        return self._seed + self._trained

    def _named(self, name: str) -> Progress | None:
        report = self._progress
        return None if report is None else lambda step, share: report(name, share)


def outputs(model: nn.Module | CompressedModel, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """What a network answers; one that is jointly quantized as its integers do."""
    if not (isinstance(model, CompressedModel) and any(step["method"] == "joint" for step in model.history)):
        return predict(module_of(model), rows)
    network = joint_network(model)
    parts = np.array_split(rows, max(1, len(rows) // ROWS_AT_ONCE))
    return np.concatenate([np.asarray(network.run_fake(part), dtype=np.float64) for part in parts])
