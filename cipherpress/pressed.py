"""press: compress, convert and compile in one call."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Literal, TypeVar, overload

from torch import nn

from cipherpress.compiled import check_limits
from cipherpress.compiled import compile as compile_bundle
from cipherpress.timing.cache import current_times
from compress.checks import check_seed
from compress.conversion.calibrate import network_outputs
from compress.dataset import Dataset, Progress
from compress.errors import ConfigError, ModelError
from compress.gathering import as_dataset
from compress.graph.importing import import_model
from compress.graph.joined import joined
from compress.model.compressed import CompressedModel, module_of
from compress.model.unhooked import unhooked_copy
from compress.native.options import Native
from compress.network import Network
from compress.press.pressing import pressed, usual_setting
from compress.press.setting import Setting
from compress.recorded import log_recorded, unlogged
from compress.scores import scoring_of
from compress.training.loop import predict
from compress.training.objective import settled_for
from secure.bundle.batch_specs import BatchBundle
from secure.bundle.specs import Bundle
from secure.limits import Limits

logger = logging.getLogger(__name__)

Made = TypeVar("Made", bound=Bundle | BatchBundle)


@overload
def press(
    model: nn.Module | CompressedModel,
    data: object,
    setting: Setting | None = None,
    limits: Limits | None = None,
    *,
    native: Native | None = None,
    mode: Literal["latency"] = "latency",
    augment: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> Bundle: ...
@overload
def press(
    model: nn.Module | CompressedModel,
    data: object,
    setting: Setting | None = None,
    limits: Limits | None = None,
    *,
    native: Native | None = None,
    mode: str,
    augment: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> Bundle | BatchBundle: ...
def press(
    model: nn.Module | CompressedModel,
    data: object,
    setting: Setting | None = None,
    limits: Limits | None = None,
    *,
    native: Native | None = None,
    mode: str = "latency",
    augment: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> Bundle | BatchBundle:
    """The bundle of a trained model: blocks pruned, OPQ, fine-tuned, converted and compiled, as `setting` says.

    native: instead of all that, a network of a shape made for one ciphertext is trained to name the model's classes
    (`compress.native`). It has a public front end, so clients encrypt features of images.

    data: what `as_dataset` takes.
    setting: what is done; `compress.press.pressing.usual_setting` without it, the defaults of `Setting` for all but
    deep networks. After block pruning, conversion distils from the
    model as it was given. limits, mode: as of `compile`; mode "throughput" gives a BatchBundle. augment: distort
    training images (image data only). The report's `about` holds the score of the given model (`score_plain`) and of
    the converted network (`score_after`), both on all test rows: accuracy, which stands there as `accuracy_plain` and
    `accuracy_after` too, or what `score` names.

    Raises: ModelError for a model of another type; ConfigError; what the steps raise.
    """
    check_given(model, setting, limits, seed, mode)
    if native is not None:
        return _pressed_native(model, data, native, setting, limits, mode, augment, seed, progress)
    model, rows = settled_rows(model, data)
    current_times()  # a damaged file is refused before anything is trained
    with unlogged():  # training and compiling both name the outliers
        chosen = setting or usual_setting(model, rows)
        network = pressed(model, rows, chosen, augment=augment, seed=seed, progress=progress)
        bundle = compile_bundle(network, rows, limits, mode=mode, seed=seed, progress=progress)
    log_recorded(logger, recorded_warnings(bundle))
    return with_scores(bundle, network, model, rows, after=network.about["score_after"])


def _pressed_native(
    model: nn.Module | CompressedModel,
    data: object,
    native: Native,
    setting: Setting | None,
    limits: Limits | None,
    mode: str,
    augment: bool,
    seed: int,
    progress: Progress | None,
) -> Bundle | BatchBundle:
    """Raises: ConfigError for a setting beside it; what `compress.native.training.native` and `compile` raise."""
    from compress.native.training import native as trained_native
    from compress.native.training import native_subject

    if setting is not None:
        raise ConfigError("setting", type(setting).__name__, "None with native, which prunes and converts nothing")
    current_times()
    module, rows, _ = native_subject(model, data)
    with unlogged():
        network = trained_native(model, rows, native, augment=augment, seed=seed, progress=progress)
        bundle = compile_bundle(network, rows, limits, mode=mode, seed=seed, progress=progress)
    log_recorded(logger, recorded_warnings(bundle))
    return with_scores(bundle, network, module, rows, after=network.about["score_after"])


def settled_rows(model: nn.Module | CompressedModel, data: object) -> tuple[nn.Module | CompressedModel, Dataset]:
    """The model as one of one input and output, and the data with labels and task as it needs them.

    Raises: UnsupportedLayerError for what has no encrypted form, before anything is trained; DataError,
    InputShapeError.
    """
    model, rows = joined(model, as_dataset(data))
    import_model(unhooked_copy(module_of(model)), rows.input_shape)
    return model, settled_for(module_of(model), rows, trust_labels=isinstance(model, CompressedModel))[0]


def recorded_warnings(bundle: Bundle | BatchBundle) -> list[str]:
    """The warnings of a bundle's network and of its plan, each once."""
    found = [*bundle.report.get("about", {}).get("warnings", ()), *bundle.report.get("warnings", ())]
    return list(dict.fromkeys(found))


def with_scores(
    bundle: Made,
    network: Network,
    model: nn.Module | CompressedModel,
    data: Dataset,
    *,
    after: float | None = None,
) -> Made:
    """The bundle with the scores of its model and its network, on all test rows, in its report.

    Without labels the network is compared with what the model answers. after: the network's score on these rows, where
    it is known.
    """
    scoring = scoring_of(network.about)
    given = replace(scoring, threshold=network.about.get("threshold_before", scoring.threshold))
    answers = predict(module_of(model), data.x_test)
    wanted = given.wanted(answers) if data.y_test is None else data.y_test
    plain = given.measured(answers, wanted)
    if after is None:
        after = scoring.measured(network_outputs(network, data.x_test), wanted)
    about = {
        **bundle.report.get("about", {}),
        "test_images": len(data.x_test),
        "score_plain": plain,
        "score_after": after,
        **({"accuracy_plain": plain, "accuracy_after": after} if scoring.names_classes else {}),
    }
    return replace(bundle, report={**bundle.report, "about": about})


def check_given(model: object, setting: object, limits: object, seed: int, mode: object = "latency") -> None:
    """Refuse what `press` and `press_for` cannot work on.

    Raises: ModelError for a model of another type; ConfigError.
    """
    check_seed(seed)
    if not isinstance(model, nn.Module | CompressedModel):
        advice = (
            "it is converted already: give it to compile" if isinstance(model, Network) else "load_model returns one"
        )
        raise ModelError(f"model: got {type(model).__name__}, not a torch module or a CompressedModel; {advice}")
    check_limits(limits, mode)
    if not isinstance(setting, Setting | None):
        raise ConfigError("setting", type(setting).__name__, "None or a Setting, such as Setting(sparsity=0.5)")
