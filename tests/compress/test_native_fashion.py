"""A native network on clothes, by default options: slow, and only where the data set is installed."""

import pytest

import cipherpress as cp
from compress.errors import DataError


@pytest.mark.slow
def test_clothes_within_two_points_by_default_options() -> None:
    try:
        data = cp.load_data("fashion-mnist")
    except DataError as error:
        pytest.skip(str(error))
    bundle = cp.press(cp.load_model("vit-fashion"), data, native=cp.Native(learn_from="labels"), mode="throughput")
    about = bundle.report["about"]
    assert about["accuracy_after"] >= about["accuracy_plain"] - 0.02
    result = cp.round_trip(bundle, data.x_test, data.y_test, clip=True)
    assert result["agreement"] >= 0.99 and result["accuracy_encrypted"] >= about["accuracy_plain"] - 0.02
