"""Trainers that share a database and an artifact root: one of them executes a run, and any tells of it."""

from __future__ import annotations

import contextlib

import pytest
from helpers.run_inputs import Inputs
from support.postgres import new_database

from w2s.common.v1 import common_pb2 as common
from w2s.trainer.v1 import trainer_pb2 as pb

from .conftest import Server, scrape

RUNNING, SUCCEEDED = common.JOB_STATE_RUNNING, common.JOB_STATE_SUCCEEDED


@pytest.fixture
def inputs(tmp_path):
    return Inputs(tmp_path / "artifacts", tmp_path / "models")


@pytest.fixture
def replicas(tmp_path, inputs, bases):
    """Two trainers of one slot each."""
    database = new_database() or f"sqlite:///{tmp_path}/shared.db"
    flags = (f"--database-url={database}", f"--model-roots={bases}", "--slots=1", "--threads=1", "--no-allow-hub")
    with contextlib.ExitStack() as stack:
        servers = []
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            servers.append(Server("trainer", folder, inputs.store.root))
            stack.callback(servers[-1].kill)
            servers[-1].start("--checkpoint-seconds=0", *flags)
        yield servers


@pytest.fixture
def both(replicas):
    with replicas[0].client() as one, replicas[1].client() as two:
        yield one, two


@pytest.fixture
def spec(bases, inputs):
    """Makes specs of an encoder that trains with dropout, one step an epoch."""
    dataset = inputs.examples("own", ids=[f"row-{n}" for n in range(32)], second=None)
    model = pb.ModelSpec(base=common.ModelRef(uri=f"file://{bases}/encoder"), max_length=32, dropout=True)

    def make(epochs):
        training = pb.TrainingConfig(epochs=epochs, batch_size=32)
        return pb.RunSpec(model=model, dataset=common.DatasetRef(uri=dataset.uri), training=training)

    return make


def series(server, name):
    """A server's metrics of that name, by the value of their one label."""
    samples = scrape(server.addresses["metrics"])
    return {next(iter(labels))[1]: value for (found, labels), value in samples.items() if found == name}


def checkpointed(event):
    """Whether a run has kept its fifth step; also when it has failed."""
    return event.HasField("error") or (event.progress.stage == "checkpoint" and event.progress.step >= 5)


def test_each_run_is_trained_once_and_told_of_by_all(replicas, both, spec):
    one, two = both
    runs = [
        client.CreateRun(run=pb.Run(spec=spec(10)), request_id=f"shared-{n}") for n, client in enumerate([one, two] * 2)
    ]
    assert [two.CreateRun(run=pb.Run(spec=spec(10)), request_id="shared-0").name] == [runs[0].name]
    ended = [two.ended(run) for run in runs]

    assert {(run.status.state, run.status.attempt) for run in ended} == {(SUCCEEDED, 1)}
    assert len({run.result.model.digest for run in ended}) == 1
    assert [one.GetRun(name=run.name) for run in runs] == ended
    assert list(one.ListRuns().runs) == list(two.ListRuns().runs) == ended[::-1]
    for run in runs:
        events = list(one.WatchRun(name=run.name))
        assert events == list(two.WatchRun(name=run.name))
        assert [event.state for event in events if not event.HasField("progress")].count(RUNNING) == 1
        assert [event.progress.step for event in events if event.progress.stage == "train"] == list(range(1, 11))
    executed = [series(server, "w2s_trainer_runs_total")["succeeded"] for server in replicas]
    assert sum(executed) == len(runs)
    assert min(executed) > 0


def test_a_run_goes_on_in_another_trainer_when_its_own_is_killed(replicas, both, spec, gone):
    epochs = 50
    run = both[0].CreateRun(run=pb.Run(spec=spec(epochs)), request_id="handed-over")
    both[0].until(run, checkpointed)
    executing = [bool(series(server, "w2s_trainer_step")) for server in replicas]
    assert sorted(executing) == [False, True]
    owner, survivor = replicas[executing.index(True)], both[executing.index(False)]
    processes = owner.descendants()
    owner.kill()

    handed_over = survivor.ended(run)
    gone(processes)
    undisturbed = survivor.train(spec(epochs), "undisturbed-by-others")
    assert (undisturbed.status.state, undisturbed.status.attempt) == (SUCCEEDED, 1), undisturbed.status.error.message
    assert (handed_over.status.state, handed_over.status.attempt) == (SUCCEEDED, 2), handed_over.status.error.message
    assert handed_over.result.model.digest == undisturbed.result.model.digest
    events = list(survivor.WatchRun(name=run.name))
    begun = [event.sequence for event in events if event.state == RUNNING and not event.HasField("progress")]
    steps = [event.progress.step for event in events if event.progress.stage == "train" and event.sequence > begun[1]]
    # From its last checkpoint on, and not from the beginning.
    assert 5 < steps[0] <= steps[-1] == epochs
