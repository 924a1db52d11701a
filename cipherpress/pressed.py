"""press: compress, convert and compile in one call."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from cipherpress.compiled import check_data_and_limits
from cipherpress.compiled import compile as compile_bundle
from cipherpress.timing.cache import current_times
from compress.checks import check_seed
from compress.dataset import Dataset, Progress
from compress.errors import ConfigError, ModelError
from compress.model.compressed import CompressedModel, module_of
from compress.network import Network
from compress.press.pressing import pressed
from compress.press.setting import Setting
from compress.training.loop import accuracy
from secure.bundle.specs import Bundle
from secure.limits import Limits


def press(
    model: nn.Module | CompressedModel,
    data: Dataset,
    setting: Setting | None = None,
    limits: Limits | None = None,
    *,
    augment: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> Bundle:
    """The bundle of a trained model: blocks pruned, OPQ, fine-tuned, converted and compiled, as `setting` says.

    setting: what is done; the defaults of `Setting` without it. After block pruning, conversion distils from the
    model as it was given. limits: as of `compile`. augment: distort training images (image data only). The report's
    `about` holds the accuracy of the given model (`accuracy_plain`) and of the converted network (`accuracy_after`),
    both on all test images.

    Raises: ModelError for a model of another type; ConfigError; what the steps raise.
    """
    check_given(model, data, setting, limits, seed)
    current_times()  # a damaged file is refused before anything is trained
    network = pressed(model, data, setting or Setting(), augment=augment, seed=seed, progress=progress)
    bundle = compile_bundle(network, data, limits, seed=seed, progress=progress)
    return with_plain_accuracy(bundle, model, data)


def with_plain_accuracy(bundle: Bundle, model: nn.Module | CompressedModel, data: Dataset) -> Bundle:
    """The bundle with the accuracy of the model that it was made from, on all test images, in its report."""
    plain = accuracy(module_of(model), data.x_test, data.y_test)
    about = {**bundle.report.get("about", {}), "accuracy_plain": plain}
    return replace(bundle, report={**bundle.report, "about": about})


def check_given(model: object, data: object, setting: object, limits: object, seed: int) -> None:
    """Refuse what `press` and `press_for` cannot work on.

    Raises: ModelError for a model of another type; ConfigError.
    """
    check_seed(seed)
    if not isinstance(model, nn.Module | CompressedModel):
        advice = (
            "it is converted already: give it to compile" if isinstance(model, Network) else "load_model returns one"
        )
        raise ModelError(f"model: got {type(model).__name__}, not a torch module or a CompressedModel; {advice}")
    check_data_and_limits(data, limits)
    if not isinstance(setting, Setting | None):
        raise ConfigError("setting", type(setting).__name__, "None or a Setting, such as Setting(sparsity=0.5)")
