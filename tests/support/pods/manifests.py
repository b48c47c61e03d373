"""What a cluster's controllers would make of manifests, in the words that podman knows."""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from support.pods.store import place_of

Json = dict[str, Any]
_WORKLOADS = ("Deployment", "StatefulSet")
# podman runs no probe of gRPC, and a kubelet's others only in part: the cluster here does.
_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@dataclass(frozen=True)
class Pod:
    """A pod of a workload.

    Attributes:
        name: Its own.
        meant: As the workload says it.
        played: As podman takes it.
        claims: The claims that it mounts.
        scratch: Its volumes that live as long as it does.
        before: Pods of its init containers, each of which ends before the next one starts.
    """

    name: str
    meant: Json
    played: Json
    claims: tuple[str, ...]
    scratch: tuple[str, ...]
    before: tuple[Pod, ...] = ()

    @property
    def labels(self) -> dict[str, str]:
        """What services select it by."""
        return self.meant["metadata"].get("labels", {})

    @property
    def container(self) -> str:
        """The name that podman gives its first container."""
        return f"{self.name}-{self.meant['spec']['containers'][0]['name']}"

    def port(self, wanted: int | str) -> int:
        """A port's number, by that or by its name."""
        if isinstance(wanted, int):
            return wanted
        ports = [port for each in self.meant["spec"]["containers"] for port in each.get("ports", [])]
        return next(port["containerPort"] for port in ports if port.get("name") == wanted)


def of_kind(documents: Iterable[Json], *kinds: str) -> list[Json]:
    """The documents of some kinds."""
    return [document for document in documents if document["kind"] in kinds]


def named(document: Json) -> str:
    """A document's name."""
    return document["metadata"]["name"]


def pods(documents: list[Json]) -> Iterator[Pod]:
    """The pods of all workloads."""
    for workload in of_kind(documents, *_WORKLOADS):
        for number in range(workload["spec"].get("replicas", 1)):
            yield _pod(workload, f"{named(workload)}-{number}")


def helm_test(documents: list[Json]) -> Pod:
    """The pod by which `helm test` looks after a release."""
    (found,) = (pod for pod in of_kind(documents, "Pod") if pod["metadata"]["annotations"]["helm.sh/hook"] == "test")
    return _pod({"metadata": found["metadata"], "spec": {"template": found}}, named(found))


def hook(documents: list[Json], name: str) -> Pod:
    """The pod of a hook's Job."""
    (found,) = (job for job in of_kind(documents, "Job") if named(job) == name)
    return _pod(found, name)


def _pod(workload: Json, name: str) -> Pod:
    meant = copy.deepcopy(workload["spec"]["template"])
    meant.setdefault("metadata", {})["name"] = name
    volumes = meant["spec"].setdefault("volumes", [])
    for claim in workload["spec"].get("volumeClaimTemplates", []):
        source = {"claimName": f"{named(claim)}-{name}"}
        volumes.append({"name": named(claim), "persistentVolumeClaim": source})
    played = copy.deepcopy(meant)
    before = [_initial(played, container, name) for container in played["spec"].pop("initContainers", [])]
    played = {"apiVersion": "v1", "kind": "Pod", "metadata": played["metadata"], "spec": played["spec"]}
    scratch = [_play_volume(volume, name) for volume in played["spec"]["volumes"]]
    for container in played["spec"]["containers"]:
        _play_container(container)
        played["spec"]["volumes"] += list(_play_folders(container, played["spec"]["volumes"]))
    claims = [each["persistentVolumeClaim"]["claimName"] for each in volumes if "persistentVolumeClaim" in each]
    return Pod(name, meant, played, tuple(claims), tuple(filter(None, scratch)), tuple(before))


def _initial(pod: Json, container: Json, name: str) -> Pod:
    """A pod of an init container: podman makes all containers of a pod before the first of them has run."""
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    volumes = [volume for volume in pod["spec"]["volumes"] if volume["name"] in mounted]
    spec = {**pod["spec"], "containers": [container], "volumes": volumes, "restartPolicy": "Never"}
    return _pod({"spec": {"template": {"spec": spec}}}, f"{name}-{container['name']}")


def _play_volume(volume: Json, pod: str) -> str | None:
    """Changes a volume to what podman can mount; returns the name of one that is the pod's own."""
    for source in ("secret", "configMap"):
        # podman 4.3 reads the field without asking whether it is there.
        volume.get(source, {}).setdefault("optional", False)
    if "emptyDir" not in volume:
        return None
    # podman 4.3 knows an empty folder only as a volume of its name, which pods would share.
    name = f"{pod}-{volume['name']}"
    del volume["emptyDir"]
    volume["persistentVolumeClaim"] = {"claimName": name}
    return name


def _play_container(container: Json) -> None:
    container["imagePullPolicy"] = "Never"
    # podman would bind each to a port of this machine; services are found by the pods' addresses.
    for field in ("ports", *_PROBES):
        container.pop(field, None)


def _play_folders(container: Json, volumes: list[Json]) -> Iterator[Json]:
    """Changes mounts of folders in claims, which podman 4.3 does not know; returns the volumes that they are then."""
    claims = {volume["name"]: volume.get("persistentVolumeClaim") for volume in volumes}
    for mount in container.get("volumeMounts", []):
        if folder := mount.pop("subPath", ""):
            claim, mount["name"] = claims[mount["name"]], f"{mount['name']}-{folder}"
            yield {"name": mount["name"], "hostPath": {"path": str(place_of(claim["claimName"]) / folder)}}


def configuration(documents: list[Json]) -> list[Json]:
    """The ConfigMaps, and the Secrets with what a cluster encodes of them."""
    secrets = copy.deepcopy(of_kind(documents, "Secret"))
    for secret in secrets:
        plain = secret.pop("stringData", {})
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        secret["data"] = {**secret.get("data", {}), **encoded}
    return [*of_kind(documents, "ConfigMap"), *secrets]


def claims(documents: list[Json]) -> set[str]:
    """The claims that are there or that pods bring."""
    return {named(claim) for claim in of_kind(documents, "PersistentVolumeClaim")}.union(
        *(pod.claims for pod in pods(documents))
    )


def selects(service: Json, pod: Pod) -> bool:
    """Whether a service sends to a pod."""
    selector = service["spec"].get("selector")
    return bool(selector) and selector.items() <= pod.labels.items()
