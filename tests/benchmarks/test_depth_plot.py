"""The picture of deep networks: every network is a point with its name and time."""

from benchmarks.depth_plot import depth_plot
from tests.benchmarks.test_depth import ROW


def test_every_network_is_named_with_its_scaled_time() -> None:
    rows = [ROW, {**ROW, "network": "vit-quadratic", "squarings": 9, "server_seconds": 5.4}]
    found = depth_plot({"rows": rows, "reference_ms": 2700.0})
    text = found.decode()
    assert "resnet9" in text and "0.49 s" in text and "vit-quadratic" in text and "2.7 s" in text
    assert found == depth_plot({"rows": rows, "reference_ms": 2700.0})
