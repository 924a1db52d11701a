"""cipherpress: compress a trained torch network for the ciphertext, compile it to CKKS, run it on encrypted data.

The public names are below. Each is loaded when it is first used, so a server that imports this package starts without
torch.

compiled.py   compile: a converted network to a bundle, with the kernel times of this machine
parties.py    Client and Server of a bundle of either mode
pressed.py    press: compress, convert and compile in one call
targeted.py   press_for: the search for a network that meets a target
detected.py   detect: the digits in a picture, in clear or encrypted
answered.py   one encrypted input, with both parties in this process
selected.py   which of its boxes stay, decided on ciphertexts
saved.py      save and load: every artifact by its folder
commands/     the command line, one file per topic
remote/       RemoteClient: a client over HTTP
detection/    which of many overlapping boxes stay
selftest/     random networks of many families, held against every promise
service/      the server over HTTP
timing/       what the kernels of this machine take
zoo/          data sets and reference networks
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what editors and type checkers see; at run time __getattr__ loads each name when it is first used
    from cipherpress.compiled import compile as compile
    from cipherpress.detected import detect as detect
    from cipherpress.detected import detector_bundle as detector_bundle
    from cipherpress.detection.anchors import Anchors as Anchors
    from cipherpress.detection.greedy import greedy_nms as greedy_nms
    from cipherpress.detection.psrr import maxpool_nms as maxpool_nms
    from cipherpress.detection.psrr import psrr_nms as psrr_nms
    from cipherpress.parties import Client as Client
    from cipherpress.parties import Server as Server
    from cipherpress.pressed import press as press
    from cipherpress.remote.client import AsyncRemoteClient as AsyncRemoteClient
    from cipherpress.remote.client import RemoteClient as RemoteClient
    from cipherpress.saved import artifact_kind as artifact_kind
    from cipherpress.saved import load as load
    from cipherpress.saved import save as save
    from cipherpress.targeted import Search as Search
    from cipherpress.targeted import press_for as press_for
    from cipherpress.zoo.datasets import load_data as load_data
    from cipherpress.zoo.loading import load_model as load_model
    from cipherpress.zoo.natives import load_network as load_network
    from cipherpress.zoo.networks import Recipe as Recipe
    from cipherpress.zoo.training import train as train
    from compress.account.accounting import account as account
    from compress.artifact import write_file as write_file
    from compress.blocks.options import BlockPruning as BlockPruning
    from compress.blocks.prune import prune_blocks as prune_blocks
    from compress.conversion.convert import convert as convert
    from compress.conversion.options import Conversion as Conversion
    from compress.dataset import Dataset as Dataset
    from compress.errors import AnswerRangeError as AnswerRangeError
    from compress.errors import BackendError as BackendError
    from compress.errors import BudgetError as BudgetError
    from compress.errors import BundleChangedError as BundleChangedError
    from compress.errors import CalibrationError as CalibrationError
    from compress.errors import CipherpressError as CipherpressError
    from compress.errors import CollapseError as CollapseError
    from compress.errors import CompilationSizeError as CompilationSizeError
    from compress.errors import CompileError as CompileError
    from compress.errors import CompressError as CompressError
    from compress.errors import ConfigError as ConfigError
    from compress.errors import CostModelError as CostModelError
    from compress.errors import DataError as DataError
    from compress.errors import FormatError as FormatError
    from compress.errors import InputRangeError as InputRangeError
    from compress.errors import InputShapeError as InputShapeError
    from compress.errors import InsecureParametersError as InsecureParametersError
    from compress.errors import KeyBytesError as KeyBytesError
    from compress.errors import KeyMismatchError as KeyMismatchError
    from compress.errors import KeyNotRegisteredError as KeyNotRegisteredError
    from compress.errors import LevelBudgetError as LevelBudgetError
    from compress.errors import ModelError as ModelError
    from compress.errors import OverwriteError as OverwriteError
    from compress.errors import PlanBudgetError as PlanBudgetError
    from compress.errors import PlanError as PlanError
    from compress.errors import PrecisionError as PrecisionError
    from compress.errors import SecretKeyError as SecretKeyError
    from compress.errors import ServiceError as ServiceError
    from compress.errors import ServiceUnavailableError as ServiceUnavailableError
    from compress.errors import SlotOverflowError as SlotOverflowError
    from compress.errors import UnsupportedLayerError as UnsupportedLayerError
    from compress.gathering import as_dataset as as_dataset
    from compress.joint.quantize import joint_quantize as joint_quantize
    from compress.model.compressed import CompressedModel as CompressedModel
    from compress.model.onnx_file import export_onnx as export_onnx
    from compress.native.options import Native as Native
    from compress.native.training import native as native
    from compress.network import Network as Network
    from compress.opq.curvature import weight_curvature as weight_curvature
    from compress.opq.opq import opq as opq
    from compress.press.setting import Setting as Setting
    from compress.press.target import Found as Found
    from compress.press.target import Target as Target
    from compress.rate.recipe import RateRecipe as RateRecipe
    from compress.rate.searching import compress_for as compress_for
    from compress.rate.target import RateTarget as RateTarget
    from compress.training.finetune import finetune as finetune
    from hwmodel.report import compare as compare
    from hwmodel.report import estimate as estimate
    from secure.bundle.batch_specs import BatchBundle as BatchBundle
    from secure.bundle.batch_specs import BatchClientSpec as BatchClientSpec
    from secure.bundle.batch_specs import BatchServerSpec as BatchServerSpec
    from secure.bundle.files import load_client as load_client
    from secure.bundle.files import load_server as load_server
    from secure.bundle.specs import Bundle as Bundle
    from secure.bundle.specs import ClientSpec as ClientSpec
    from secure.bundle.specs import ServerSpec as ServerSpec
    from secure.limits import ACCEPTABLE_DISAGREEMENT as ACCEPTABLE_DISAGREEMENT
    from secure.limits import Limits as Limits
    from secure.parties.keys import EvaluationKey as EvaluationKey
    from secure.parties.keys import SecretKey as SecretKey
    from secure.parties.keys import write_keys as write_keys
    from secure.parties.release import ReleaseCost as ReleaseCost
    from secure.parties.release import release as release
    from secure.parties.release import release_class as release_class
    from secure.parties.release import release_cost as release_cost
    from secure.plan import Plan as Plan
    from secure.verify.roundtrip import round_trip as round_trip
    from secure.verify.verification import verify_bundle as verify_bundle

__version__ = "0.1.0"

#: Every public name, by the module that defines it.
_DEFINED_IN = {
    "cipherpress.compiled": ("compile",),
    "cipherpress.detected": ("detect", "detector_bundle"),
    "cipherpress.detection.anchors": ("Anchors",),
    "cipherpress.detection.greedy": ("greedy_nms",),
    "cipherpress.detection.psrr": ("maxpool_nms", "psrr_nms"),
    "cipherpress.parties": ("Client", "Server"),
    "cipherpress.pressed": ("press",),
    "cipherpress.remote.client": ("AsyncRemoteClient", "RemoteClient"),
    "cipherpress.saved": ("artifact_kind", "load", "save"),
    "cipherpress.targeted": ("Search", "press_for"),
    "cipherpress.zoo.datasets": ("load_data",),
    "cipherpress.zoo.loading": ("load_model",),
    "cipherpress.zoo.natives": ("load_network",),
    "cipherpress.zoo.networks": ("Recipe",),
    "cipherpress.zoo.training": ("train",),
    "compress.account.accounting": ("account",),
    "compress.artifact": ("write_file",),
    "compress.blocks.options": ("BlockPruning",),
    "compress.blocks.prune": ("prune_blocks",),
    "compress.conversion.convert": ("convert",),
    "compress.conversion.options": ("Conversion",),
    "compress.dataset": ("Dataset",),
    "compress.errors": (
        "AnswerRangeError", "BackendError", "BudgetError", "BundleChangedError", "CalibrationError",
        "CipherpressError", "CollapseError",
        "CompilationSizeError", "CompileError", "CompressError",
        "ConfigError", "CostModelError", "DataError", "FormatError", "InputRangeError", "InputShapeError",
        "InsecureParametersError", "KeyBytesError",
        "KeyMismatchError", "KeyNotRegisteredError", "LevelBudgetError", "ModelError", "OverwriteError",
        "PlanBudgetError", "PlanError", "PrecisionError", "SecretKeyError", "ServiceError", "ServiceUnavailableError",
        "SlotOverflowError", "UnsupportedLayerError",
    ),
    "compress.gathering": ("as_dataset",),
    "compress.joint.quantize": ("joint_quantize",),
    "compress.model.compressed": ("CompressedModel",),
    "compress.model.onnx_file": ("export_onnx",),
    "compress.native.options": ("Native",),
    "compress.native.training": ("native",),
    "compress.network": ("Network",),
    "compress.opq.curvature": ("weight_curvature",),
    "compress.opq.opq": ("opq",),
    "compress.press.setting": ("Setting",),
    "compress.press.target": ("Found", "Target"),
    "compress.rate.recipe": ("RateRecipe",),
    "compress.rate.searching": ("compress_for",),
    "compress.rate.target": ("RateTarget",),
    "compress.training.finetune": ("finetune",),
    "hwmodel.report": ("compare", "estimate"),
    "secure.bundle.batch_specs": ("BatchBundle", "BatchClientSpec", "BatchServerSpec"),
    "secure.bundle.files": ("load_client", "load_server"),
    "secure.bundle.specs": ("Bundle", "ClientSpec", "ServerSpec"),
    "secure.limits": ("ACCEPTABLE_DISAGREEMENT", "Limits"),
    "secure.parties.keys": ("EvaluationKey", "SecretKey", "write_keys"),
    "secure.parties.release": ("ReleaseCost", "release", "release_class", "release_cost"),
    "secure.plan": ("Plan",),
    "secure.verify.roundtrip": ("round_trip",),
    "secure.verify.verification": ("verify_bundle",),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _DEFINED_IN.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'cipherpress' has no attribute '{name}'")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*_MODULE_OF, "__version__"])
