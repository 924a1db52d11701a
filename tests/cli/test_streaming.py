"""Batches of any length are encrypted and run in the same memory, each command in a process of its own."""

from pathlib import Path

import numpy as np
import pytest

from secure.bundle.batch_specs import BatchBundle, BatchClientSpec, BatchServerSpec
from secure.bundle.client_file import client_digest
from secure.bundle.files import plan_digest, save_bundle
from secure.coded.plan import BatchPlan, Linear
from secure.params import make_params
from tests.small_road import process

FEATURES, OUTPUTS = 784, 10
#: What longer batches may add to the peak of a command, and the most that any may take.
MOST_GROWTH_BYTES, MOST_BYTES = 64 * 2**20, 2**30
MEASURED = (
    "import resource, sys, cli\n"
    "try: cli.main()\n"
    "except SystemExit as stopped: assert not stopped.code, stopped.code\n"
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
)


def save_wide_bundle(folder: Path) -> None:
    """One dense layer on 784 features, in blocks of 1,024 images."""
    codes = np.random.default_rng(0).integers(1, 8, (OUTPUTS, FEATURES)).astype(np.int32)
    layer = Linear(
        layer="fc",
        sources=(0,),
        scales=np.full(OUTPUTS, 2.0**20),
        starts=np.arange(OUTPUTS + 1) * FEATURES,
        columns=np.tile(np.arange(FEATURES, dtype=np.int32), OUTPUTS),
        codes=codes.ravel(),
        bias=np.zeros(OUTPUTS),
    )
    params = make_params(2048, [46], None)
    plan = BatchPlan(params=params, inputs=FEATURES, input_scale=2.0**20, steps=(layer,))
    client = BatchClientSpec(
        bundle_id=plan_digest(plan),
        params=params,
        input_shape=(FEATURES,),
        input_scale=plan.input_scale,
        input_low=np.zeros(FEATURES),
        input_high=np.ones(FEATURES),
        output_shape=(OUTPUTS,),
        output_scales=plan.output_scales,
        reply_parts=2,
        predicted_logit_error=1.0,
    )
    server = BatchServerSpec(bundle_id=client.bundle_id, plan=plan, client_digest=client_digest(client))
    save_bundle(BatchBundle(client=client, server=server, report={"mode": "throughput"}), folder)


def peak_bytes(*arguments: object) -> int:
    """The largest resident set of one command."""
    done = process("-c", MEASURED, *map(str, arguments), "--quiet")
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1])


def peaks(folder: Path, images: int) -> tuple[int, int]:
    """Of encrypt and run on so many images."""
    pixels = np.random.default_rng(1).integers(0, 256, (images, FEATURES), dtype=np.uint8)
    np.save(folder / "x.npy", pixels)
    files = ("--input", folder / "x.npy", "-o", folder / "x.ct", "--force")
    encrypting = peak_bytes("encrypt", folder / "bundle", "--key", folder / "keys/secret.key", *files)
    running = peak_bytes("run", folder / "bundle", "--input", folder / "x.ct", "-o", folder / "y.ct", "--force")
    return encrypting, running


@pytest.mark.slow
def test_memory_does_not_grow_with_the_batch(tmp_path: Path) -> None:
    save_wide_bundle(tmp_path / "bundle")
    peak_bytes("keygen", tmp_path / "bundle", "-o", tmp_path / "keys")
    few, many = peaks(tmp_path, 2_048), peaks(tmp_path, 40_000)
    assert max(many) < MOST_BYTES
    assert many[0] - few[0] < MOST_GROWTH_BYTES
    assert many[1] - few[1] < MOST_GROWTH_BYTES
