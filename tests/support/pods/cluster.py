"""A cluster of one machine: it plays manifests by podman, and probes its pods as a kubelet does."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import yaml
from support.pods import manifests, probes
from support.pods.manifests import Json, Pod
from support.pods.store import podman

# Where the chart is rendered for.
NAMESPACE = "team"
USER = 65532
_NETWORK = "w2s"


class Cluster:
    """Pods on a bridge, which find each other by their services' names; use as a context manager.

    Args:
        documents: The rendered manifests.
    """

    def __init__(self, documents: list[Json]) -> None:
        self.documents = documents
        self.pods = {pod.name: pod for pod in manifests.pods(documents)}
        self._services = manifests.of_kind(documents, "Service")

    def __enter__(self) -> Cluster:
        self._clear()
        podman("network", "create", _NETWORK)
        for claim in manifests.claims(self.documents):
            podman("volume", "create", claim)
        for pod in self.pods.values():
            self.start(pod)
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()

    def start(self, pod: Pod) -> None:
        """Starts a pod under its services' names, once its init containers have ended."""
        for each in pod.before:
            code, said = self.complete(each)
            assert code == 0, said
            podman("pod", "rm", each.name)
        for name in pod.scratch:
            podman("volume", "rm", "--force", name)
            podman("volume", "create", name)
        names = [manifests.named(service) for service in self._services if manifests.selects(service, pod)]
        aliases = [f"{name}{domain}" for name in names for domain in ("", f".{NAMESPACE}", f".{NAMESPACE}.svc")]
        network = ",".join([f"{_NETWORK}:", *(f"alias={alias}" for alias in aliases)]).replace(":,", ":")
        documents = [*manifests.configuration(self.documents), pod.played]
        podman("kube", "play", f"--network={network}", "-", text=yaml.safe_dump_all(documents))

    def kill(self, pod: Pod) -> None:
        """Ends a pod without a word, and starts another in its place, as its controller would."""
        podman("pod", "kill", "--signal=KILL", pod.name)
        podman("pod", "rm", "--force", "--time=0", pod.name)
        self.start(pod)

    def complete(self, pod: Pod) -> tuple[int, str]:
        """Runs a pod that ends by itself; returns its exit code and what it said."""
        self.start(pod)
        code = int(podman("wait", pod.container))
        return code, self.log(pod)

    def await_ready(self, timeout_s: float = 120.0) -> None:
        """Probes all pods until they are ready; fails with their logs at the deadline."""
        deadline = time.monotonic() + timeout_s
        for pod in self.pods.values():
            address = self.address(pod)
            for container in pod.meant["spec"]["containers"]:
                for kind in ("startupProbe", "readinessProbe"):
                    self._await(container[kind], pod, address, deadline)

    def address(self, pod: Pod) -> str:
        """A pod's address on the bridge."""
        infra = json.loads(podman("pod", "inspect", pod.name))["InfraContainerID"]
        (inspected,) = json.loads(podman("inspect", infra))
        return inspected["NetworkSettings"]["Networks"][_NETWORK]["IPAddress"]

    def endpoints(self, service: Json) -> Iterator[tuple[Pod, str]]:
        """The pods that a service sends to, with their addresses."""
        for pod in self.pods.values():
            if manifests.selects(service, pod):
                yield pod, self.address(pod)

    def pod(self, part: str) -> Pod:
        """The one pod whose name has a part."""
        (found,) = (pod for name, pod in self.pods.items() if part in name)
        return found

    def run(self, pod: Pod, *command: str, check: bool = True) -> str:
        """Runs a command in a pod's first container."""
        return podman("exec", pod.container, *command, check=check)

    def log(self, pod: Pod) -> str:
        """What a pod's first container said."""
        return podman("logs", pod.container, check=False)

    def place(self, pod: Pod, path: str) -> Path:
        """Where what a pod has at a path below one of its volumes lies on this machine."""
        (inspected,) = json.loads(podman("inspect", pod.container))
        mounts = {mount["Destination"]: mount["Source"] for mount in inspected["Mounts"]}
        volume = max((each for each in mounts if Path(path).is_relative_to(each)), key=len)
        return Path(mounts[volume], Path(path).relative_to(volume))

    def give(self, folder: Path) -> None:
        """Makes files those of the pods' user."""
        for path in (folder, *folder.rglob("*")):
            os.chown(path, USER, USER)

    def _await(self, probe: Json, pod: Pod, address: str, deadline: float) -> None:
        while not probes.holds(probe, pod, address):
            assert time.monotonic() < deadline, f"{pod.name} is not ready: {self.log(pod)[-3000:]}"
            time.sleep(0.2)

    def _clear(self) -> None:
        podman("pod", "rm", "--all", "--force", "--time=0")
        podman("volume", "rm", "--all", "--force")
        podman("network", "rm", "--force", _NETWORK)
        for name in podman("secret", "ls", "--format={{.Name}}").split():
            podman("secret", "rm", name)
