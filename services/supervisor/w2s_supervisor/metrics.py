"""The supervisor's own metrics."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from w2s.errors import W2SError
from w2s.jobs import Job, State
from w2s_supervisor.backends.protocol import Labelled
from w2s_supervisor.teachers import Teacher

_CONFIDENCE = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0)
_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_WAIT_S = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SWAP_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class QueueMetrics:
    """What one teacher's queue does."""

    def __init__(self, waiting: Gauge, wait: Histogram, items: Histogram, tokens: Counter, errors: Counter) -> None:
        self._errors = errors
        self._waiting = waiting
        self._wait = wait
        self._items = items
        self._tokens = tokens

    def queued(self, waiting: int) -> None:
        """As `Observer.queued`."""
        self._waiting.set(waiting)

    def waited(self, seconds: float) -> None:
        """As `Observer.waited`."""
        self._wait.observe(seconds)

    def batched(self, items: int, tokens: int) -> None:
        """As `Observer.batched`."""
        self._items.observe(items)
        self._tokens.inc(tokens)

    def failed(self) -> None:
        """As `Observer.failed`."""
        self._errors.inc()


class SupervisorMetrics:
    """Labels, queues, swaps, jobs and what backends get wrong.

    Args:
        registry: Where the metrics are.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        prefix, by_teacher = "w2s_supervisor", ["teacher"]
        self._labels = Counter(f"{prefix}_labels", "Examples labelled", by_teacher, registry=registry)
        self._failed = Counter(f"{prefix}_failed_labels", "Examples without a label", by_teacher, registry=registry)
        self._confidence = Histogram(
            f"{prefix}_label_confidence_ratio",
            "Probability of the most probable class",
            by_teacher,
            registry=registry,
            buckets=_CONFIDENCE,
        )
        self._tokens = Counter(f"{prefix}_tokens", "Tokens read", by_teacher, registry=registry)
        self._generated = Counter(f"{prefix}_generated_tokens", "Tokens generated", by_teacher, registry=registry)
        self._items = Histogram(
            f"{prefix}_batch_size", "Sequences a batch", by_teacher, registry=registry, buckets=_ITEMS
        )
        self._waiting = Gauge(
            f"{prefix}_queue_length", "Sequences that wait for a batch", by_teacher, registry=registry
        )
        self._wait = Histogram(
            f"{prefix}_queue_wait_seconds",
            "Time from a sequence's arrival to its batch",
            by_teacher,
            registry=registry,
            buckets=_WAIT_S,
        )
        self._active = Gauge(
            f"{prefix}_teacher_info", "The active teacher", ["teacher", "revision", "digest"], registry=registry
        )
        self._swaps = Counter(f"{prefix}_teacher_swaps", "Activations ended", ["outcome"], registry=registry)
        self._swap_seconds = Histogram(
            f"{prefix}_teacher_swap_seconds",
            "Activations from their start to their end",
            ["outcome"],
            registry=registry,
            buckets=_SWAP_S,
        )
        self._errors = Counter(
            f"{prefix}_backend_errors", "Models and requests to servers that failed", ["kind"], registry=registry
        )
        self._jobs = Counter(f"{prefix}_jobs", "Jobs ended", ["kind", "state"], registry=registry)
        for state in State:
            if state.ended:
                self._swaps.labels(state.name.lower())

    def queue(self, teacher: str) -> QueueMetrics:
        """The metrics of a teacher's queue, by the teacher's name."""
        return QueueMetrics(
            self._waiting.labels(teacher),
            self._wait.labels(teacher),
            self._items.labels(teacher),
            self._tokens.labels(teacher),
            self._errors.labels("model"),
        )

    def labelled(self, teacher: Teacher, labels: Sequence[Labelled | W2SError]) -> None:
        """Counts labels."""
        good = [label for label in labels if isinstance(label, Labelled)]
        self._labels.labels(teacher.name).inc(len(good))
        self._failed.labels(teacher.name).inc(len(labels) - len(good))
        self._tokens.labels(teacher.name).inc(sum(label.tokens for label in good))
        confidence = self._confidence.labels(teacher.name)
        for label in good:
            confidence.observe(float(label.probabilities.max()))

    def generated(self, teacher: Teacher, tokens: int) -> None:
        """Counts generated tokens."""
        self._generated.labels(teacher.name).inc(tokens)

    def activated(self, teacher: Teacher | None) -> None:
        """Says which teacher is active; at most one sample is exported."""
        self._active.clear()
        if teacher is not None:
            self._active.labels(teacher.name, teacher.revision, teacher.digest).set(1)

    def backend_error(self, kind: str) -> None:
        """Counts a request to a server behind a teacher that failed, by a bounded kind."""
        self._errors.labels(kind).inc()

    def forget(self, teacher: Teacher) -> None:
        """Ends the series of a teacher that is gone."""
        by_teacher = (self._labels, self._failed, self._confidence, self._tokens, self._generated)
        for metric in (*by_teacher, self._items, self._waiting, self._wait):
            metric.remove_by_labels({"teacher": teacher.name})

    def job_ended(self, job: Job) -> None:
        """Counts a job that has ended."""
        outcome = job.state.name.lower()
        self._jobs.labels(job.kind, outcome).inc()
        if job.kind == "activations":
            self._swaps.labels(outcome).inc()
            if job.start_time and job.end_time:
                self._swap_seconds.labels(outcome).observe((job.end_time - job.start_time).total_seconds())
