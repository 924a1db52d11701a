"""The compiler on random networks: in clear the plan equals the network, encrypted it is within the predicted error."""

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import small_networks

from compress.conversion.exporting import export_network
from compress.errors import (
    CalibrationError,
    InputShapeError,
    LevelBudgetError,
    PlanBudgetError,
    PrecisionError,
    SlotOverflowError,
)
from compress.network import Conv, Dense, Input, Network, Polynomial, Weights
from secure.compiling.compile import compile_network
from secure.drafting.work import plan_operations
from secure.kernels.counts import KernelCounts, KernelTimes
from secure.kernels.engine import engine_kernels
from secure.limits import Limits
from secure.params import check_security
from secure.parties.client import Client
from secure.parties.server import Server
from secure.verify.roundtrip import clear_outputs, round_trip
from tests.promised import check_round_trip
from tests.secure.counting import counted_operations

TIMES = KernelTimes(butterfly_ns=1.0, product_ns=3.0, addition_ns=1.0, call_us=1.0)
LOOSE = 0.05  # of the outputs' rms: random networks have no classes that have to be kept apart


def compiled(network, images):
    scale = float(np.sqrt(np.mean(network.run(images) ** 2)))
    return compile_network(network, images, times=TIMES, limits=Limits(max_error=LOOSE * max(scale, 1e-6)))


def dense_network(sizes, *, squares=True, seed=0):
    rng = np.random.default_rng(seed)
    nodes = [Input(name="x", inputs=(), shape=(sizes[0],))]
    for index, (rows, columns) in enumerate(zip(sizes[1:], sizes[:-1], strict=True)):
        weights = Weights(rng.normal(size=(rows, columns)) / np.sqrt(columns), np.array(1.0))
        last = nodes[-1].name
        nodes.append(
            Dense(name=f"fc{index}", inputs=(last,), shape=(rows,), weights=weights, bias=rng.normal(size=rows) * 0.1)
        )
        if squares and index < len(sizes) - 2:
            curve = np.array([[0.1], [0.5], [0.25]])
            nodes.append(Polynomial(name=f"act{index}", inputs=(f"fc{index}",), shape=(rows,), coefficients=curve))
    return Network(nodes=tuple(nodes)), rng.random((32, sizes[0]))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(small_networks(max_layers=3, max_activations=1))
def test_the_plan_in_clear_equals_the_network_and_encrypted_it_stays_within_the_predicted_error(small):
    images = small.images(12, 1)
    network = export_network(small.module, small.input_shape, images)
    wanted = network.run(images).reshape(len(images), -1)
    bundle = compiled(network, images)
    error = np.abs(clear_outputs(bundle, images) - wanted).max()
    assert error <= 1e-4 * np.abs(wanted).max()
    check_security(bundle.client.params)
    client, server = Client(bundle.client), Server(bundle.server)
    server.register(client.evaluation_key)
    clear = clear_outputs(bundle, images[:3])
    found = np.stack([client.decrypt(server.run(client.encrypt(image))).ravel() for image in images[:3]])
    assert np.abs(found - clear).max() <= bundle.client.predicted_logit_error


def test_a_round_trip_reports_agreement_sizes_and_errors_and_does_what_the_plan_says():
    network, images = dense_network((20, 8, 3))
    bundle = compiled(network, images)
    clear = network.run(images[:4])
    result = round_trip(bundle, images[:4], clear.argmax(axis=1))
    assert result["accuracy_compressed"] == 1.0
    check_round_trip(bundle, result, clear)
    assert result["upload_bytes"] > 0 and result["evaluation_key_bytes"] > 0
    client = Client(bundle.client)
    done = counted_operations(bundle.server, client.evaluation_key, client.encrypt(images[0]))
    assert done == plan_operations(bundle.server.plan)


def test_compiling_twice_gives_the_same_bundle():
    network, images = dense_network((30, 12, 4))
    first, second = compiled(network, images), compiled(network, images)
    assert first.client.bundle_id == second.client.bundle_id
    assert first.report == second.report


def test_no_plan_within_the_bound_is_faster_than_the_chosen_one():
    network, images = dense_network((30, 12, 4))
    bundle = compiled(network, images)
    weighed = bundle.report["weighed"]
    *lost, chosen = weighed
    assert chosen["verdict"] == "chosen"
    assert all(row["predicted_ms"] <= chosen["predicted_ms"] for row in lost)  # nothing slower was computed
    assert any(row["predicted_ms"] < chosen["predicted_ms"] for row in lost)
    assert all("times too large" in row["verdict"] or "fit" in row["verdict"] for row in lost)
    assert bundle.report["predicted_server_ms"] == pytest.approx(
        TIMES.milliseconds(sum(engine_kernels(bundle.server.plan), KernelCounts()))
    )


def test_too_deep_a_network_names_the_layer_and_the_levels_that_are_missing():
    network, images = dense_network((6,) * 45)
    with pytest.raises(LevelBudgetError, match=r"layer 'fc\d+': the network needs 44 levels, N=32768 carries \d+"):
        compiled(network, images)


def test_a_value_too_wide_names_its_layer():
    rng = np.random.default_rng(0)
    shape = (1, 60, 60)
    conv = Conv(
        name="wide", inputs=("x",), shape=(300, 58, 58),
        weights=Weights(rng.normal(size=(300, 1, 3, 3)), np.array(1.0)),
        bias=np.zeros(300), stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1,
    )  # fmt: skip
    curve = Polynomial(name="act", inputs=("wide",), shape=conv.shape, coefficients=np.array([[0.0], [0.5], [0.2]]))
    network = Network(nodes=(Input(name="x", inputs=(), shape=shape), conv, curve))
    with pytest.raises(SlotOverflowError, match="layer 'wide': its 1009200 values need"):
        compile_network(network, rng.random((1, *shape)), times=TIMES, limits=Limits(max_error=1.0))


def test_an_error_bound_that_no_ring_reaches_is_refused_with_the_distance():
    network, images = dense_network((10, 4))
    with pytest.raises(PrecisionError, match=r"the smallest error any ring reaches .* allow more with --max-error"):
        compile_network(network, images, times=TIMES, limits=Limits(max_error=1e-30))


def test_unusable_calibration_data_is_refused():
    network, images = dense_network((10, 4))
    with pytest.raises(CalibrationError, match="at least one image of finite numbers"):
        compile_network(network, images[:0], times=TIMES)
    with pytest.raises(CalibrationError, match="at least one image of finite numbers"):
        compile_network(network, images * np.nan, times=TIMES)
    with pytest.raises(InputShapeError, match="the network takes"):
        compile_network(network, images[:, :5], times=TIMES)


def test_byte_budgets_are_kept_and_cost_time():
    network, images = dense_network((24, 12, 4))
    free = compiled(network, images)
    sizes = [len(Client(free.client).evaluation_key.to_bytes()), len(Client(free.client).encrypt(images[0]))]
    scale = float(np.sqrt(np.mean(network.run(images) ** 2)))
    limits = Limits(max_error=LOOSE * scale, keys_bytes=0.75 * sizes[0])
    frugal = compile_network(network, images, times=TIMES, limits=limits)
    assert len(Client(frugal.client).evaluation_key.to_bytes()) <= 1.03 * limits.keys_bytes
    assert frugal.report["predicted_server_ms"] >= free.report["predicted_server_ms"]
    assert any("where" in row["verdict"] for row in frugal.report["weighed"])
    advice = "raise --budget-keys or --budget-upload, or allow a larger error with --max-error or --max-disagreement"
    found = "no plan that is precise enough keeps to the budget; the first one found has upload of .* are allowed"
    with pytest.raises(PlanBudgetError, match=f"{found}; {advice}"):
        compile_network(
            network, images, times=TIMES, limits=Limits(max_error=LOOSE * scale, upload_bytes=0.1 * sizes[1])
        )


def test_the_report_tells_every_layout_that_was_priced():
    network, images = dense_network((60, 30, 20, 6))
    bundle = compiled(network, images)
    for stage in bundle.report["layouts"]:
        assert sum(offer["taken"] for offer in stage["offers"]) == 1
        assert all(offer["milliseconds"] > 0 for offer in stage["offers"])
    assert "rows in 2 shares" in bundle.explain()


def test_a_share_of_changed_classes_is_a_constraint_of_its_own():
    network, images = dense_network((40, 20, 8), seed=3)
    loose, strict = (
        compile_network(network, images, times=TIMES, limits=Limits(max_disagreement=share)) for share in (0.05, 0.0005)
    )
    assert loose.report["expected_disagreement"] <= 0.05
    assert strict.report["expected_disagreement"] <= 0.0005
    assert loose.report["predicted_server_ms"] <= strict.report["predicted_server_ms"]


@pytest.mark.parametrize(("start", "layer", "reached"), [(10.0, "d5", "1e\\+32"), (1e60, "d0", "1e\\+60")])
def test_values_that_explode_are_refused_at_the_first_layer_where_they_do(start, layer, reached):
    nodes = [Input(name="x", inputs=(), shape=(2,))]
    for number in range(6):
        weights = Weights(np.eye(2), np.array(1.0))
        dense = Dense(name=f"d{number}", inputs=(nodes[-1].name,), shape=(2,), weights=weights, bias=np.zeros(2))
        square = np.array([[0.0], [0.0], [1.0]])
        act = Polynomial(name=f"a{number}", inputs=(dense.name,), shape=(2,), coefficients=square)
        nodes += [dense, act]
    images = start * np.random.default_rng(0).uniform(0.5, 1.0, (8, 2))
    images[0] = start
    with (
        np.errstate(over="ignore"),
        pytest.raises(CalibrationError, match=rf"layer '{layer}': its values reach {reached}"),
    ):
        compile_network(Network(nodes=tuple(nodes)), images, times=TIMES)
