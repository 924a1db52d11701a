"""Writes the golden files beside this script again: `python tests/golden/make.py`, from the root of a checkout.

The files are committed, so `git diff` shows every change of a format. A changed format needs a new version number.
"""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parents[1]))  # the checkout, when this runs as a script

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

from compress.artifact import write_file  # noqa: E402
from compress.model.compressed import CompressedModel  # noqa: E402
from compress.model.saved import save_model  # noqa: E402
from compress.network import (  # noqa: E402
    Add,
    Affine,
    AvgPool,
    AxisMap,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Gather,
    Input,
    Multiply,
    Network,
    Permute,
    Polynomial,
    Range,
    Reshape,
    Weights,
)
from compress.network_file import save_network  # noqa: E402
from compress.opq.opq import opq  # noqa: E402
from secure.bundle.files import plan_digest, save_bundle  # noqa: E402
from secure.bundle.interface import Interface  # noqa: E402
from secure.bundle.specs import Bundle, ClientSpec, ServerSpec  # noqa: E402
from secure.parties.container import Container, ContainerKind  # noqa: E402
from tests.secure.plans import SMALL, Builder  # noqa: E402
from tests.secure.small_batches import small_batch_bundle  # noqa: E402


def network() -> Network:
    """The node types of plain chains and residual networks, each once, with quantized and float weights.

    All numbers are exact in binary.
    """
    codes = (np.arange(18).reshape(2, 1, 3, 3) % 15 - 7).astype(np.int32)
    quantized = Weights(codes=codes, step=np.array([0.25, 0.5]), bits=4, mask=codes != 0)
    nodes = (
        Input(name="input", inputs=(), shape=(1, 6, 6)),
        Affine(name="norm", inputs=("input",), shape=(1, 6, 6), scale=np.array(2.0), shift=np.array(-0.5)),
        Conv(
            name="conv", inputs=("norm",), shape=(2, 6, 6), weights=quantized, bias=np.array([0.125, 0.25]),
            stride=(1, 1), padding=(1, 1), dilation=(1, 1), groups=1,
        ),
        Polynomial(name="act", inputs=("conv",), shape=(2, 6, 6), coefficients=np.array([[0.125], [0.5], [0.25]])),
        Add(name="add", inputs=("act", "conv"), shape=(2, 6, 6)),
        AvgPool(name="pool", inputs=("add",), shape=(2, 3, 3), kernel=(2, 2), stride=(2, 2), padding=(0, 0)),
        Permute(name="turn", inputs=("pool",), shape=(3, 3, 2), axes=(1, 2, 0)),
        Reshape(name="flat", inputs=("turn",), shape=(18,)),
        Dense(
            name="fc", inputs=("flat",), shape=(4,), bias=np.zeros(4),
            weights=Weights(codes=np.arange(72.0).reshape(4, 18) / 64, step=np.array(1.0)),
        ),
    )  # fmt: skip
    ranges = {node.name: Range(-1.5, 2.25, 0.75) for node in nodes}
    return Network(nodes=nodes, ranges=ranges, about={"source": "golden", "accuracy_after": 0.5})


def network2() -> Network:
    """The other node types, each once: transposed convolution, product, concatenation, gathering, a map of one axis."""
    codes = (np.arange(12).reshape(1, 3, 2, 2) % 7 - 3).astype(np.int32)
    quantized = Weights(codes=codes, step=np.array(0.25), bits=3, mask=codes != 0)
    nodes = (
        Input(name="input", inputs=(), shape=(1, 2, 3)),
        ConvTranspose(
            name="up", inputs=("input",), shape=(3, 5, 6), weights=quantized, bias=np.array([0.5, -0.25, 0.0]),
            stride=(2, 2), padding=(0, 0), dilation=(1, 1), groups=1,
        ),
        AxisMap(
            name="halved", inputs=("up",), shape=(3, 5, 3), axis=2,
            matrix=np.repeat(np.eye(3), 2, axis=1) / 2,
        ),
        Gather(name="first", inputs=("halved",), shape=(3, 5, 3), indices=np.r_[-1, np.arange(44)]),
        Multiply(name="gated", inputs=("halved", "first"), shape=(3, 5, 3)),
        Concat(name="joined", inputs=("gated", "halved"), shape=(6, 5, 3), axis=0),
    )  # fmt: skip
    ranges = {node.name: Range(-2.0, 1.75, 0.5) for node in nodes}
    return Network(nodes=nodes, ranges=ranges, about={"source": "golden"})


def bundle() -> Bundle:
    """Every kind of operation, with two real constants and a complex one."""
    ramp = np.arange(SMALL.slots) / SMALL.slots
    builder = Builder()
    product = builder.multiply_plain(0, ramp, 2.0**12)
    turned = builder.multiply_plain(builder.rotate(0, 3), ramp - 1j * ramp[::-1], 2.0**12)
    real = builder.add(turned, builder.conjugate(turned))
    builder.layer = "act"
    total = builder.add_plain(builder.add(product, real), 0.5)
    squared = builder.rescale(builder.relinearize(builder.square(total)))
    builder.layer = "skip"
    plan = builder.build(squared, builder.drop(0))
    client = ClientSpec(
        bundle_id=plan_digest(plan),
        params=plan.params,
        keys=plan.key_manifest.whole,
        input_shape=(4, 8),
        input_slots=np.tile(np.arange(32, dtype=np.int32), SMALL.slots // 32)[None, None, :],
        input_level=plan.input_level,
        input_scale=plan.input_scale,
        input_low=-1.0,
        input_high=1.0,
        output_shape=(2, 5),
        output_slots=np.stack([np.zeros(10, np.int32), np.arange(1000, 1010, dtype=np.int32)], axis=1),
        output_levels=tuple(plan.level_of(value) for value in plan.outputs),
        output_scales=tuple(plan.scale_of(value) for value in plan.outputs),
        predicted_logit_error=0.0625,
        interface=Interface(class_names=tuple("abcdefghij")),
    )
    server = ServerSpec(bundle_id=client.bundle_id, plan=plan)
    return Bundle(client=client, server=server, report={"mode": "latency"})


def module() -> nn.Module:
    """The architecture of the compressed model, with weights from a seed."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)).eval()


def compressed() -> CompressedModel:
    """The module after OPQ."""
    return opq(module(), sparsity=0.5, bits=4)


def container() -> Container:
    """An evaluation key with short items, which SEAL would not read."""
    items = (b"relinearization key", b"Galois keys", bytes(range(32)))
    return Container(ContainerKind.EVALUATION_KEY, "0123456789abcdef" * 4, bytes(range(16)), items)


def make(folder: Path) -> None:
    """Write all golden files into a folder."""
    save_network(network(), folder / "network", force=True)
    save_network(network2(), folder / "network2", force=True)
    save_bundle(bundle(), folder / "bundle", force=True)
    save_bundle(small_batch_bundle(), folder / "batch-bundle", force=True)
    save_model(compressed(), folder / "compressed", force=True)
    write_file(folder / "evaluation.key", container().to_bytes(), force=True)


if __name__ == "__main__":
    make(FOLDER)
