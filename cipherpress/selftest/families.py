"""The families of the selftest: which random network goes with which data, and how it is made into a bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from torch import nn

from cipherpress.selftest import data, networks
from compress.conversion.options import Conversion
from compress.dataset import Dataset
from compress.press.setting import Setting

Generator = np.random.Generator

#: Passes over the training rows when a network is converted. The rows are few, so that an epoch has few steps.
CONVERT_EPOCHS = 30


@dataclass(frozen=True)
class Drawn:
    """One random network with its data. setting: how it is compressed; None only converts it."""

    module: nn.Module
    data: Dataset
    conversion: Conversion = Conversion(epochs=CONVERT_EPOCHS, batch_size=64)
    setting: Setting | None = None


def _dense(rng: Generator) -> Drawn:
    features, classes = int(rng.integers(6, 65)), int(rng.integers(2, 11))
    rows = data.classes_of_features(rng, 800, features, classes, heavy_tails=bool(rng.random() < 0.5))
    depth = int(rng.integers(1, 4))
    return Drawn(networks.dense(rng, features, classes, depth, norm=bool(rng.random() < 0.3)), rows)


def _deep_dense(rng: Generator) -> Drawn:
    features, classes = int(rng.integers(16, 65)), int(rng.integers(3, 11))
    depth = int(rng.integers(4, 9))
    return Drawn(networks.dense(rng, features, classes, depth), data.classes_of_features(rng, 1500, features, classes))


def _signals(rng: Generator) -> Drawn:
    shape, classes = (int(rng.integers(1, 4)), int(rng.integers(16, 49))), int(rng.integers(2, 7))
    return Drawn(
        networks.convolutions(rng, shape, classes, int(rng.integers(1, 3))), data.patterns(rng, 800, shape, classes)
    )


def _images(rng: Generator) -> Drawn:
    return _of_images(rng, int(rng.integers(1, 4)))


def _deep_images(rng: Generator) -> Drawn:
    return _of_images(rng, int(rng.integers(4, 7)))


def _of_images(rng: Generator, depth: int) -> Drawn:
    side = int(rng.integers(8, 17))
    shape, classes = (int(rng.integers(1, 4)), side, side), int(rng.integers(3, 9))
    return Drawn(networks.convolutions(rng, shape, classes, depth), data.patterns(rng, 1000, shape, classes))


def _residual(rng: Generator) -> Drawn:
    shape, classes = (int(rng.integers(1, 4)), 12, 12), int(rng.integers(3, 9))
    return Drawn(
        networks.Residual(rng, shape, classes, int(rng.integers(1, 3))), data.patterns(rng, 1000, shape, classes)
    )


def _concatenated(rng: Generator) -> Drawn:
    features, classes = int(rng.integers(8, 41)), int(rng.integers(2, 8))
    return Drawn(networks.Branches(rng, features, classes), data.classes_of_features(rng, 800, features, classes))


def _smooth(rng: Generator) -> Drawn:
    features, classes = int(rng.integers(8, 41)), int(rng.integers(2, 8))
    activation = networks.SMOOTH[int(rng.integers(len(networks.SMOOTH)))]
    module = networks.dense(rng, features, classes, int(rng.integers(1, 4)), activation=activation)
    return Drawn(module, data.classes_of_features(rng, 800, features, classes))


def _own_polynomials(rng: Generator) -> Drawn:
    features, classes = int(rng.integers(8, 33)), int(rng.integers(2, 8))
    return Drawn(networks.Cubic(rng, features, classes), data.classes_of_features(rng, 800, features, classes))


def _gated(rng: Generator) -> Drawn:
    features, classes = int(rng.integers(8, 41)), int(rng.integers(2, 8))
    return Drawn(networks.Gated(rng, features, classes), data.classes_of_features(rng, 800, features, classes))


def _regression(rng: Generator) -> Drawn:
    features, outputs, depth = int(rng.integers(6, 33)), int(rng.integers(1, 4)), int(rng.integers(1, 4))
    module = networks.dense(rng, features, outputs, depth)
    rows = data.numbers_of_features(rng, 800, features, outputs)
    # conversion takes degree 4 by itself for shallow regressions that lose much by quadratics; some take it always
    degree = 4 if depth < 3 and rng.random() < 0.5 else None
    return Drawn(module, rows, Conversion(epochs=CONVERT_EPOCHS, batch_size=64, degree=degree))


def _one_output(rng: Generator) -> Drawn:
    features = int(rng.integers(6, 33))
    return Drawn(networks.dense(rng, features, 1, int(rng.integers(1, 3))), data.one_of_two(rng, 800, features))


def _autoencoder(rng: Generator) -> Drawn:
    features = int(rng.integers(10, 33))
    return Drawn(networks.autoencoder(rng, features), data.rows_to_rebuild(rng, 800, features))


def _two_inputs(rng: Generator) -> Drawn:
    features, shape, classes = int(rng.integers(4, 17)), (1, 6, 6), int(rng.integers(2, 7))
    module = networks.TwoInputs(rng, features, shape, classes)
    return Drawn(module, data.classes_of_two_inputs(rng, 800, features, shape, classes))


def _few_rows(rng: Generator) -> Drawn:
    features, classes = int(rng.integers(6, 33)), int(rng.integers(2, 5))
    module = networks.dense(rng, features, classes, int(rng.integers(1, 3)))
    return Drawn(module, data.classes_of_features(rng, int(rng.integers(50, 120)), features, classes))


def _compressed(rng: Generator) -> Drawn:
    drawn = _dense(rng) if rng.random() < 0.5 else _images(rng)
    bits, sparsity = float(rng.integers(4, 7)), float(rng.uniform(0.3, 0.7))
    setting = Setting(
        bits=bits, sparsity=sparsity, finetune_epochs=10, convert_epochs=CONVERT_EPOCHS, convert_batch_size=64
    )
    return Drawn(drawn.module, drawn.data, setting=setting)


#: Every family by name: a function from a generator of random numbers to a network that is not trained yet.
FAMILIES: Mapping[str, Callable[[Generator], Drawn]] = MappingProxyType(
    {
        "dense": _dense,
        "deep dense": _deep_dense,
        "1-D convolutions": _signals,
        "2-D convolutions": _images,
        "deep convolutions": _deep_images,
        "residual": _residual,
        "concatenated": _concatenated,
        "smooth activations": _smooth,
        "own polynomials": _own_polynomials,
        "gated": _gated,
        "regression": _regression,
        "one output": _one_output,
        "autoencoder": _autoencoder,
        "two inputs": _two_inputs,
        "few rows": _few_rows,
        "compressed": _compressed,
    }
)
