"""What a network does on rows of inputs: its values, and how far errors of the inputs reach. Independent of scales."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import CalibrationError, InputShapeError
from compress.network import Network
from compress.robust import InputRange
from secure.bounds.edges import edge_inputs
from secure.bounds.propagate import watched_outputs
from secure.coded.clear import with_units as rows_with_units
from secure.coded.derivatives import common_gains
from secure.coded.forms import LinearForm, Program
from secure.throughput.hardest import Hardest, gains_of, hardest_inputs

Array = NDArray[np.float64]
Rows = NDArray[np.floating[Any]]

#: The most rows that classes are judged on, and about how many products of numbers running them may take.
MOST_ROWS, MOST_PRODUCTS = 20_000, 1 << 32
#: The fewest and the most rows whose errors are computed, and about how many products that may take.
FEW_ERROR_ROWS, MOST_ERROR_ROWS, ERROR_PRODUCTS = 128, 2048, 1 << 31
#: Numbers that are held in memory at the same time.
CHUNK_NUMBERS = 1 << 23
#: The share of rows that a block of extreme images is like: that of a class among many.
EXTREME_SHARE = 1 / 16
#: Below this share of two gains, that of their difference is what float64 leaves of zero.
ALIKE = 1e-12


@dataclass(frozen=True)
class Evidence:
    """Rows that a plan is judged on.

    inputs: (rows, features); outputs: those of the network, (rows, outputs); beyond the known rows as its program gives
    them. held_out: whether the network was not trained on them. The first `typical` rows are like all. Those after them
    up to `known` are the ones whose two largest outputs are closest, where classes change first. gains
    (`secure.coded.derivatives`): of the outputs, and rival_gains: of the difference between a row's largest output and
    every output; (outputs, known). largest: the largest absolute outputs; edges: the same on inputs at the edge of what
    is accepted; blocks: the root mean square of every output over the rows where it is largest; (outputs,). hardest:
    inputs beyond the rows where these are few.
    """

    inputs: Array
    outputs: Array
    held_out: bool
    typical: int
    gains: Array
    rival_gains: Array
    largest: Array
    edges: Array
    blocks: Array
    hardest: Hardest | None

    @property
    def known(self) -> int:
        """Rows whose errors are computed."""
        return self.gains.shape[1]

    @property
    def examined(self) -> tuple[Array, Array]:
        """(inputs, outputs of the network) whose systematic errors are computed: the known rows, then the hardest."""
        inputs, outputs = self.inputs[: self.known], self.outputs[: self.known]
        if self.hardest is None:
            return inputs, outputs
        return np.concatenate([inputs, self.hardest.inputs]), np.concatenate([outputs, self.hardest.outputs])


def gather(
    network: Network, program: Program, calibration: Array, held_out: Rows | None, accepted: InputRange
) -> Evidence:
    """The evidence from calibration images (images, *input_shape) and held-out ones of the same shape.

    Held-out rows outside the accepted range are left out, since a client refuses them.
    Raises: InputShapeError and CalibrationError for rows of another shape, with infinite values, or on which the
    network's values overflow.
    """
    flat = calibration.reshape(len(calibration), -1)
    weights = sum(form.codes.nnz for form in program.forms if isinstance(form, LinearForm)) or 1
    rows, given = _judged(flat, held_out, accepted, network.input_shape)
    rows = rows[: max(FEW_ERROR_ROWS, min(MOST_ROWS, MOST_PRODUCTS // weights))]
    outputs = _outputs(program, rows)
    watched = watched_outputs(program.forms[-1].features)
    known = min(len(rows), max(FEW_ERROR_ROWS, min(MOST_ERROR_ROWS, ERROR_PRODUCTS // (weights * len(watched)))))
    typical = known if known == len(rows) or outputs.shape[1] == 1 else known // 2
    order = np.append(np.arange(typical), typical + np.argsort(_margins(outputs[typical:]), kind="stable"))
    rows, outputs = rows[order], outputs[order]
    outputs[:known] = network.run(rows[:known].reshape(-1, *network.input_shape)).reshape(known, -1)
    edges = edge_inputs(
        flat,
        accepted.low,
        accepted.high,
        _weight(program),
        channels=calibration.shape[1] if calibration.ndim > 2 else 0,
    )
    reached = np.abs(_outputs(program, flat))
    if not np.isfinite(reached).all() or not np.isfinite(outputs).all():
        raise CalibrationError(network.nodes[-1].name, "its values overflow on calibration inputs; scale its weights")
    gains, rival_gains = _gains(program, rows[:known], outputs[:known], watched)
    return Evidence(
        inputs=rows,
        outputs=outputs,
        held_out=given,
        typical=typical,
        gains=gains,
        rival_gains=rival_gains,
        largest=np.maximum(reached.max(axis=0), np.abs(outputs).max(axis=0)),
        edges=np.abs(_outputs(program, edges)).max(axis=0),
        blocks=_extreme_blocks(outputs),
        hardest=hardest_inputs(network, program, rows, accepted, watched),
    )


def _judged(flat: Array, held_out: Rows | None, accepted: InputRange, shape: tuple[int, ...]) -> tuple[Array, bool]:
    """(rows in random order, whether they were held out)."""
    rows, given = flat, False
    if held_out is not None and len(held_out):
        if held_out.shape[1:] != shape:
            raise InputShapeError(f"held-out rows: shape {held_out.shape[1:]}; the network takes {shape}")
        own = np.asarray(held_out, dtype=np.float64).reshape(len(held_out), -1)
        if not np.isfinite(own).all():
            raise CalibrationError("input", "held-out rows hold values that are not finite; clean the data")
        own = own[((own >= accepted.low) & (own <= accepted.high)).all(axis=1)]
        rows, given = (own, True) if len(own) else (rows, False)
    return rows[np.random.default_rng(0).permutation(len(rows))], given


def _extreme_blocks(outputs: Array) -> Array:
    """The root mean square of every output over the share of rows where it is largest, (outputs,)."""
    count = max(1, int(EXTREME_SHARE * len(outputs)))
    return np.asarray(np.sqrt(np.mean(np.sort(outputs**2, axis=0)[-count:], axis=0)))


def with_units(evidence: Evidence, program: Program, units: tuple[float, ...]) -> Evidence:
    """The evidence of a program that reads units after an image's features. Its gains are taken anew."""
    rows = rows_with_units(evidence.inputs, units)
    watched = watched_outputs(program.forms[-1].features)
    gains, rival_gains = _gains(program, rows[: evidence.known], evidence.outputs[: evidence.known], watched)
    hardest = evidence.hardest
    if hardest is not None:
        inputs = rows_with_units(hardest.inputs, units)
        hardest = replace(hardest, inputs=inputs, gains=gains_of(program, inputs, watched))
    return replace(evidence, inputs=rows, gains=gains, rival_gains=rival_gains, hardest=hardest)


def _margins(outputs: Array) -> Array:
    """By how much the largest output of every row exceeds the next, (rows,); 0 for one output."""
    if outputs.shape[1] < 2:
        return np.zeros(len(outputs))
    two = np.partition(outputs, -2, axis=1)[:, -2:]
    return np.asarray(two[:, 1] - two[:, 0])


def _outputs(program: Program, rows: Array) -> Array:
    """(rows, outputs), a part of the rows at a time."""
    step = max(1, CHUNK_NUMBERS // sum(program.features_of(value) for value in range(len(program.forms) + 1)))
    parts = [program.run(rows[start : start + step])[-1].T for start in range(0, len(rows), step)]
    return np.concatenate(parts)


def _weight(program: Program) -> Array:
    """How much each feature moves the values that read the inputs, (features,)."""
    power = np.zeros(program.inputs)
    for form in program.forms:
        if isinstance(form, LinearForm) and form.sources == (0,):
            scaled = form.codes.multiply(form.steps[:, None])
            power += np.asarray(scaled.multiply(scaled).sum(axis=0)).ravel()
    return np.sqrt(power) if power.any() else np.ones(program.inputs)


def _gains(program: Program, rows: Array, outputs: Array, watched: list[int]) -> tuple[Array, Array]:
    """(gains, rival gains) of the rows. outputs: (rows, outputs). watched: those whose derivatives are taken."""
    widest = max(program.features_of(value) for value in range(len(program.forms) + 1))
    held = widest * (len(program.forms) + 1) + 2 * program.inputs * len(watched)
    step = max(1, CHUNK_NUMBERS // held)
    parts = [common_gains(program, rows[start : start + step], watched) for start in range(0, len(rows), step)]
    common = np.concatenate(parts, axis=2)
    own = np.einsum("oor->or", common)
    if len(watched) < outputs.shape[1]:  # the others get the largest gains, and count as independent
        gains = np.repeat(own.max(axis=0, keepdims=True), outputs.shape[1], axis=0)
        gains[watched] = own
        return gains, gains + np.take_along_axis(gains, outputs.argmax(axis=1)[None], axis=0)
    top = outputs.argmax(axis=1)
    places = np.arange(len(top))
    both = own + own[top, places]
    rivals = both - 2 * common[top, :, places].T
    return own, np.where(rivals <= ALIKE * both, 0.0, rivals)
