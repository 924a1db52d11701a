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


@pytest.mark.parametrize("error", [0.0, -1.0, float("nan"), float("inf")])
def test_an_error_that_is_no_positive_number_is_refused(error):
    with pytest.raises(ConfigError, match="predicted_error: got"):
        release(np.zeros(3), error)


def test_negative_bits_are_refused():
    with pytest.raises(ConfigError, match="flood_bits: got -1; allowed: 0 or more"):
        release(np.zeros(3), 0.1, flood_bits=-1)
