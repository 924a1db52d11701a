"""compile: a converted network to a bundle, priced with the kernel times of this machine."""

from __future__ import annotations

import logging
from dataclasses import replace
from math import inf
from time import perf_counter
from typing import Any, Literal, overload

import numpy as np

from cipherpress.timing.cache import current_times
from compress.dataset import Dataset, Progress
from compress.errors import ConfigError, InputShapeError, ModelError, PlanBudgetError
from compress.front import behind_front, front_of
from compress.gathering import as_dataset
from compress.network import Network
from compress.recorded import log_recorded
from compress.robust import describe_outliers, input_range
from hwmodel.counts import plain_workload
from secure.bundle.batch_specs import BatchBundle
from secure.bundle.specs import Bundle
from secure.compiling.compile import compile_network
from secure.limits import BACKENDS, FOLDS, MODES, Limits
from secure.parties.memory import server_memory
from secure.plan import Plan
from secure.throughput.compile import compile_throughput
from secure.verify.memory import peak_rss_bytes

logger = logging.getLogger(__name__)

#: Training images that ranges and noise are calibrated on.
CALIBRATION_IMAGES = 512
#: The most test images that the errors and the changed classes of a plan are judged on.
HELD_OUT_ROWS = 10_000


@overload
def compile(
    network: Network,
    data: object,
    limits: Limits | None = None,
    *,
    mode: Literal["latency"] = "latency",
    seed: int = 0,
    progress: Progress | None = None,
) -> Bundle: ...
@overload
def compile(
    network: Network,
    data: object,
    limits: Limits | None = None,
    *,
    mode: Literal["throughput"],
    seed: int = 0,
    progress: Progress | None = None,
) -> BatchBundle: ...
@overload
def compile(
    network: Network,
    data: object,
    limits: Limits | None = None,
    *,
    mode: str,
    seed: int = 0,
    progress: Progress | None = None,
) -> Bundle | BatchBundle: ...
def compile(
    network: Network,
    data: object,
    limits: Limits | None = None,
    *,
    mode: str = "latency",
    seed: int = 0,
    progress: Progress | None = None,
) -> Bundle | BatchBundle:
    """The bundle of a converted network, calibrated on training images of `data`.

    data: what `as_dataset` takes; labels are not used. Of a network with a front end (`compress.front`) the plan starts
    at its features, which the client makes of the images.
    limits: the largest error or share of changed classes, and the most bytes of keys and of a request; the defaults
    of `Limits` without them. mode: "latency" for one input at a time, soon; "throughput" for a batch of any number of
    inputs, thousands at a time, on a server that needs no key.

    Training rows that are outliers (`compress.robust`) are left out; the report's `warnings` name them. Every warning
    is logged as well. Plans are priced with the kernel times that `cipherpress calibrate` measured on this machine, or
    with the committed table where it was not run; the report's `times` says which. Its `compile_seconds`
    is the time of this call. `compile_peak_bytes` is the largest resident set of this process until now: of everything
    it did, not of this call alone. If it equals `peak_bytes_before_compile`, compiling stayed below an earlier peak.

    Raises: ModelError for a model that is not converted; DataError; ConfigError for limits of another type, another
    mode, and limits that the mode does not have; CompilationSizeError, before any work, for a network too large to
    compile within the limits; CompileError, InsecureParametersError, BudgetError, InputShapeError; FormatError for a
    damaged file of kernel times.
    """
    if not isinstance(network, Network):
        raise ModelError(
            f"network: got {type(network).__name__}; compile takes a Network: convert a model first, "
            "with convert(model, data), or give both to press"
        )
    check_limits(limits, mode)
    data = as_dataset(data)
    started, peak_before = perf_counter(), peak_rss_bytes()
    bundle = _compiled(behind_front(network), _features(network, data), limits or Limits(), mode, seed, progress)
    added: dict[str, Any] = {
        "plain_workload": plain_workload(network).to_json(),
        "compile_seconds": perf_counter() - started,
        "compile_peak_bytes": peak_rss_bytes(),
        "peak_bytes_before_compile": peak_before,
    }
    warnings = list(bundle.report.get("warnings", ()))
    if data.outliers:
        warnings.insert(0, f"data '{data.name}': {describe_outliers(data.outliers, len(data.x_train))}")
    if warnings:
        added["warnings"] = warnings
    log_recorded(logger, warnings)
    return replace(bundle, report={**bundle.report, **added})


def _features(network: Network, data: Dataset) -> Dataset:
    """The rows that the server's part of a network takes: features of images where it has a front end.

    Raises: InputShapeError for rows of another shape; ModelError for a malformed record of the front end.
    """
    front = front_of(network)
    if front is None:
        return data
    if data.input_shape != front.shape:
        raise InputShapeError(
            f"data '{data.name}': rows of shape {data.input_shape}; the network's front end takes {front.shape}; "
            "compile with the data it was made with"
        )
    rows = data.without_outliers()
    x_train, x_test = (front.apply(images).astype(np.float32) for images in (rows.x_train, data.x_test))
    return replace(data, x_train=x_train, y_train=rows.y_train, x_test=x_test)


def _compiled(
    network: Network, data: Dataset, limits: Limits, mode: str, seed: int, progress: Progress | None
) -> Bundle | BatchBundle:
    images = data.calibration(CALIBRATION_IMAGES, seed).astype(np.float64)
    common: dict[str, Any] = {
        "held_out": data.x_test[:: -(-len(data.x_test) // HELD_OUT_ROWS)],
        "limits": limits,
        "accepted": input_range(data.without_outliers().x_train),
        "progress": progress,
    }
    times = current_times()
    if mode == "throughput":
        batches = compile_throughput(network, images, times=times.residues, **common)
        return replace(batches, report={**batches.report, "times": times.origin})
    bundle = compile_network(
        network, images, times=times.engine, seal_times=times.seal, request_times=times.requests, **common
    )
    _check_memory(bundle.server.plan, limits)
    return replace(bundle, report={**bundle.report, "times": times.origin})


def _check_memory(plan: Plan, limits: Limits) -> None:
    """Raises: PlanBudgetError when a server of this plan needs more memory than the limits allow."""
    if limits.memory_bytes == inf:
        return
    memory = server_memory(plan)
    if memory.least > limits.memory_bytes:
        raise PlanBudgetError(
            f"a server of this plan needs {memory.least / 1e9:.2f} GB where {limits.memory_bytes / 1e9:.2f} GB are "
            f"allowed: {memory.described()}; raise --memory, or lower --budget-keys so that other plans are tried"
        )


def check_limits(limits: object, mode: object = "latency") -> None:
    """Raises: ConfigError for limits of another type, for another mode, and for limits that the mode does not have."""
    if not isinstance(limits, Limits | None):
        raise ConfigError("limits", type(limits).__name__, "None or Limits, such as Limits(max_error=0.5)")
    if mode not in MODES:
        raise ConfigError("mode", mode, ", ".join(MODES))
    if mode == "throughput" and limits is not None:
        if limits.memory_bytes < inf:
            raise ConfigError("memory_bytes", limits.memory_bytes, "no limit in mode throughput, which streams batches")
        if limits.objective is not None:
            raise ConfigError("objective", limits.objective, "None in mode throughput, which has least server time")
        if limits.fold != FOLDS[0]:
            raise ConfigError("fold", limits.fold, f"{FOLDS[0]} in mode throughput, which has nothing to fold")
        if limits.backends != BACKENDS[0]:
            raise ConfigError("backends", limits.backends, f"{BACKENDS[0]} in mode throughput, which SEAL cannot run")
