"""What is not there: a pod waits for its Secret, a hook says what it did not reach, and an upgrade mends both."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time

import pytest

from .conftest import CHART, MODES, ROOT, one, pod_specs

# What each values file names, and a cluster has to have.
SECRETS = {
    "secured": {"hub", "w2s-postgres", "w2s-s3", "w2s-tls", "w2s-token", "w2s-tokens"},
    "autoscaled": {"w2s-postgres"},
    "canary": {"w2s-postgres"},
}
# How long Helm waits for a hook unless it is told otherwise, and a Job between its tries.
HELM_S, PAUSES_S = 300, (10, 20, 40)


def sources(pod):
    """What a pod takes from Secrets and ConfigMaps, as a kubelet reads it: each needs it, unless it is optional."""
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        for entry in container.get("env", []):
            for kind in ("secretKeyRef", "configMapKeyRef"):
                if kind in entry.get("valueFrom", {}):
                    yield entry["valueFrom"][kind]["name"], entry["valueFrom"][kind]
        for entry in container.get("envFrom", []):
            (source,) = (entry[kind] for kind in ("secretRef", "configMapRef") if kind in entry)
            yield source["name"], source
    for volume in pod.get("volumes", []):
        for kind, key in (("secret", "secretName"), ("configMap", "name")):
            if kind in volume:
                yield volume[kind][key], volume[kind]


@pytest.mark.parametrize("mode", MODES)
def test_no_container_starts_without_the_secrets_that_the_values_name(rendered, mode):
    found = dict(pod_specs(rendered[mode]))
    named = {name: source for pod in found.values() for name, source in sources(pod)}
    assert named.keys() == SECRETS.get(mode, set())
    assert not [name for name, source in named.items() if source.get("optional")]
    # The chart makes none of them, but the certificate's.
    made = {o["metadata"]["name"] for o in rendered[mode] if o["kind"] == "Secret"}
    made |= {o["spec"]["secretName"] for o in rendered[mode] if o["kind"] == "Certificate"}
    assert made <= {"w2s-tls"}


def test_every_image_comes_from_the_registry_that_the_values_name(render):
    flags = ("image.repository=registry.example/w2s", "image.pullSecrets[0].name=registry")
    for mode in ("secured", "trainjob"):
        objects = render("-f", CHART / f"ci/{mode}-values.yaml", *(f"--set={flag}" for flag in flags))
        for name, pod in pod_specs(objects):
            assert pod["imagePullSecrets"] == [{"name": "registry"}], name
            for container in [*pod.get("initContainers", []), *pod["containers"]]:
                # What a run's pod is told by the trainer.
                told = [e["value"] for e in container.get("env", []) if e["name"] == "W2S_TRAINING_IMAGE"]
                own = [] if name.startswith("ClusterTrainingRuntime") else [container["image"]]
                assert all(image.startswith("registry.example/w2s/") for image in own + told), name


@pytest.mark.parametrize("name", ["register-pipelines", "register-teachers"])
def test_a_hook_that_fails_leaves_its_reason_and_what_is_installed(rendered, name):
    job = one(rendered["secured"], "Job", f"w2s-{name}")
    notes, spec = job["metadata"]["annotations"], job["spec"]
    # Everything else is in the cluster by then, and an upgrade makes the Job anew.
    assert notes["helm.sh/hook"] == "post-install,post-upgrade"
    assert set(notes["helm.sh/hook-delete-policy"].split(",")) == {"before-hook-creation", "hook-succeeded"}
    # A pod for each try, which stays with its log; a Job deletes those that its deadline finds running.
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert "ttlSecondsAfterFinished" not in spec
    assert 0 < spec["backoffLimit"] <= 3
    assert HELM_S < spec["activeDeadlineSeconds"] <= 900


def test_a_hook_that_reaches_no_kfp_fails_before_helm_loses_patience(rendered):
    job = one(rendered["secured"], "Job", "w2s-register-pipelines")["spec"]
    command = job["template"]["spec"]["containers"][0]["command"]
    (patience,) = (float(each.partition("=")[2]) for each in command if each.startswith("--patience="))
    tries = job["backoffLimit"] + 1
    assert tries * (patience + 15) + sum(PAUSES_S[: tries - 1]) < HELM_S


@contextlib.contextmanager
def closed():
    """A port that refuses connections."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextlib.contextmanager
def dropping():
    """A port that answers no packet, since nobody takes the connections that wait there already."""
    with socket.socket() as held, contextlib.ExitStack() as stack:
        held.bind(("127.0.0.1", 0))
        held.listen(0)
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(held.getsockname())
        yield held.getsockname()[1]


@contextlib.contextmanager
def silent():
    """A port that takes connections, and says nothing."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def test_the_hook_names_a_kfp_that_does_not_answer_and_what_to_do(render):
    with contextlib.ExitStack() as stack:
        hosts = [f"http://127.0.0.1:{stack.enter_context(port())}" for port in (closed, dropping, silent)]
        began = time.monotonic()
        tried = {host: _hook(render, host) for host in hosts}
        for host, process in tried.items():
            out, said = process.communicate(timeout=90)
            assert process.returncode == 1
            assert out == ""
            (line,) = said.splitlines()
            assert line.startswith(f"ERROR: register: no KFP at {host} for 1 s (")
            assert "pipelines.kfpEndpoint" in line
        # A kernel gives up an address that drops packets after two minutes.
        assert time.monotonic() - began < 90


def _hook(render, host):
    """The hook's own command and variables, with less patience."""
    objects = render("--set=pipelines.registration=job", f"--set=pipelines.kfpEndpoint={host}")
    (container,) = dict(pod_specs(objects))["Job/w2s-register-pipelines"]["containers"]
    python, *arguments = container["command"]
    assert python == "python"
    environment = {**os.environ, **{entry["name"]: entry["value"] for entry in container["env"]}}
    command = [sys.executable, *arguments, "--patience=1"]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
