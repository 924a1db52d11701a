"""compile: a converted network to a bundle, priced with the kernel times of this machine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cipherpress.timing.cache import current_times
from compress.dataset import Dataset, Progress
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

    Raises: CompileError, InsecureParametersError, BudgetError, InputShapeError; FormatError for a damaged file of
    kernel times.
    """
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
