"""Runs whose processes are killed, stopped and starved: they end as if nothing had happened, or say why not."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from helpers.run_inputs import Inputs
from safetensors.numpy import load_file
from support.slow_disk import slow_disk

from w2s.common.v1 import common_pb2 as common
from w2s.trainer.v1 import trainer_pb2 as pb

from .conftest import Server

ROWS = 32
BATCH = 8
# Enough steps that a run is under way when it is hit; without checkpoints they take a tenth of the time.
STEPS = 80
LONG = 800
SUCCEEDED, FAILED = common.JOB_STATE_SUCCEEDED, common.JOB_STATE_FAILED


@pytest.fixture(scope="module")
def flags(bases):
    """Of every trainer here; models this small gain nothing from more threads."""
    return [f"--model-roots={bases}", "--threads=1", "--no-allow-hub"]


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """Makes a file system of 24 MiB, which goes with the module; a plain folder where mounting one is refused."""
    with contextlib.ExitStack() as stack:

        def make(name):
            folder = tmp_path_factory.mktemp(name)
            command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                stack.callback(subprocess.run, ["umount", "--lazy", folder], check=True)
            return folder

        yield make


@pytest.fixture(scope="module")
def place(disk, bases):
    """Where all runs here read and write: what they learn from is there, and there is room for little more."""
    found = SimpleNamespace(artifacts=disk("artifacts"), cache=disk("cache"))
    made = Inputs(found.artifacts / "root", bases)
    ids = [f"{n:02}" for n in range(ROWS)]
    made.examples("examples", ids=ids, second=None)
    made.pairs("pairs", ids=ids)
    found.store = made.store
    return found


@pytest.fixture(scope="module")
def serving(tmp_path_factory, place, flags):
    """Makes a trainer of flags, and a function that starts it where a test has left it dead."""
    with contextlib.ExitStack() as stack:

        def make(*more):
            server = Server("trainer", tmp_path_factory.mktemp("trainer"), place.store.root)
            more = [*flags, f"--cache-folder={place.cache}", *more]

            def alive():
                if server.process is None or server.process.poll() is not None:
                    stack.callback(server.start(*more).kill)
                return server

            return alive

        yield make


@pytest.fixture(scope="module")
def eager(serving):
    """A trainer that writes a checkpoint after each step."""
    return serving("--checkpoint-seconds=0", "--slots=2")


@pytest.fixture(scope="module")
def patient(serving):
    """A trainer for whose runs no checkpoint is due, and that starts their processes twice."""
    return serving("--checkpoint-seconds=3600", "--max-restarts=2")


@pytest.fixture(scope="module")
def specs(bases, place):
    """Makes specs of runs by name.

    `classifier`: a body that trains with dropout under an objective of whole batches, so that every
    state there is counts; `long`: the same with more steps. `dpo`: a language model with a reference.
    `recipe`: a hop and generative fine-tuning before the run's own training, a fourth of the steps each.
    """

    def model(name, **fields):
        return pb.ModelSpec(base=common.ModelRef(uri=f"file://{bases}/{name}"), max_length=64, **fields)

    def make(name):
        classifier = pb.RunSpec(
            model=model("encoder", dropout=True),
            objective=pb.Objective(auxiliary_confidence=pb.AuxiliaryConfidence()),
        )
        spec = {
            "classifier": classifier,
            "long": classifier,
            "dpo": pb.RunSpec(model=model("decoder"), objective=pb.Objective(dpo=pb.Dpo())),
            "recipe": pb.RunSpec(
                model=model("decoder", dropout=True),
                hops=[pb.Hop(model=model("encoder", dropout=True))],
                generative_first=pb.GenerativeFirst(),
            ),
        }[name]
        spec.dataset.uri = place.store.uri("datasets", "pairs" if name == "dpo" else "examples")
        steps = {"long": LONG, "recipe": STEPS // 4}.get(name, STEPS)
        spec.training.MergeFrom(
            pb.TrainingConfig(epochs=steps * BATCH // ROWS, batch_size=BATCH, learning_rate=1e-3, evaluations=0)
        )
        return spec

    return make


@pytest.fixture(scope="module")
def undisturbed(eager, patient, specs):
    """What a run makes when nobody disturbs it, by its spec's name; made once."""
    found = {}

    def run(name):
        if name not in found:
            with (patient if name == "long" else eager)().client() as trainer:
                run = trainer.train(specs(name), f"undisturbed-{name}")
            assert run.status.state == SUCCEEDED, run.status.error.message
            found[name] = run.result
        return found[name]

    return run


@pytest.fixture
def expected(undisturbed):
    """The digest of the model that the classifier's run makes."""
    return undisturbed("classifier").model.digest


def created(trainer, spec, request_id, **fields):
    return trainer.CreateRun(run=pb.Run(spec=spec, **fields), request_id=request_id)


def workers(server):
    """The processes of the runs of a server: its children fork or launch them."""
    children = psutil.Process(server.process.pid).children()
    return [process for child in children for process in child.children()]


def kill(processes):
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def step_of(event, stage="train"):
    return event.progress.step if event.progress.stage == stage else -1


def reached(trainer, run, step, stage="train", after=0):
    """The number of the event that says that a run is so far."""
    events = trainer.WatchRun(name=run.name, after_sequence=after)
    found = next(event.sequence for event in events if step_of(event, stage) >= step)
    events.cancel()
    return found


def steps_after(trainer, run, sequence):
    """The steps that a run has told of since an event."""
    steps = [step_of(event) for event in trainer.WatchRun(name=run.name, after_sequence=sequence)]
    return [step for step in steps if step >= 0]


def started(trainer, run):
    """The number of the event that says that a run's process was started for the last time."""
    return max(event.sequence for event in trainer.WatchRun(name=run.name) if event.progress.stage == "load")


def checkpoints(store, run):
    """The steps of a run's whole checkpoints."""
    workspace = store.workspace("models", run.name.removeprefix("runs/"))
    names = [name for name in workspace.names() if name.startswith("main-")]
    return [int(name.rpartition("-")[2]) for name in names if workspace.folder(name) is not None]


def test_a_worker_killed_at_random_steps_makes_the_same_model(eager, specs, expected):
    server = eager()
    with server.client() as trainer:
        run, after = created(trainer, specs("classifier"), "worker-killed"), 0
        for step in sorted(random.Random(0).sample(range(5, STEPS - 30), 3)):
            after = reached(trainer, run, step, after=after)
            kill(workers(server))
        run = trainer.ended(run)
        events = list(trainer.WatchRun(name=run.name))
    assert (run.status.state, run.status.attempt) == (SUCCEEDED, 1), run.status.error.message
    # It went on from where it was, three times, and not from the beginning.
    assert [event.progress.stage for event in events].count("load") == 4
    assert [step_of(event) for event in events].count(5) <= 1
    assert run.result.model.digest == expected


@pytest.mark.faults
def test_a_run_whose_disk_becomes_slow_makes_the_same_model(patient, specs, undisturbed):
    expected, server = undisturbed("long").model.digest, patient()
    with server.client() as trainer:
        run = created(trainer, specs("long"), "slow-disk")
        reached(trainer, run, LONG - 200)
        with slow_disk([server.process.pid, *(process.pid for process in server.descendants())], 0.03):
            assert trainer.GetRun(name=run.name).status.state == common.JOB_STATE_RUNNING
            run = trainer.ended(run)
    assert run.status.state == SUCCEEDED, run.status.error.message
    assert run.result.model.digest == expected


@pytest.mark.faults
def test_a_language_models_worker_killed_makes_the_same_model(eager, specs, undisturbed):
    expected, server = undisturbed("dpo").model.digest, eager()
    with server.client() as trainer:
        run = created(trainer, specs("dpo"), "dpo-killed")
        reached(trainer, run, 10)
        kill(workers(server))
        run = trainer.ended(run)
    assert run.status.state == SUCCEEDED, run.status.error.message
    assert run.result.model.digest == expected


@pytest.mark.faults
def test_a_worker_killed_in_each_stage_of_a_recipe_makes_the_same_models(eager, specs, undisturbed):
    expected, server = undisturbed("recipe"), eager()
    with server.client() as trainer:
        run, after = created(trainer, specs("recipe"), "recipe-killed"), 0
        for stage in ("hop", "generative", "train"):
            after = reached(trainer, run, 5, stage, after)
            kill(workers(server))
        run = trainer.ended(run)
        stages = [event.progress.stage for event in trainer.WatchRun(name=run.name, after_sequence=after)]
    assert run.status.state == SUCCEEDED, run.status.error.message
    # What was finished is not done again.
    assert stages.count("hop") == stages.count("generative") == 0
    assert [model.digest for model in run.result.hop_models] == [model.digest for model in expected.hop_models]
    assert run.result.model.digest == expected.model.digest


@pytest.mark.parametrize("sharding", [pytest.param("DATA_PARALLEL", marks=pytest.mark.faults), "FULLY_SHARDED"])
def test_one_of_two_processes_killed_and_both_go_on_to_the_model_of_one(eager, place, specs, undisturbed, sharding):
    expected, server = undisturbed("dpo").model, eager()
    resources = pb.Resources(processes=2, sharding=pb.Sharding.Value(f"SHARDING_{sharding}"))
    with server.client() as trainer:
        run = created(trainer, specs("dpo"), f"killed-{sharding[:4].lower()}", resources=resources)
        after = reached(trainer, run, 20)
        kill(workers(server)[-1:])
        run = trainer.ended(run)
        again = steps_after(trainer, run, after)
    assert (run.status.state, run.status.attempt) == (SUCCEEDED, 1), run.status.error.message
    assert min(again) >= 20
    # Two processes add gradients up in another order than one does.
    found, wanted = (
        load_file(place.store.read(ref.uri).path / "model.safetensors") for ref in (run.result.model, expected)
    )
    assert max(float(np.abs(found[name] - wanted[name]).max()) for name in wanted) < 1e-4


def test_a_stop_signal_to_the_worker_alone_does_not_end_its_run(eager, specs, expected):
    server = eager()
    with server.client() as trainer:
        run = created(trainer, specs("classifier"), "worker-stopped")
        reached(trainer, run, 10)
        for process in workers(server):
            process.send_signal(signal.SIGTERM)
        run = trainer.ended(run)
    assert run.status.state == SUCCEEDED, run.status.error.message
    assert run.result.model.digest == expected


def test_a_killed_server_goes_on_where_its_run_was(eager, gone, specs, expected):
    run = None
    for step, victims in ((10, "server"), (30, "both")):
        server = eager()
        with server.client() as trainer:
            run = run or created(trainer, specs("classifier"), "server-killed")
            reached(trainer, run, step)
            processes = server.descendants()
            if victims == "both":
                kill(processes)
            server.kill()
        gone(processes)
    with eager().client() as trainer:
        run = trainer.ended(run)
        after = steps_after(trainer, run, started(trainer, run))
        everything = steps_after(trainer, run, 0)
    assert (run.status.state, run.status.attempt) == (SUCCEEDED, 3), run.status.error.message
    # At most the step that it was hit in is done again.
    assert min(after) >= 30
    assert everything.count(5) == 1
    assert run.result.model.digest == expected


def test_a_stopped_server_leaves_a_checkpoint_and_goes_within_its_grace(patient, place, gone, specs, undisturbed):
    # No checkpoint is due for an hour: the one there is was written because the server was asked to stop.
    expected, server = undisturbed("long").model.digest, patient()
    with server.client() as trainer:
        run = created(trainer, specs("long"), "stopped-server")
        reached(trainer, run, 20)
        processes = server.descendants()
        server.process.terminate()
        assert server.process.wait(timeout=30) == 0
    gone(processes)
    (checkpoint,) = checkpoints(place.store, run)
    with patient().client() as trainer:
        run = trainer.ended(run)
        resumed = steps_after(trainer, run, started(trainer, run))
    assert (run.status.state, run.status.attempt) == (SUCCEEDED, 2), run.status.error.message
    assert checkpoint >= 20
    assert min(resumed) > checkpoint
    assert run.result.model.digest == expected
    assert place.store.workspace("models", "stopped-server").names() == []


@pytest.mark.faults
def test_a_worker_that_dies_again_and_again_fails_its_run(patient, specs):
    server = patient()
    with server.client() as trainer:
        run, after = created(trainer, specs("long"), "dies-and-dies"), 0
        for _ in range(2):
            after = reached(trainer, run, 1, after=after)
            kill(workers(server))
        run = trainer.ended(run)
    assert (run.status.state, run.status.error.code) == (FAILED, 13)
    assert "killed by signal 9" in run.status.error.message


@pytest.fixture
def fill(place):
    """Takes all the space of a disk, until the function that it gives is called."""
    taken = []

    def take(folder):
        if not folder.is_mount():
            pytest.skip("only root may mount a file system")
        taken.append(folder / "ballast")
        with taken[-1].open("wb", buffering=0) as stream, contextlib.suppress(OSError):
            while True:
                stream.write(bytes(1 << 12))
        return taken[-1].unlink

    yield take
    for ballast in taken:
        ballast.unlink(missing_ok=True)


@pytest.mark.parametrize("full", ["cache", "artifacts"])
def test_a_full_disk_fails_the_run_with_the_reason_and_once_freed_lets_it_go_on(
    eager, place, specs, expected, fill, full
):
    # Checkpoints are written in the cache before they are kept among the artifacts.
    spec = specs("classifier")
    with eager().client() as trainer:
        run = created(trainer, spec, f"full-{full}")
        trainer.until(run, lambda event: event.progress.stage == "checkpoint")
        free = fill(getattr(place, full))
        run = trainer.ended(run)
        assert (run.status.state, run.status.error.code) == (FAILED, 8), run.status.error.message
        assert "no space left on the device" in run.status.error.message
        last = checkpoints(place.store, run)[-1]
        assert f"the checkpoint of step {last} is intact" in run.status.error.message
        free()
        run = trainer.train(spec, f"full-{full}")
        again = steps_after(trainer, run, started(trainer, run))
    assert (run.status.state, run.status.attempt) == (SUCCEEDED, 2), run.status.error.message
    assert min(again) == last + 1
    assert run.result.model.digest == expected


def test_a_disk_too_full_for_the_model_keeps_the_checkpoint(patient, place, specs, undisturbed, fill):
    expected, spec, server = undisturbed("long").model.digest, specs("long"), patient()
    with server.client() as trainer:
        run = created(trainer, spec, "full-at-last")
        reached(trainer, run, 5)
        # The one checkpoint is written because the process was asked to stop; another one goes on from it.
        for process in workers(server):
            process.send_signal(signal.SIGTERM)
        kept = trainer.until(run, lambda event: event.progress.stage == "checkpoint")
        reached(trainer, run, kept.progress.step + 1)
        free = fill(place.artifacts)
        run = trainer.ended(run)
        assert (run.status.state, run.status.error.code) == (FAILED, 8), run.status.error.message
        assert "no space left on the device while writing" in run.status.error.message
        assert checkpoints(place.store, run) == [kept.progress.step]
        assert place.store.find("models", "full-at-last") is None
        free()
        run = trainer.train(spec, "full-at-last")
        again = steps_after(trainer, run, started(trainer, run))
    assert (run.status.state, run.status.attempt) == (SUCCEEDED, 2), run.status.error.message
    # Of so many steps each sixteenth is told of.
    assert kept.progress.step < min(again) <= kept.progress.step + LONG // 50
    assert run.result.model.digest == expected
