"""What the Prometheus operator makes of ServiceMonitors and PrometheusRules."""

from __future__ import annotations

import re
from typing import Any

from support.pods import manifests
from support.pods.cluster import NAMESPACE, Cluster
from support.pods.manifests import Json

# What differs between the operator's words and Prometheus's is how they are spelled.
_SKIPPED = ("port", "targetPort", "path", "interval")


def configuration(cluster: Cluster, rules: str) -> Json:
    """Prometheus's configuration: the monitors' endpoints, each of a service's pods a target.

    Args:
        cluster: The pods that run.
        rules: The file that the rules are in.
    """
    monitors = manifests.of_kind(cluster.documents, "ServiceMonitor")
    jobs = [
        job
        for monitor in monitors
        for service in manifests.of_kind(cluster.documents, "Service")
        if _selected(monitor, service)
        for number, endpoint in enumerate(monitor["spec"]["endpoints"])
        if (job := _job(cluster, monitor, service, endpoint, number))
    ]
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [rules],
        "scrape_configs": jobs,
    }


def rules(documents: list[Json]) -> Json:
    """All groups of all rules."""
    groups = [group for each in manifests.of_kind(documents, "PrometheusRule") for group in each["spec"]["groups"]]
    return {"groups": groups}


def _selected(monitor: Json, service: Json) -> bool:
    wanted = monitor["spec"]["selector"].get("matchLabels", {})
    return wanted.items() <= service["metadata"].get("labels", {}).items()


def _job(cluster: Cluster, monitor: Json, service: Json, endpoint: Json, number: int) -> Json | None:
    ports = [port for port in service["spec"]["ports"] if port.get("name") == endpoint["port"]]
    if not ports:
        return None
    name = manifests.named(service)
    job_label = monitor["spec"].get("jobLabel")
    labels = {
        "job": service["metadata"]["labels"].get(job_label, name) if job_label else name,
        "namespace": NAMESPACE,
        "service": name,
        "endpoint": endpoint["port"],
    }
    targets = [
        {
            "targets": [f"{address}:{pod.port(ports[0].get('targetPort', ports[0]['port']))}"],
            "labels": {**labels, "pod": pod.name},
        }
        for pod, address in cluster.endpoints(service)
    ]
    settings = {_spelled(key): _respelled(value) for key, value in endpoint.items() if key not in _SKIPPED}
    if "relabelings" in settings:
        settings["relabel_configs"] = settings.pop("relabelings")
    if "metric_relabelings" in settings:
        settings["metric_relabel_configs"] = settings.pop("metric_relabelings")
    return {
        "job_name": f"{manifests.named(monitor)}/{name}/{number}",
        "metrics_path": endpoint.get("path", "/metrics"),
        "static_configs": targets,
        **settings,
    }


def _respelled(value: Any) -> Any:
    if isinstance(value, list):
        return [_respelled(each) for each in value]
    if isinstance(value, dict):
        return {_spelled(key): _respelled(each) for key, each in value.items()}
    return value


def _spelled(key: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower()
