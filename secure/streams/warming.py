"""Loads the compiled kernels of batches, by a tiny plan with steps of every kind, so that they are not timed later.

The first time after an installation they are compiled, which takes a minute or two.
"""

from __future__ import annotations

from secrets import token_bytes

import numpy as np

from secure.bundle.batch_specs import BatchClientSpec, BatchServerSpec
from secure.coded.plan import FRESH_PARTS, BatchPlan, Linear, Product, Quadratic, Select, Step, Sum
from secure.params import KEYLESS_RING_DEGREES, make_params
from secure.parties.container import KEY_ID_BYTES
from secure.residues.evaluator import BatchEvaluator
from secure.residues.times import Way, preferring
from secure.streams.compiled import FOLDER
from secure.streams.frames import BATCH_ID_BYTES, Frame, FrameHead, request_layout
from secure.streams.server import BatchServer

#: Features of the tiny plan's values, and bits of its prime.
FEATURES, PRIME_BITS = 32, 40
#: No bundle has this id.
BUNDLE_ID = "00" * 32


def kernels_compiled() -> bool:
    """Whether kernels of these sources have been compiled on this machine."""
    return FOLDER.is_dir()


def load_server_kernels() -> None:
    """Run the tiny plan on a request of zeros."""
    plan = _tiny_plan()
    layout = request_layout(BUNDLE_ID, plan.params, plan.inputs, 0)
    head = FrameHead(bytes(BATCH_ID_BYTES), 0, 1, 1)
    items = tuple(bytes(size) for size in layout.item_bytes)
    request = layout.to_bytes(Frame(bytes(KEY_ID_BYTES), head, token_bytes(layout.seed_bytes), items))
    BatchServer(BatchServerSpec(bundle_id=BUNDLE_ID, plan=plan)).run_batch(request)
    _load_linear_kernels(plan)


def load_kernels() -> None:
    """Run the tiny plan with a client of its own, on one input of zeros."""
    from secure.streams.client import BatchClient  # loads TenSEAL, which a server does without

    plan = _tiny_plan()
    client = BatchClient(
        BatchClientSpec(
            bundle_id=BUNDLE_ID,
            params=plan.params,
            input_shape=(plan.inputs,),
            input_scale=plan.input_scale,
            input_low=-np.ones(FEATURES),
            input_high=np.ones(FEATURES),
            output_shape=(plan.outputs,),
            output_scales=plan.output_scales,
            reply_parts=plan.parts[-1],
            predicted_logit_error=1.0,
        )
    )
    server = BatchServer(BatchServerSpec(bundle_id=BUNDLE_ID, plan=plan))
    client.decrypt_batch(server.run_batch(client.encrypt_batch(np.zeros((1, FEATURES)))))
    _load_linear_kernels(plan)


def _load_linear_kernels(plan: BatchPlan) -> None:
    """Run the plan with its linear layers done in each of the ways, whichever a larger plan takes."""
    residues = np.zeros((plan.inputs, FRESH_PARTS, plan.params.poly_modulus_degree))
    for way in Way:
        BatchEvaluator(plan, times=preferring(way)).run(0, residues)


def _tiny_plan() -> BatchPlan:
    """A dense layer, a sparse one, a square and a product, a sum, and a selection."""
    ones, scales = np.ones(FEATURES), np.ones(FEATURES)
    dense = np.arange(FEATURES**2, dtype=np.int32) % FEATURES
    steps: tuple[Step, ...] = (
        _linear("dense", np.arange(FEATURES + 1) * FEATURES, dense, 0),
        _linear("sparse", np.minimum(np.arange(FEATURES + 1), 1), dense[:1], 1),
        Quadratic(layer="square", sources=(2,), scales=scales, square=ones, linear=ones, constant=ones),
        Product(layer="product", sources=(1, 2), scales=scales),
        Sum(layer="sum", sources=(3, 4), scales=scales, factors=np.ones((2, FEATURES))),
        Select(layer="select", sources=(5,), scales=scales, indices=np.arange(FEATURES), factors=ones),
    )
    params = make_params(KEYLESS_RING_DEGREES[0], [PRIME_BITS], None)
    return BatchPlan(params=params, inputs=FEATURES, input_scale=1.0, steps=steps)


def _linear(layer: str, starts: np.ndarray, columns: np.ndarray, source: int) -> Linear:
    zeros, codes = np.zeros(FEATURES), np.ones(len(columns), dtype=np.int32)
    return Linear(
        layer=layer, sources=(source,), scales=np.ones(FEATURES), starts=starts.astype(np.int64),
        columns=columns, codes=codes, bias=zeros,
    )  # fmt: skip
