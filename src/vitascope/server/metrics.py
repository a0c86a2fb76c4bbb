"""What Prometheus reads at `/metrics`: requests of this process, jobs and workers of the whole service."""

from __future__ import annotations

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from vitascope.jobs.estimate import ALIVE_S
from vitascope.jobs.ledger import Ledger

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Metrics:
    """The numbers of one process and of its service's ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(LedgerCollector(ledger))
        labels = ("method", "route")
        self._requests = Counter(
            "vitascope_http_requests", "Requests answered", (*labels, "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "vitascope_http_request_seconds",
            "Time to the end of an answer",
            labels,
            buckets=BUCKETS_S,
            registry=self._registry,
        )

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note one answered request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def text(self) -> bytes:
        """All numbers in Prometheus' text format."""
        return generate_latest(self._registry)


class LedgerCollector(Collector):
    """Numbers that are read from the ledger when they are asked for."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def describe(self) -> Iterable[Metric]:
        """Name no metrics, so that registering the collector asks no database."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Jobs by status, failures by code, the longest wait, living workers."""
        jobs = GaugeMetricFamily("vitascope_jobs", "Jobs in the ledger by status", labels=["status"])
        counts = self._ledger.counts()
        for status in ("queued", "in_progress", "completed", "failed", "paused"):
            jobs.add_metric([status], counts.get(status, 0))
        yield jobs
        failures = GaugeMetricFamily(
            "vitascope_jobs_failed", "Failed jobs in the ledger by code", labels=["code"]
        )
        for code, number in self._ledger.failures().items():
            failures.add_metric([code], number)
        yield failures
        now, oldest = time.time(), self._ledger.oldest_waiting()
        wait_s = 0.0 if oldest is None else now - oldest
        yield GaugeMetricFamily(
            "vitascope_queue_wait_seconds", "How long the oldest waiting job waits", wait_s
        )
        workers = GaugeMetricFamily("vitascope_workers", "Workers with a heartbeat", labels=["device"])
        alive = [slot.device for slot in self._ledger.slots().values() if now - slot.seen_at < ALIVE_S]
        for device in sorted(set(alive)):
            workers.add_metric([device], alive.count(device))
        yield workers
