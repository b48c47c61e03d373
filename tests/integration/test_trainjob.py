"""Runs as TrainJobs whose pods are real: torchrun and the worker, in processes of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
import yaml
from helpers.run_inputs import Inputs
from support import kubernetes_api, stand_in_run

from w2s.artifacts import ArtifactStore
from w2s.common.v1 import common_pb2 as common
from w2s.jobs import Job, State
from w2s.models.checkpoint import load
from w2s.trainer.v1 import trainer_pb2 as pb
from w2s_trainer.launch import RunFailed
from w2s_trainer.launch.trainjob import TrainJobLauncher
from w2s_trainer.settings import TrainerSettings

from .conftest import Server

ROOT = Path(__file__).parents[2]
RUNTIME = yaml.safe_load((ROOT / "charts/w2s/files/training-runtime.yaml").read_text())
MAX_RESTARTS = RUNTIME["spec"]["template"]["spec"]["failurePolicy"]["maxRestarts"]


class Pods:
    """What controllers and kubelets make of one TrainJob: pods, and its status.

    Args:
        api: The cluster.
        name: The TrainJob.
        folder: What pods have for /tmp.
    """

    def __init__(self, api, name, folder):
        self.starts = 0
        self.nodes = []
        self._api, self._name, self._folder = api, name, folder
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self):
        self._over.set()
        self._thread.join()

    def _run(self):
        while not self._over.wait(0.05):
            job = self._api.trainjob(self._name)
            if job is None:
                self._end()
            elif not self.nodes:
                self._start(job["spec"]["trainer"])
                self._api.set_status(self._name, jobsStatus=[{"name": "node", "ready": 1, "active": 1}])
            else:
                self._settle([node.poll() for node in self.nodes])
        self._end()

    def _settle(self, codes):
        if all(code == 0 for code in codes):
            self._api.condition(self._name, "Complete", "AllJobsCompleted")
        elif any(codes):
            # All of them begin again, or none.
            self._end()
            if self.starts > MAX_RESTARTS:
                self._api.condition(self._name, "Failed", "ReachedMaxRestarts", "jobset failed due to its restarts")
                self._over.set()

    def _start(self, trainer):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith("W2S_")},
            **{entry["name"]: entry["value"] for entry in trainer["env"]},
            "PYTHONPATH": str(ROOT / "tests"),
            "W2S_CACHE_FOLDER": str(self._folder),
            # What the controller adds for torch.
            "PET_NNODES": str(trainer["numNodes"]),
            "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
            "PET_MASTER_ADDR": "127.0.0.1",
            "PET_MASTER_PORT": str(port),
        }
        assert trainer["command"] == ["torchrun"]
        command = [sys.executable, "-m", "torch.distributed.run", *trainer["args"]]
        self.nodes = [
            subprocess.Popen(command, env={**variables, "PET_NODE_RANK": str(rank)}, start_new_session=True)
            for rank in range(trainer["numNodes"])
        ]
        self.starts += 1

    def processes(self):
        """Every process of the pods."""
        found = []
        for node in self.nodes:
            with contextlib.suppress(psutil.NoSuchProcess):
                found += [psutil.Process(node.pid), *psutil.Process(node.pid).children(recursive=True)]
        return found

    def _end(self):
        # A container has no survivors.
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for node in self.nodes:
            node.wait()
        self.nodes = []


@pytest.fixture
def api():
    with kubernetes_api.running() as api:
        api.add_runtime("w2s-student")
        yield api


@pytest.fixture
def pods(api, tmp_path):
    """The pods of the run `run`."""
    with contextlib.closing(Pods(api, "run-run", tmp_path / "pod")) as pods:
        yield pods


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(str(tmp_path / "artifacts"))


@pytest.fixture
def reports():
    return []


@pytest.fixture
def execute(api, store, tmp_path, reports):
    """Begins stand-in work as the run `run`, on a server of its own."""
    settings = TrainerSettings(
        artifact_root=store.root,
        database_url="",
        cache_folder=tmp_path / "cache",
        device="cpu",
        threads=4,
        launcher="kubernetes",
        kubernetes_url=api.url,
    )
    made = []

    def begin(work, **resources):
        spec, now = stand_in_run.spec(work, store.root), datetime.now(UTC)
        job = Job("run", "runs", spec, {"resources": resources}, State.RUNNING, 1, now, now, None, None, None, 0, "")
        made.append(TrainJobLauncher(settings, store, module="support.stand_in_run", poll_s=0.1))
        return asyncio.create_task(made[-1].execute(job, reports.append))

    yield begin
    for launcher in made:
        launcher.close()


async def step(reports, at_least):
    async with asyncio.timeout(60):
        while not any(progress.step >= at_least for progress in reports if progress.stage == "checkpoint"):
            await asyncio.sleep(0.02)


def steps(reports):
    return [progress.step for progress in reports if progress.stage == "checkpoint"]


async def test_a_run_of_two_nodes_is_one_run(execute, pods, reports):
    facts = await execute("facts", nodes=2, processes=2)
    assert (facts["rank"], facts["world"], facts["threads"]) == (0, 4, 2)


async def test_killed_pods_go_on_from_the_checkpoint(execute, pods, reports):
    run = execute("die-once")
    result = await run
    assert (result["steps"], result["begun"]) == (stand_in_run.STEPS, 4)
    # Once more where somebody else took the port that the pods were to meet at.
    assert pods.starts in (2, 3)
    assert steps(reports)[-1] == stand_in_run.STEPS


@pytest.mark.faults
async def test_pods_that_die_again_and_again_fail_the_run(execute, pods):
    with pytest.raises(RunFailed, match="TrainJob run-run failed: ReachedMaxRestarts: jobset failed"):
        await execute("die")
    assert pods.starts == MAX_RESTARTS + 1


async def test_a_drained_node_costs_no_step(execute, pods, reports):
    run = execute("steps")
    await step(reports, 3)
    # As the kubelet does.
    pods.nodes[0].send_signal(signal.SIGTERM)
    result = await run
    assert pods.starts == 2
    assert result["begun"] >= 3
    assert steps(reports) == list(range(1, stand_in_run.STEPS + 1))


async def test_a_run_goes_on_while_no_server_is_there(execute, pods, api, reports):
    run = execute("steps")
    await step(reports, 2)
    run.cancel("stopping")
    with pytest.raises(asyncio.CancelledError):
        await run
    uid = api.trainjob("run-run")["metadata"]["uid"]
    result = await execute("steps")
    assert (result["begun"], pods.starts) == (0, 1)
    assert steps(reports) == list(range(1, stand_in_run.STEPS + 1))
    assert uid


async def test_a_cancelled_run_leaves_no_pod(execute, pods, api, reports):
    run = execute("hang", processes=2)
    # torchrun, two ranks and their children: one rank reports, the other may be later.
    async with asyncio.timeout(60):
        while len(processes := pods.processes()) < 5 or not any(progress.stage == "hang" for progress in reports):
            await asyncio.sleep(0.02)
    run.cancel("cancelled")
    with pytest.raises(asyncio.CancelledError):
        await run
    assert api.trainjob("run-run") is None
    assert psutil.wait_procs(processes, 10)[1] == []


@pytest.fixture
def trainer(api, tmp_path, store, bases):
    """A trainer of its own, which runs TrainJobs."""
    server = Server("trainer", tmp_path, store.root)
    flags = ("--launcher=kubernetes", f"--kubernetes-url={api.url}", "--device=cpu", "--threads=1", "--no-allow-hub")
    try:
        with server.start(*flags, f"--model-roots={bases}").client() as found:
            yield found
    finally:
        server.kill()


@pytest.fixture
def asked(bases, tmp_path, store):
    """A run of a few steps."""
    dataset = Inputs(Path(store.root.removeprefix("file://")), tmp_path).examples("own")
    return pb.RunSpec(
        model=pb.ModelSpec(base=common.ModelRef(uri=f"file://{bases}/encoder"), max_length=32),
        dataset=common.DatasetRef(uri=dataset.uri),
        training=pb.TrainingConfig(epochs=3, batch_size=4),
    )


def test_a_run_over_grpc_is_trained_by_the_worker_in_its_pod(trainer, api, pods, store, asked, eventually):
    run = trainer.train(asked, "run")
    assert run.status.state == common.JOB_STATE_SUCCEEDED, run.status.error.message
    stages = [event.progress.stage for event in trainer.WatchRun(name=run.name)]
    assert {"load", "train", "save"} <= set(stages)
    assert (run.result.steps, pods.starts) == (3, 1)

    model = store.read(run.result.model.uri, run.result.model.digest)
    assert load(model.path).label_names == ["no", "yes"]
    eventually(lambda: api.trainjob("run-run") is None and not store.workspace("models", "run").names())


def test_a_failed_runs_trainjob_stays_until_the_run_is_deleted(trainer, api, asked, eventually):
    run = trainer.CreateRun(run=pb.Run(spec=asked), request_id="run")
    eventually(lambda: api.trainjob("run-run"))
    api.condition("run-run", "Failed", "BackoffLimitExceeded", "no image")
    assert "no image" in trainer.ended(run).status.error.message
    assert api.trainjob("run-run")
    trainer.DeleteRun(name=run.name)
    assert api.trainjob("run-run") is None
