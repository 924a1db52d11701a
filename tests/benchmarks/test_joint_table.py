"""The table of joint quantization, also for networks whose data is missing."""

from benchmarks.joint import HEADINGS, joint_table


def test_the_table_has_measured_rows_and_says_what_was_not_measured():
    row = {
        "network": "vit", "data": "mnist", "bits": 6,
        "accuracy_plain": 0.993, "accuracy_compressed": 0.9921, "test_images": 10000,
        "quantization_points_before": 47, "quantization_points_after": 33, "integers_equal": False, "seconds": 12.34,
        "integer_ms_an_image": 1.234,
    }  # fmt: skip
    machine = {"cpu": "a processor", "load_average": 1.25, "date": "2026-01-02"}
    rows = [row, {"network": "vit-fashion", "missing": "data fashion-mnist: not found"}]
    table = joint_table({"machine": machine, "command": "bench", "integer_images": 1000, "rows": rows}).splitlines()
    assert table[0].count("|") == len(HEADINGS) + 1 == table[2].count("|") == table[3].count("|")
    assert table[2] == "| vit | 6 | 99.30% | 99.21% | +0.09 | 47 -> 33 | NO | 12.3 | 1.23 |"
    assert "not measured: data fashion-mnist: not found" in table[3]
    assert table[-1].startswith("Accuracy over all 10000 test images, integers against simulation over 1000 of them.")
