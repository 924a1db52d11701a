"""Reports of bundles with the fields that code reads, for mutations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: A report with all the fields that text makers and pages read.
REPORT: Mapping[str, Any] = {
    "mode": "latency", "times": "default table", "backend": "engine", "predicted_disagreement": 0.001,
    "predicted_logit_error": 0.0625, "predicted_server_ms": 3.5, "plain_workload": [],
    "layers": [{"layer": "fc", "level": 2, "rotate": 3, "multiply_plain": 2, "square": 1, "predicted_ms": 1.5}],
    "layouts": [{"layer": "fc", "offers": [{"milliseconds": 1.5, "layout": "rows", "taken": True}]}],
    "weighed": [{"degree": 4096, "planes": 1, "rescaling": "every", "predicted_ms": 2.5, "verdict": "chosen"}],
    "about": {
        "source": {"kind": "zoo", "name": "mlp"}, "task": "classes", "score": "accuracy", "test_images": 100,
        "accuracy_before": 0.98, "accuracy_after": 0.97, "replaced": {"relu": 1},
        "history": [{"method": "opq", "options": {"sparsity": 0.5}}],
    },
}  # fmt: skip


#: The same of a bundle for throughput.
BATCH_REPORT: Mapping[str, Any] = {
    "mode": "throughput", "predicted_disagreement": 0.001, "expected_disagreement": 0.0005, "disagreement_rows": 1000,
    "predicted_logit_error": 0.15, "predicted_systematic_error": 0.01, "predicted_random_error": 0.14,
    "predicted_server_ms": 3.5, "predicted_images_per_s": 5e5, "upload_bytes": 90.0, "download_bytes": 70.0,
    "parts": [2, 2, 3, 3, 3, 3, 3], "plain_workload": [], "about": REPORT["about"],
    "layers": [{"layer": "fc1", "features": 4, "parts": 2, "nonzeros": 20, "bits": 3, "predicted_ms": 0.5}],
}  # fmt: skip
