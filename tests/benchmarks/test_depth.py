"""The table of deep networks: one line per network, by squarings, with errors beside the bound."""

from pathlib import Path

from benchmarks.depth import depth_table, measure

ROW = {
    "network": "resnet9",
    "data": "fashion-mnist-32",
    "squarings": 7,
    "accuracy": 0.9394,
    "agreement": 1.0,
    "most_changed": 0.002,
    "images": 4,
    "largest_error": 0.01,
    "bound": 0.04,
    "degree": 16384,
    "levels": 9,
    "log2_qp": 421.4,
    "key_bytes": 250e6,
    "key_memory_bytes": 501e6,
    "upload_bytes": 1.1e6,
    "server_seconds": 0.987,
    "least_wall_seconds": 1.0,
    "two_threads_least_wall_seconds": 0.55,
    "set_up_seconds": 3.0,
    "register_seconds": 4.4,
    "tutorial_ms": 5400.0,
    "compile_seconds": 61.2,
    "compile_peak_bytes": 1.26e9,
    "server_peak_bytes": 3.04e9,
    "command": "python -m benchmarks.depth DIR resnet9",
}


def test_a_row_states_errors_as_a_share_of_the_bound_and_sizes_in_megabytes():
    table = depth_table({"rows": [ROW], "reference_ms": 2700.0}).splitlines()
    cells = [cell.strip() for cell in table[2].strip("|").split("|")]
    assert cells == [
        "resnet9", "fashion-mnist-32", "7", "93.94%", "100.0% of 4", "99.8%", "0.25", "16384", "9", "421", "250", "501",
        "1.1", "0.99", "0.49", "0.55", "7", "3.0", "61", "1.3",
    ]  # fmt: skip
    assert len(cells) == table[0].count("|") - 1
    assert table[-1].endswith("resnet9: `python -m benchmarks.depth DIR resnet9`.")


def test_rows_of_other_networks_stay(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.depth.measured", lambda folder, *_: {**ROW, "network": folder.name})
    monkeypatch.setattr("benchmarks.depth.reference_tutorial_ms", lambda data: 5400.0)
    measure([Path("resnet9"), Path("resnet20")], 4, tmp_path, "first")
    result = measure([Path("resnet20")], 4, tmp_path, "second")
    assert [(row["network"], row["command"]) for row in result["rows"]] == [
        ("resnet9", "first"),
        ("resnet20", "second"),
    ]
