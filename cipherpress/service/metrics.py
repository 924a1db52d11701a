"""What a server counts, for Prometheus. No tenant, key or address is among it."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True)
class ModelMetrics:
    """The numbers of one model."""

    request_s: Histogram
    plan_s: Histogram
    request_bytes: Counter
    reply_bytes: Counter


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

        self._models: dict[str, ModelMetrics] = {}
        self._answers: dict[tuple[str, int], Counter] = {}

    def of_model(self, name: str) -> ModelMetrics:
        """The numbers of a model that the server has."""
        if name not in self._models:
            times = self.request_s.labels(name), self.plan_s.labels(name)
            self._models[name] = ModelMetrics(*times, self.request_bytes.labels(name), self.reply_bytes.labels(name))
        return self._models[name]

    def answered(self, route: str, status: int) -> None:
        """Count an answer."""
        if (route, status) not in self._answers:
            self._answers[route, status] = self.requests.labels(route, status)
        self._answers[route, status].inc()

    def text(self) -> bytes:
        """All numbers in the text format of Prometheus."""
        return generate_latest(self._registry)
