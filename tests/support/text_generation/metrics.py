"""TGI's metrics, of what the journal holds."""

from __future__ import annotations

from support.text_generation.switches import Journal


def exposition(journal: Journal) -> str:
    """Prometheus' text format, with the router's own names: none of its counters ends with `_total`."""
    values = {
        "tgi_request_count": ("counter", journal.asked_for),
        "tgi_request_success": ("counter", len(journal.durations_s)),
        "tgi_queue_size": ("gauge", 0),
        "tgi_batch_current_size": ("gauge", journal.in_flight),
    }
    lines = [f"# TYPE {name} {kind}\n{name} {value}" for name, (kind, value) in values.items()]
    lines.append("# TYPE tgi_request_failure counter")
    lines += [f'tgi_request_failure{{err="{kind}"}} {count}' for kind, count in journal.failures.items()]
    # Nothing ever waits in a queue here.
    lines += _histogram("tgi_request_duration", journal.durations_s)
    lines += _histogram("tgi_request_queue_duration", [0.0] * len(journal.durations_s))
    return "\n".join(lines) + "\n"


def _histogram(name: str, values: list[float]) -> list[str]:
    count = len(values)
    return [
        f"# TYPE {name} histogram",
        f'{name}_bucket{{le="+Inf"}} {count}',
        f"{name}_sum {sum(values)}",
        f"{name}_count {count}",
    ]
