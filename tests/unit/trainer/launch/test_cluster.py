"""Calls of the Kubernetes API, and what its refusals are to a run."""

from __future__ import annotations

import pytest
from support import kubernetes_api

from w2s.errors import AlreadyExists, FailedPrecondition, Unavailable
from w2s_trainer.launch import cluster
from w2s_trainer.launch.cluster import TrainJobs


@pytest.fixture
def api(monkeypatch):
    monkeypatch.setattr(cluster, "_PAUSES_S", (0.01, 0.01, 0.01))
    with kubernetes_api.running() as api:
        api.add_runtime("w2s-student")
        yield api


@pytest.fixture
def trainjobs(api, settings):
    """Makes the calls: `trainjobs(training_runtime="other")`."""
    made = []

    def make(**fields):
        made.append(TrainJobs(settings(kubernetes_url=api.url, **fields)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def body(name="run-1"):
    return {"apiVersion": "trainer.kubeflow.org/v1alpha1", "kind": "TrainJob", "metadata": {"name": name}, "spec": {}}


async def test_a_trainjob_is_created_read_and_deleted_with_its_pods(api, trainjobs):
    jobs = trainjobs()
    assert await jobs.get("run-1") is None
    await jobs.create(body())
    assert (await jobs.get("run-1"))["metadata"]["uid"]
    with pytest.raises(AlreadyExists, match="already exists"):
        await jobs.create(body())
    await jobs.delete("run-1")
    await jobs.delete("run-1")
    assert api.trainjob("run-1") is None
    assert api.deletions == ["Foreground"]


@pytest.mark.parametrize("code", [429, 500, 503, 0], ids=["429", "500", "503", "no answer"])
async def test_what_may_succeed_later_is_tried_again(api, trainjobs, code):
    api.failures = {"create trainjobs": [code] * 2, "get trainjobs": [code], "delete trainjobs": [code]}
    jobs = trainjobs()
    await jobs.create(body())
    assert (await jobs.get("run-1"))["metadata"]["name"] == "run-1"
    await jobs.delete("run-1")
    assert api.calls.count("create trainjobs") == 3
    assert api.trainjob("run-1") is None


@pytest.mark.parametrize(("code", "reason"), [(503, "503 it went wrong"), (0, "")], ids=["503", "no answer"])
async def test_an_api_that_is_away_is_unavailable(api, trainjobs, code, reason):
    api.failures = {"get trainjobs": [code] * 100}
    with pytest.raises(Unavailable, match=f"failed to get trainjobs: .*{reason}"):
        await trainjobs().get("run-1")
    assert len(api.calls) == 4


@pytest.mark.parametrize(
    ("call", "action"),
    [
        ("create trainjobs", lambda jobs: jobs.create(body())),
        ("get clustertrainingruntimes", lambda jobs: jobs.create(body())),
        ("get trainjobs", lambda jobs: jobs.get("run-1")),
        ("delete trainjobs", lambda jobs: jobs.delete("run-1")),
    ],
)
async def test_a_missing_right_is_named(api, trainjobs, call, action):
    api._create("trainjobs", "default", body()) if call == "delete trainjobs" else None
    api.failures = {call: [403]}
    with pytest.raises(FailedPrecondition, match=rf"the right to {call}\.trainer\.kubeflow\.org in default"):
        await action(trainjobs())
    assert api.calls.count(call) == 1


async def test_a_missing_runtime_is_named(api, trainjobs):
    with pytest.raises(FailedPrecondition, match="no ClusterTrainingRuntime other: install the chart"):
        await trainjobs(training_runtime="other").create(body())
    assert api.trainjob("run-1") is None
    kind = {"training_runtime_kind": "TrainingRuntime", "training_runtime": "mine"}
    with pytest.raises(FailedPrecondition, match="no TrainingRuntime mine"):
        await trainjobs(**kind).create(body())
    api.add_runtime("mine", "default")
    await trainjobs(**kind).create(body())
    assert api.trainjob("run-1")


async def test_a_cluster_without_trainjobs_says_what_to_install(api, trainjobs):
    api.failures = {"create trainjobs": [404]}
    with pytest.raises(FailedPrecondition, match="install Kubeflow Trainer"):
        await trainjobs().create(body())


async def test_what_the_cluster_refuses_is_said(api, trainjobs):
    api.failures = {"create trainjobs": [422]}
    with pytest.raises(FailedPrecondition, match=r"refused to create trainjobs\.trainer\.kubeflow\.org: it went wrong"):
        await trainjobs().create(body())


def test_without_a_cluster_there_is_no_launcher(settings, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(FailedPrecondition, match="no cluster to be found"):
        TrainJobs(settings())
