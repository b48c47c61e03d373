"""A real Prometheus, with the rules of the chart made quick. Needs Debian's `prometheus` package."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import yaml

T = TypeVar("T")

RULES = Path(__file__).parents[2] / "charts" / "w2s" / "files" / "rules"
_TIMEOUT_S = 30.0


class Prometheus:
    """Its HTTP API.

    Args:
        url: Where it answers.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression has now."""
        return self._get("query", query=expression)["result"]

    def value(self, expression: str) -> float | None:
        """The value of the one series that an expression has; None when it has none."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def history(self, selector: str) -> list[tuple[float, dict[str, str], float]]:
        """The samples of the last ten minutes of some series, in their order: time, labels, value."""
        series = self.query(f"{selector}[10m]")
        samples = [(at, each["metric"], float(value)) for each in series for at, value in each["values"]]
        return sorted(samples, key=lambda sample: sample[0])

    def alerts(self) -> dict[str, str]:
        """The alerts that are pending or firing, and which they are."""
        return {alert["labels"]["alertname"]: alert["state"] for alert in self._get("alerts")["alerts"]}

    def targets(self) -> dict[str, str]:
        """The health of what is scraped, by job."""
        return {target["labels"]["job"]: target["health"] for target in self._get("targets")["activeTargets"]}

    def rules(self) -> list[dict[str, Any]]:
        """The rules, with how their last evaluation went."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def until(self, condition: Callable[[Prometheus], T], timeout_s: float = 60.0) -> T:
        """Asks until a condition holds, and returns what it gave; fails at the deadline."""
        deadline = time.monotonic() + timeout_s
        while not (found := condition(self)):
            assert time.monotonic() < deadline, (self.alerts(), self.targets())
            time.sleep(0.1)
        return found

    def _get(self, endpoint: str, **parameters: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/api/v1/{endpoint}?{urlencode(parameters)}", timeout=10) as response:
            return json.load(response)["data"]


def quick_rules(folder: Path, wait: str) -> None:
    """Writes the chart's rules anew, with one wait for all: nothing else of them changes.

    Args:
        folder: Where they go.
        wait: How long an alert is pending, and how long it goes on firing, such as `2s`.
    """
    for path in RULES.glob("*.yaml"):
        content = yaml.safe_load(path.read_text())
        for group in content["groups"]:
            for rule in group["rules"]:
                rule.update({name: wait for name in ("for", "keep_firing_for") if name in rule})
        (folder / path.name).write_text(yaml.safe_dump(content))


@contextlib.contextmanager
def running(folder: Path, targets: Mapping[str, str], wait: str = "2s") -> Iterator[Prometheus]:
    """A Prometheus that scrapes, and evaluates the chart's rules, each second.

    Args:
        folder: Where its configuration, data and log go.
        targets: The addresses of what is scraped, by job.
        wait: As in `quick_rules`.
    """
    quick_rules(folder, wait)
    jobs = [{"job_name": job, "static_configs": [{"targets": [address]}]} for job, address in targets.items()]
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [f"{folder}/{path.name}" for path in RULES.glob("*.yaml")],
        "scrape_configs": jobs,
    }
    with serving(folder, config) as found:
        yield found


@contextlib.contextmanager
def serving(folder: Path, config: Mapping[str, Any]) -> Iterator[Prometheus]:
    """A Prometheus on a free loopback port.

    Args:
        folder: Where its configuration, data and log go.
        config: What it scrapes and evaluates.
    """
    (folder / "prometheus.yml").write_text(yaml.safe_dump(dict(config)))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    flags = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(["prometheus", *flags, f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        _await(process, f"http://{address}/-/ready", folder / "prometheus.log")
        yield Prometheus(f"http://{address}")
    finally:
        process.terminate()
        process.wait()


def _await(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        with contextlib.suppress(urllib.error.URLError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        assert process.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.05)
