"""Values that leave the client get noise and are rounded to a step far above the encryption's error."""

import numpy as np
import pytest

from compress.errors import ConfigError
from secure.parties.release import release


def test_released_values_lie_on_the_step_and_near_the_truth():
    values = np.linspace(-3, 3, 4000).reshape(40, 100)
    step = 0.001 * 2**4
    found = release(values, 0.001, flood_bits=4)
    assert found.shape == values.shape
    np.testing.assert_allclose(found / step, np.round(found / step), atol=1e-6)
    # a Gaussian of one step, plus 1/12 from rounding
    assert np.std(found - values) == pytest.approx(step * np.sqrt(1 + 1 / 12), rel=0.1)


def test_releases_of_the_same_values_differ():
    values = np.zeros(64)
    assert not np.array_equal(release(values, 0.01), release(values, 0.01))


@pytest.mark.parametrize("error", [0.0, -1.0, float("nan"), float("inf"), "small", None])
def test_an_error_that_is_no_positive_number_is_refused(error):
    with pytest.raises(ConfigError) as refused:
        release(np.zeros(3), error)
    allowed = "a positive number (ClientSpec.predicted_logit_error)"
    assert str(refused.value) == f"predicted_error: got {error!r}; allowed: {allowed}"


@pytest.mark.parametrize("bits", [-1, 65, float("nan"), float("inf"), "8", None])
def test_bits_out_of_range_are_refused(bits):
    with pytest.raises(ConfigError) as refused:
        release(np.zeros(3), 0.1, flood_bits=bits)
    assert str(refused.value) == f"flood_bits: got {bits!r}; allowed: 0 to 64"


@pytest.mark.parametrize("values", [[1.0, 2.0], (1, 2), np.array([1, 2], dtype=np.int32)])
def test_whatever_numpy_takes_as_an_array_can_be_released(values):
    found = release(values, 1e-9)
    assert (found.dtype, found.shape) == (np.float64, (2,))
    np.testing.assert_allclose(found, [1.0, 2.0], atol=1e-5)


@pytest.mark.parametrize(("values", "name"), [("scores", "str"), ([[1.0], [2.0, 3.0]], "list"), (None, "NoneType")])
def test_values_that_are_no_numbers_are_refused(values, name):
    with pytest.raises(ConfigError) as refused:
        release(values, 1.0)
    assert str(refused.value) == f"values: got '{name}'; allowed: an array of numbers"
