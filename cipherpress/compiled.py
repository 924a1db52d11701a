"""compile: a converted network to a bundle, priced with the kernel times of this machine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cipherpress.timing.cache import current_times
from compress.dataset import Dataset, Progress
from compress.errors import ConfigError, ModelError
from compress.network import Network
from hwmodel.counts import plain_workload
from secure.bundle.specs import Bundle
from secure.compiling.compile import compile_network
from secure.limits import Limits

#: Training images that ranges and noise are calibrated on.
CALIBRATION_IMAGES = 512


def compile(
    network: Network,
    data: Dataset,
    limits: Limits | None = None,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Bundle:
    """The bundle of a converted network, calibrated on training images of `data`.

    limits: the largest error or share of changed classes, and the most bytes of keys and of a request; the defaults
    of `Limits` without them. Plans are priced with the kernel times that `cipherpress calibrate` measured on this
    machine, or with the committed table where it was not run; the report's `times` says which.

    Raises: ModelError for a model that is not converted; ConfigError for data or limits of another type;
    CompileError, InsecureParametersError, BudgetError, InputShapeError; FormatError for a damaged file of kernel times.
    """
    if not isinstance(network, Network):
        raise ModelError(
            f"network: got {type(network).__name__}; compile takes a Network: convert a model first, "
            "with convert(model, data), or give both to press"
        )
    check_data_and_limits(data, limits)
    times = current_times()
    bundle = compile_network(
        network,
        data.calibration(CALIBRATION_IMAGES, seed).astype(np.float64),
        times=times.engine,
        seal_times=times.seal,
        limits=limits or Limits(),
        progress=progress,
    )
    added = {"times": times.origin, "plain_workload": plain_workload(network).to_json()}
    return replace(bundle, report={**bundle.report, **added})


def check_data_and_limits(data: object, limits: object) -> None:
    """Raises: ConfigError for data or limits of another type."""
    if not isinstance(data, Dataset):
        raise ConfigError("data", type(data).__name__, "a Dataset; load_data returns one")
    if not isinstance(limits, Limits | None):
        raise ConfigError("limits", type(limits).__name__, "None or Limits, such as Limits(max_error=0.5)")
