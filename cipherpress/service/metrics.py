"""What a server counts, for Prometheus. No tenant, key or address is among it."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The numbers of one server."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "cipherpress_requests", "Requests that were answered.", ["route", "status"], registry=registry
        )
        self.request_s = Histogram(
            "cipherpress_infer_seconds", "From the head of a request to its answer.", ["model"],
            registry=registry, buckets=_SECONDS,
        )  # fmt: skip
        self.plan_s = Histogram(
            "cipherpress_plan_seconds", "The plan alone.", ["model"], registry=registry, buckets=_SECONDS
        )
        self.request_bytes = Counter("cipherpress_request_bytes", "Of requests.", ["model"], registry=registry)
        self.reply_bytes = Counter("cipherpress_reply_bytes", "Of replies.", ["model"], registry=registry)
        self.restarts = Counter("cipherpress_worker_restarts", "Workers that died.", registry=registry)
        self.waiting = Gauge("cipherpress_waiting_requests", "Requests that wait for a worker.", registry=registry)
        self.workers = Gauge("cipherpress_workers", "Workers that are alive.", registry=registry)
        self.keys = Gauge("cipherpress_stored_keys", "Evaluation keys on disk.", registry=registry)
        self.key_bytes = Gauge(
            "cipherpress_stored_key_bytes", "Their bytes, unfinished uploads included.", registry=registry
        )

    def text(self) -> bytes:
        """All numbers in the text format of Prometheus."""
        return generate_latest(self._registry)
