from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from helpers.run_inputs import Inputs, write_model
from huggingface_hub import constants

from w2s.database import Database
from w2s.errors import FailedPrecondition
from w2s.jobs import JobManager, JobStore, State
from w2s.models.sources import ModelSources
from w2s.rpc.convert import spec_message
from w2s.trainer.v1 import trainer_pb2 as pb
from w2s_trainer.admission import Admission
from w2s_trainer.cleanup import Cleanup
from w2s_trainer.files import RunFiles
from w2s_trainer.servicer import TrainerServicer
from w2s_trainer.settings import TrainerSettings
from w2s_trainer.spec import RunSpec
from w2s_trainer.worker.execute import _Run
from w2s_trainer.worker.order import Order

FIRST, SECOND = "a" * 40, "b" * 40
BASE = {"uri": "hf://org/mini", "revision": "main"}


@pytest.fixture
def inputs(tmp_path):
    return Inputs(tmp_path / "artifacts", tmp_path / "models")


@pytest.fixture
def push(tmp_path, monkeypatch):
    """Moves the branch main of org/mini to a commit, in a cache that stands in for the hub."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--org--mini"

    def move(commit):
        write_model(repository / "snapshots" / commit)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / "main").write_text(commit)

    return move


@pytest.fixture
def settings(inputs, tmp_path):
    return TrainerSettings(
        artifact_root=inputs.store.root, database_url=f"sqlite:///{tmp_path}/runs.db", _cli_parse_args=[]
    )


async def test_every_attempt_of_a_run_has_the_commit_that_was_admitted(inputs, push, settings):
    sources, loaded = ModelSources(inputs.store), []

    async def fail(job, report):
        order = Order.of(job)
        desk = SimpleNamespace(sources=sources, commits=order.commits)
        loaded.extend(_Run(desk, order.spec)._weights(stage.model) for stage in (*order.spec.hops, order.spec))
        raise FailedPrecondition("to be tried again")

    async def ended():
        while (job := await runs.get("run")).state is not State.FAILED:
            await asyncio.sleep(0.01)
        return job

    database = Database(settings.database_url)
    runs = JobManager(JobStore(database, "runs"), fail, poll_s=0.05)
    files = RunFiles(inputs.store)
    servicer = TrainerServicer(runs, Admission(sources, settings), files, Cleanup(files, None))
    model = {"base": BASE, "max_length": 64}
    spec = RunSpec(model=model, dataset=inputs.examples("own"), hops=[{"model": model}])
    request = pb.CreateRunRequest(request_id="run")
    request.run.spec.CopyFrom(spec_message(spec, pb.RunSpec))

    push(FIRST)
    await servicer.CreateRun(request, None)
    push(SECOND)
    # Asked again before it was executed: the same run.
    await servicer.CreateRun(request, None)
    await runs.start()
    await ended()
    assert [(weights.revision, weights.parent.revision) for weights in loaded] == [(FIRST, FIRST)] * 2
    assert (await runs.get("run")).spec["model"]["base"]["revision"] == "main"
    # Created again after it has failed, it is admitted anew.
    loaded.clear()
    await servicer.CreateRun(request, None)
    await ended()
    await runs.stop()
    database.close()
    assert [weights.revision for weights in loaded] == [SECOND] * 2
