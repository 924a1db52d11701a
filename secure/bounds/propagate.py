"""The noise of a draft, from the chain of primes that it is given: standard deviations at the outputs. Pure.

Variances of independent errors add up. So the variance at an output is a weighted sum of a few dozen numbers: the
variances that enter at each stage (`secure.bounds.sources`), weighed by how far they reach (`secure.bounds.reach`).
The weights do not depend on the chain, so a search can ask for thousands of chains.

The rounding errors of plaintexts are drawn once, when the plan is made. Here they count with the variance that such a
draw has. `secure.bounds.rounding` computes the errors of one plan.

The errors of key switches and rescales depend on the secret key. Under one key, single slots may have about twice the
mean variance of all slots, and a bound must hold for every slot that is read. So for these errors the variance of the
whole complex slot counts, which is twice that of the real part, although only the real part is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from secure.bounds.met_power import MetPower, by_feature, measured_keys
from secure.bounds.reach import Reach, reach
from secure.bounds.rounding import plane_parts
from secure.bounds.slot_reach import slot_weights
from secure.bounds.sources import StageRules, source_variances, stage_rules
from secure.drafting.draft import Draft, StageScales
from secure.encoding import encoding_error
from secure.layout.diagonals import DiagonalKey, apply_table, plane_constants
from secure.layout.packing import folded
from secure.noise import encoding_variance
from secure.params import Params

Array = NDArray[np.float64]

#: Up to this factor, a measured variance above that of white errors counts as chance, since few images are measured.
CHANCE = 3.0
#: Of more outputs than this, only evenly spaced ones are computed. The others get the largest error among these.
WATCHED_OUTPUTS = 64
#: The most outputs and images whose derivatives by slots are computed, and about how many products of numbers they may
#: take: a large layout gets fewer images.
SLOT_OUTPUTS, SLOT_IMAGES, SLOT_PRODUCTS = 16, 4, 1 << 30


@dataclass(frozen=True)
class NoiseModel:
    """All that the noise of a draft depends on besides primes and scales.

    met: the met power of the draft's layout. reach: of errors on the same images, at the outputs of `watched_outputs`.
    excess: for each stage, the variance that the rounding errors of encoded weights cause in its value, over the
    variance that white errors would cause, (features,). White errors are independent, with variance 1/12 per
    coefficient. shares: for each source, what the copies of features in the layout's slots leave of the reach,
    (sources, outputs, 1); 1 where it was not computed.
    """

    draft: Draft
    met: MetPower
    reach: Reach
    excess: tuple[Array, ...]
    shares: Array | float = 1.0

    @cached_property
    def _rules(self) -> tuple[StageRules, ...]:
        return stage_rules(self.draft)

    @cached_property
    def _weights(self) -> Array:
        """(sources, watched outputs, images): the variance at the outputs per unit of each source."""
        rounded = [
            {atom: np.outer(met * excess, self.met.by_image[atom]) for atom, met in by_atom.items()}
            for by_atom, excess in zip(self.met.all_diagonals, self.excess, strict=True)
        ]
        return np.asarray(self.shares * self.reach.weights(self._rules, rounded))

    @cached_property
    def _typical_power(self) -> tuple[dict[int, float], ...]:
        """For each stage and atom, the mean over features of met power times excess. The search reads it often."""
        return tuple(
            {atom: float(np.mean(power * excess)) for atom, power in by_atom.items()}
            for by_atom, excess in zip(self.met.all_diagonals, self.excess, strict=True)
        )

    def encoding_error_scale(self, stage: int, atom_scales: Sequence[float]) -> float:
        """Standard deviation of the error that rounding the weights makes in a stage's value, times the value's scale.

        The product does not depend on the value's scale. atom_scales: by atom.
        """
        powers = self._typical_power[stage]
        largest = max(atom_scales[atom] for atom in powers)  # divided out, since squares of scales may overflow
        total = sum(
            power * self._rules[stage].rounding[atom] * (atom_scales[atom] / largest) ** 2
            for atom, power in powers.items()
        )
        return largest * float(np.sqrt(total * encoding_variance(self.draft.choice.degree)))

    def output_sigmas(
        self, params: Params, input_scale: float, scales: Sequence[StageScales], key_share: float = 1.0
    ) -> Array:
        """Standard deviation of the error at every output for every image, (outputs, images), to first order.

        key_share: how much of a complex slot's variance counts, for errors that depend on the key. 1 gives a bound;
        1/2, the share of the real part, gives the average over keys.
        """
        sources = source_variances(self.draft, params, input_scale, scales, key_share)
        watched = np.sqrt(np.tensordot(sources, self._weights, 1))
        size = self.draft.stages[-1].size
        result = np.broadcast_to(watched.max(axis=0), (size, watched.shape[1])).copy()
        result[watched_outputs(size)] = watched
        return result

    def in_slots(self) -> NoiseModel:
        """The model with the shares of this layout, from derivatives by slots on a few images.

        They depend on layout and rotations alone. A draft may bring those that another one found.
        """
        if not isinstance(self.draft.shares, float):
            return replace(self, shares=self.draft.shares)
        outputs = watched_outputs(self.draft.stages[-1].size)
        chosen = list(range(0, len(outputs), -(-len(outputs) // SLOT_OUTPUTS)))
        diagonals = sum(len(table.diagonals) for table in self.draft.tables)
        products = diagonals * self.draft.choice.slots * len(chosen)
        images = min(SLOT_IMAGES, max(1, SLOT_PRODUCTS // products))
        evidence = self.met.evidence.subset(images)
        exact = slot_weights(self.draft, evidence, [outputs[place] for place in chosen]).mean(axis=2)
        white = replace(self, excess=tuple(np.ones(len(own)) for own in self.excess), shares=1.0)
        rough = white._weights[:, chosen, :images].mean(axis=2)
        tiny = np.finfo(float).tiny
        shares = np.repeat((exact.sum(axis=1) / np.maximum(rough.sum(axis=1), tiny))[:, None], len(outputs), axis=1)
        shares[:, chosen] = exact / np.maximum(rough, tiny)
        return replace(self, shares=shares[:, :, None])

    def measured(self, input_scale: float, scales: Sequence[StageScales]) -> NoiseModel:
        """The model with the excess that the plaintexts really have when they are encoded at these scales."""
        atom_scales = [input_scale, *(scale.atom for scale in scales)]
        return replace(
            self, excess=tuple(self._excess(index, atom_scales, scales[index].value) for index in range(len(scales)))
        )

    def _excess(self, stage: int, atom_scales: Sequence[float], value_scale: float) -> Array:
        """The excess of one stage, (features,): the measured ratio, or 1 where it is at most CHANCE."""
        draft = self.draft
        table, planes = draft.tables[stage], draft.choice.planes
        keys = measured_keys(draft, stage)
        constants = plane_constants(replace(table, diagonals={key: table.diagonals[key] for key in keys}), planes)
        errors: dict[DiagonalKey, Array] = {}
        for key, constant in constants.items():  # without giant steps: they only permute coefficients
            error = encoding_error(constant, value_scale / atom_scales[key.atom])
            errors |= plane_parts(table, key, error, planes)
        found = apply_table(replace(table, diagonals=errors), dict(enumerate(self.met.slots)))
        found = folded(found, table.client_folds)
        actual = by_feature(np.mean(found**2, axis=0), table.output_map, draft.stages[stage].size)
        white = np.zeros(len(actual))
        for atom, power in self.met.measured_diagonals[stage].items():
            share = self._rules[stage].rounding[atom]
            white += share * power * encoding_variance(draft.choice.degree) * (atom_scales[atom] / value_scale) ** 2
        ratio = actual / np.maximum(white, np.finfo(float).tiny)
        return np.where(ratio > CHANCE, ratio, 1.0)


def noise_model(draft: Draft, images: int) -> NoiseModel:
    """The model of an arranged draft on the first `images` calibration images.

    It assumes that the rounding errors of encoded weights are white. `NoiseModel.measured` gives a model without this
    assumption.
    """
    evidence = draft.evidence.subset(images)
    known = draft.reach
    if known is None or known.fresh.shape[1] != evidence.outputs.shape[1]:
        known = reach(draft.stages, evidence, watched_outputs(draft.stages[-1].size))
    return NoiseModel(draft, MetPower(draft, evidence), known, tuple(np.ones(stage.size) for stage in draft.stages))


def watched_outputs(size: int) -> list[int]:
    """The outputs whose errors are computed: all, or at most WATCHED_OUTPUTS evenly spaced ones of a larger number."""
    return list(range(0, size, -(-size // WATCHED_OUTPUTS)))
