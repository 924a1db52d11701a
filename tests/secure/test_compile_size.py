"""What compiling takes: the estimate before it, the refusal beyond the limits, and memory where it once exploded."""

import re
import time
import tracemalloc
from math import inf
from sys import modules

import numpy as np
import pytest

from benchmarks.compile_networks import NetworkBuilder, cnn, dense, one_conv, residual
from benchmarks.compiling import measured
from compress.errors import CompilationSizeError, PlanBudgetError
from compress.network import AvgPool, Conv, Dense, Input, Network, Polynomial, Reshape, Weights
from secure.compiling import search
from secure.compiling.compile import compile_network
from secure.compiling.estimate import check_size, estimate, stage_sizes
from secure.drafting.draft import Choice, Draft, Rescaling, gather_evidence
from secure.kernels.counts import KernelTimes
from secure.limits import Limits
from secure.passes import run_passes
from secure.passes.arrange import arrange
from secure.passes.choose_parameters import GIVEN_UP, choose_parameters
from secure.stages.stages import network_stages
from secure.stages.trim import trimmed

TIMES = KernelTimes(butterfly_ns=1.0, product_ns=3.0, addition_ns=1.0, call_us=1.0)
SQUARE = np.array([[0.0], [0.0], [1.0]])


def photograph_network():
    """Two convolutions of 64 channels on 3x224x224, as in VGG: far too large. Its values are never computed."""
    kernels = [np.ones((64, channels, 3, 3)) for channels in (3, 64)]
    options = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1, "bias": np.zeros(64)}
    shape = (64, 224, 224)
    nodes = [Input(name="x", inputs=(), shape=(3, 224, 224))]
    for index, kernel in enumerate(kernels):
        source = nodes[-1].name
        nodes.append(
            Conv(name=f"conv{index}", inputs=(source,), shape=shape, weights=Weights(kernel, np.array(1.0)), **options)
        )
        nodes.append(Polynomial(name=f"act{index}", inputs=(f"conv{index}",), shape=shape, coefficients=SQUARE))
    window = {"kernel": (224, 224), "stride": (224, 224), "padding": (0, 0)}
    nodes.append(AvgPool(name="pool", inputs=("act1",), shape=(64, 1, 1), **window))
    nodes.append(Reshape(name="flat", inputs=("pool",), shape=(64,)))
    last = Weights(np.ones((10, 64)), np.array(1.0))
    nodes.append(Dense(name="out", inputs=("flat",), shape=(10,), weights=last, bias=np.zeros(10)))
    return Network(nodes=tuple(nodes))


def test_a_network_far_too_large_is_refused_before_any_work():
    network, images = photograph_network(), np.zeros((2, 3, 224, 224))
    multiply_adds = 64 * 64 * 9 * 224 * 224
    told = []
    started = time.process_time()
    with pytest.raises(
        CompilationSizeError, match=r"layer 'conv1': .* GB and [\d,]+ s where 8.0 GB and 3,600 s are"
    ) as e:
        compile_network(network, images, times=TIMES, progress=lambda label, share: told.append(label))
    assert time.process_time() - started < 2
    assert not told
    assert f"{multiply_adds:,} multiply-adds into {64 * 224 * 224:,} values" in str(e.value)
    assert "use a smaller input, a stride or pooling before it, or fewer channels, or raise --compile-memory" in str(
        e.value
    )
    assert (e.value.layer, e.value.estimated_bytes > 1e11, e.value.estimated_seconds > 1e4) == ("conv1", True, True)


def test_limits_on_compiling_are_the_callers():
    network = dense(16, 16, 2)
    found = check_size(network, 100, Limits())
    assert found == estimate(network, 100)
    for field in ("compile_bytes", "compile_seconds"):
        with pytest.raises(
            CompilationSizeError, match="fewer channels, or raise --compile-memory and --compile-seconds"
        ):
            check_size(network, 100, Limits(**{field: 1.0}))
    roomy = Limits(compile_bytes=1e15, compile_seconds=1e9)
    assert check_size(photograph_network(), 2, roomy).largest.layer == "conv1"


def skipping_network():
    """Residual blocks without an activation after the sum: later layers read all squares before them."""
    builder = NetworkBuilder((2, 8, 8)).conv(3, 3)
    for _ in range(2):
        skip = builder.last
        builder.conv(3, 3).activation().conv(3, 3).add(skip)
    return builder.activation().pool(2).dense(4).network()


NETWORKS = {
    "skips without activation": skipping_network(),
    "residual": residual(1, 2, 8),
    "dense": dense(12, 9, 3),
    "pooled": cnn((1, 8, 8), (2, 3), 5),
    "two maps in a row": NetworkBuilder((2, 8, 8)).conv(3, 3).conv(2, 3, stride=2).activation().dense(4).network(),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_estimated_stages_are_those_of_the_compiler_or_larger(name):
    stages, sizes = network_stages(NETWORKS[name]), stage_sizes(NETWORKS[name])
    assert [stage.layer for stage in stages] == [size.layer for size in sizes]
    assert [stage.size for stage in stages] == [size.values for size in sizes]
    for stage, size in zip(stages, sizes, strict=True):
        entries = sum(matrix.nnz for matrix in stage.maps.values())
        assert entries <= size.entries <= 3 * entries, stage.layer


def test_a_wide_sparse_layer_is_laid_out_in_little_memory():
    # In this ring 64 x 64 positions fit no raster, so the layout is that of a dense map of 32768 x 12288: 3.2 GB if it
    # were written out.
    network = one_conv(3, 64, 8)
    stages = trimmed(network_stages(network))
    evidence = gather_evidence(stages, np.random.default_rng(0).uniform(-1, 1, (16, 3, 64, 64)))
    choice = Choice(degree=4096, rescaling=Rescaling.EVERY, base_primes=1, rotate_input=True)
    draft = Draft(stages=stages, evidence=evidence, choice=choice, times=TIMES)
    tracemalloc.start()
    try:
        tables = arrange(draft).tables
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert tables[0].output_map.shape == (16, 2048)
    assert peak < 250e6


def test_progress_never_goes_back_and_comes_to_its_end():
    network = dense(20, 16, 2, outputs=4)
    images = np.random.default_rng(0).uniform(-1, 1, (40, 20))
    shares = []
    compile_network(network, images, times=TIMES, progress=lambda label, share: shares.append(share))
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert len(shares) >= 6


def test_progress_is_told_inside_a_draft_and_inside_a_layout():
    network = dense(20, 16, 2, outputs=4)
    images = np.random.default_rng(0).uniform(-1, 1, (40, 20))
    told = []
    compile_network(network, images, times=TIMES, progress=lambda label, share: told.append((label, share)))
    labels = [label for label, _ in told]
    assert any(label.startswith("lay out N=") and label.endswith(network.nodes[1].name) for label in labels)
    at = {
        label.split(": ")[1]: share for label, share in told if label.startswith("choose parameters") and ": " in label
    }
    steps = [at[step] for step in ("errors by slots", "rounded weights, round 1", "refine", "assess")]
    assert steps == sorted(set(steps))  # each step further than the one before it


@pytest.mark.slow
def test_a_draft_that_is_given_up_would_not_have_been_precise_enough(monkeypatch):
    network = dense(64, 48, 3)
    images = np.random.default_rng(1).uniform(-1, 1, (256, 64))
    early = compile_network(network, images, times=TIMES)
    monkeypatch.setattr(modules["secure.passes.choose_parameters"], "GIVEN_UP", inf)
    late = compile_network(network, images, times=TIMES)
    assert early.client.bundle_id == late.client.bundle_id
    estimates, errors = ([_excess(row["verdict"]) for row in bundle.report["weighed"]] for bundle in (early, late))
    given_up = [(first, last) for first, last in zip(estimates, errors, strict=True) if GIVEN_UP < first < 40]
    assert given_up
    assert all(last > 1.5 and last / first > 0.35 for first, last in given_up)


def _excess(verdict: str) -> float:
    """How many times too large an alternative's error is; 0 if its verdict is another one."""
    found = re.fullmatch(r"error ([0-9.]+) times too large", verdict)
    return float(found[1]) if found else 0.0


def test_no_primes_are_chosen_for_drafts_that_cannot_keep_to_a_budget(monkeypatch):
    network = dense(20, 16, 2, outputs=4)
    images = np.random.default_rng(0).uniform(-1, 1, (40, 20))
    starts = []

    def counted(draft, **options):
        starts.append(options.get("start"))
        return run_passes(draft, **options)

    monkeypatch.setattr(search, "run_passes", counted)
    with pytest.raises(PlanBudgetError, match=r"found has upload of at least \d+ kB where 1 kB are allowed"):
        compile_network(network, images, times=TIMES, limits=Limits(upload_bytes=1e3))
    assert len(starts) > 4
    assert choose_parameters not in starts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seconds", "peak_bytes"),
    [
        ("two residual blocks, 8 channels, 3x32x32", 120, 4e9),
        ("the same, no activation after the sums", 120, 4e9),
        ("two residual blocks, 4 channels, 3x16x16, no activation after the sums", 60, 2e9),
        ("skip with a channel gate, 8 channels, 3x8x8", 60, 2e9),
    ],
)
def test_residual_networks_compile_in_the_time_and_memory_that_are_aimed_at(name, seconds, peak_bytes):
    row = measured(name)
    assert row["outcome"] == "compiled"
    assert row["processor_seconds"] < seconds
    assert row["peak_bytes"] < peak_bytes
