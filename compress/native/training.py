"""native: a classifier of images replaced by a network that is made for one ciphertext.

Such a network sees the lowest cosine coefficients of an image, which a client computes itself, and consists of linear
layers and squares. It is trained from fresh weights, since it shares no layer with the given network: first with
normalizations, then, these folded, with weights rounded to few bits and with noise on its features throughout.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.checks import check_flag, check_seed
from compress.conversion.calibrate import calibrated, network_outputs
from compress.dataset import Dataset, Progress
from compress.errors import CalibrationError, ConfigError, DataError, ModelError
from compress.front import Front, lowest_frequencies
from compress.gathering import as_dataset
from compress.graph.joined import joined
from compress.model.compressed import CompressedModel, module_of, source_record
from compress.model.unhooked import unhooked_copy
from compress.native.bank import PickCopy, feature_bank
from compress.native.exporting import exported
from compress.native.layers import Learned, Rounded, rounded
from compress.native.lessons import Lesson, divided, lesson
from compress.native.options import Native
from compress.network import Network
from compress.recorded import log_recorded
from compress.robust import describe_outliers
from compress.training.loop import fit_, predict
from compress.training.objective import Objective, settled_for
from compress.training.schedule import Schedule

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

#: A feature is multiplied by its standard deviation to the power of minus this: faint high frequencies come closer to
#: the strong low ones, and their noise with them. Chosen by trial among 0, 0.2 and 0.5.
GAIN_EXPONENT = 0.2
#: The least standard deviation of a feature, relative to the largest, that its gain follows.
LEAST_DEVIATION = 1e-3
#: The largest norm of a step's gradient: squares make rare steep ones.
GRADIENT_CLIP = 1.0
#: With rounded weights, the learning rate is divided by this.
ROUNDED_RATE = 4.0
#: The share of the epochs that either lesson is tried for.
TRIAL_SHARE = 0.2
#: Training rows that the ranges of values are measured on.
CALIBRATION_ROWS = 512


def native(
    model: nn.Module | CompressedModel,
    data: object,
    options: Native | None = None,
    *,
    augment: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> Network:
    """A network for one ciphertext that names the classes of `model`, with the scores of both in `about`.

    data: what `as_dataset` takes: images (count, channels, height, width), with or without labels. augment: train on
    distorted copies too. It trains on a GPU where there is one.
    Raises: ModelError for another type of model and for one whose answers are no classes; DataError for rows that are
    no images; ConfigError; CalibrationError when training diverges.
    """
    check_seed(seed)
    check_flag("augment", augment)
    if not isinstance(options, Native | None):
        raise ConfigError("native", type(options).__name__, "None or a Native, such as Native(hidden=(96,))")
    options, say = options or Native(), progress or (lambda label, share: None)
    module, rows, objective = native_subject(model, data)
    clean = rows.without_outliers()
    front = front_end(clean, options.features_of(rows.input_shape))
    given = predict(module, rows.x_test)
    copies = options.copies if augment else 0
    bank = feature_bank(
        front,
        clean.x_train,
        copies=copies,
        strength=options.distortion,
        seed=seed,
        progress=lambda label, share: say(label, 0.2 * share),
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pupil = _Pupil(bank.to(device), options, given.shape[1], seed, say)
    with _one_thread():
        taught = lesson(
            options.learn_from, clean.y_train, lambda: predict(module, clean.x_train), given.shape[1], pupil.tried
        )
        coded = pupil.trained(taught).coded()
    network = exported(front, coded, options.bits)
    network = calibrated(network, rows.calibration(CALIBRATION_ROWS, seed).astype(np.float64))
    about = {
        **network.about,
        **_scores(network, given, rows, objective),
        "source": dict(model.source) if isinstance(model, CompressedModel) else source_record(module),
        "history": [],
        "data": rows.name,
        "seed": seed,
        "native": {**_record(options, taught, front, augment), **_passes(options, len(clean.x_train))},
    }
    logger.info("native: %s %.4f -> %.4f", about["score"], about["score_before"], about["score_after"])
    say("trained", 1.0)
    return replace(network, about=about)


def native_subject(model: nn.Module | CompressedModel, data: object) -> tuple[nn.Module, Dataset, Objective]:
    """(the given network in eval mode, the rows with labels as it needs them, the objective).

    Its layers may be any: nothing of it is encrypted.

    Raises: ModelError, DataError, InputShapeError.
    """
    if not isinstance(model, nn.Module | CompressedModel):
        raise ModelError(f"model: got {type(model).__name__}, not a torch module or a CompressedModel")
    data = as_dataset(data)
    if data.x_train.ndim != 4:
        raise DataError(
            f"data '{data.name}': rows of shape {data.input_shape}; a native network takes images of shape (channels, "
            "height, width), whose cosine coefficients it sees; press without native"
        )
    own, data = joined(model, data)
    module = unhooked_copy(module_of(own)).eval()
    if data.y_train is None and data.task is None:
        data = replace(data, task="classes")  # the given network's answers are the labels then
    rows, objective = settled_for(module, data, trust_labels=isinstance(model, CompressedModel))
    outputs = predict(module, rows.x_test[:2])
    if objective.task != "classes" or outputs.ndim != 2:
        raise ModelError(
            f"model: outputs of shape {outputs.shape[1:]} for task {objective.task}; a native network names classes, "
            "with one output for each; press without native"
        )
    return module, rows, objective


def front_end(data: Dataset, features: int) -> Front:
    """The lowest cosine coefficients of the images, each times a gain by its deviation on the training rows.

    Raises: CalibrationError for images that do not vary.
    """
    shape = data.input_shape
    indices = lowest_frequencies(shape, features)
    deviations = Front(shape, indices, (1.0,) * features).apply(data.x_train.astype(np.float64)).std(axis=0)
    if not deviations.max() > 0:
        raise CalibrationError("input", "the training images do not vary; give other data")
    gains = np.maximum(deviations, LEAST_DEVIATION * deviations.max()) ** -GAIN_EXPONENT
    return Front(shape, indices, tuple(float(gain) for gain in gains))


@dataclass(frozen=True, eq=False)
class _Pupil:
    """Trains networks on a bank of features (rows, 1 + copies, features)."""

    bank: Tensor
    options: Native
    classes: int
    seed: int
    say: Progress

    def tried(self, targets: Tensor, labels: NDArray[np.int64]) -> float:
        """How often a network is right on held-out rows after a short training on targets (rows, classes) of the
        others. labels: what is right, (rows,)."""
        chosen, aside = divided(len(self.bank), self.seed)
        epochs = ceil(TRIAL_SHARE * self.options.passes(len(self.bank))[0])
        learned = self._learned(chosen, targets[chosen], epochs, lambda label, share: self.say("try a lesson", 0.2))
        outputs = predict_features(learned, self.bank[aside, 0])
        return float(np.mean(outputs.argmax(dim=1).numpy() == labels[aside.numpy()]))

    def trained(self, taught: Lesson) -> Rounded:
        """The network with rounded weights."""
        every = torch.arange(len(self.bank))
        epochs, batch = self.options.passes(len(self.bank))
        learned = self._learned(
            every, taught.targets, epochs, lambda label, share: self.say("train", 0.3 + 0.45 * share)
        )
        coded = rounded(learned, self.options.bits).to(self.bank.device)
        schedule = Schedule(
            epochs=ceil(self.options.rounded_epochs * epochs),
            learning_rate=self.options.learning_rate / ROUNDED_RATE,
            batch_size=batch,
            gradient_clip=GRADIENT_CLIP,
        )
        self._fit(coded, every, taught.targets, schedule, lambda label, share: self.say("round", 0.75 + 0.2 * share))
        return coded

    def _learned(self, chosen: Tensor, targets: Tensor, epochs: int, progress: Progress) -> Learned:
        torch.manual_seed(self.seed)
        learned = Learned(self.bank.shape[2], self.options.hidden, self.classes).to(self.bank.device)
        batch = self.options.passes(len(self.bank))[1]
        schedule = Schedule(
            epochs=epochs,
            learning_rate=self.options.learning_rate,
            batch_size=batch + (len(chosen) % batch == 1),  # no normalization of a single row
            weight_decay=self.options.weight_decay,
            gradient_clip=GRADIENT_CLIP,
        )
        self._fit(learned, chosen, targets, schedule, progress)
        return learned

    def _fit(self, module: nn.Module, chosen: Tensor, targets: Tensor, schedule: Schedule, progress: Progress) -> None:
        smoothing = self.options.label_smoothing
        fit_(
            module,
            self.bank if len(chosen) == len(self.bank) else self.bank[chosen],
            targets.to(self.bank.device),
            schedule,
            loss=lambda outputs, wanted, inputs: F.cross_entropy(outputs, wanted, label_smoothing=smoothing),
            augment=PickCopy(self.options.noise),
            seed=self.seed,
            progress=progress,
        )


def predict_features(module: nn.Module, features: Tensor) -> Tensor:
    """Outputs (rows, classes) for features (rows, features)."""
    with torch.no_grad():
        return torch.cat([module(part) for part in features.split(4096)]).cpu()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Inside, torch works on one thread: a step of so small a network is over before others have started."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _scores(network: Network, given: Array, data: Dataset, objective: Objective) -> dict[str, Any]:
    """Scores of the given network and of the new one on all test rows; without labels against the given answers."""
    wanted = objective.scoring.wanted(given) if data.y_test is None else data.y_test
    after = network_outputs(network, data.x_test)
    found = objective.scores(objective.score(given, wanted), objective.score(after, wanted))
    return {
        **found,
        "labels_used": data.y_train is not None,
        "test_images": len(data.x_test),
        **({"class_names": list(data.class_names)} if data.class_names else {}),
        **_warnings(data),
    }


def _warnings(data: Dataset) -> dict[str, list[str]]:
    if not data.outliers:
        return {}
    said = [f"data '{data.name}': {describe_outliers(data.outliers, len(data.x_train))}"]
    log_recorded(logger, said)
    return {"warnings": said}


def _passes(options: Native, rows: int) -> dict[str, int]:
    """The epochs and the batch size that were taken for so many rows."""
    epochs, batch_size = options.passes(rows)
    return {"epochs": epochs, "batch_size": batch_size}


def _record(options: Native, taught: Lesson, front: Front, augment: bool) -> dict[str, Any]:
    """How the network was made, in plain JSON values."""
    return {
        **asdict(options),
        "features": front.features,
        "hidden": list(options.hidden),
        "augment": augment,
        "learned_from": taught.source,
        "held_out": dict(taught.held_out),
    }
