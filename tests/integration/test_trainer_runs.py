"""The life of runs, over gRPC: created once, listed, watched, cancelled, deleted, and taken in their order."""

from __future__ import annotations

import itertools

import pytest
from helpers.run_inputs import IDS, Inputs

from w2s.common.v1 import common_pb2 as common
from w2s.trainer.v1 import trainer_pb2 as pb

from .conftest import Server, scrape

QUEUED, RUNNING = common.JOB_STATE_QUEUED, common.JOB_STATE_RUNNING
SUCCEEDED, CANCELLED = common.JOB_STATE_SUCCEEDED, common.JOB_STATE_CANCELLED
LONG = 1000


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    made = Inputs(folder / "artifacts", folder / "models")
    made.examples("own", ids=[f"{id_}-{n}" for n in range(16) for id_ in IDS])
    return made


@pytest.fixture(scope="module")
def server(inputs, model_root, tmp_path_factory):
    """A trainer of one slot, which writes a checkpoint after each step."""
    server = Server("trainer", tmp_path_factory.mktemp("runs-server"), inputs.store.root)
    flags = ("--slots=1", "--threads=1", "--no-allow-hub", f"--model-roots={model_root}", "--checkpoint-seconds=0")
    try:
        yield server.start(*flags)
    finally:
        server.kill()


@pytest.fixture(scope="module")
def trainer(server):
    with server.client() as found:
        yield found


@pytest.fixture(scope="module")
def spec(inputs, model_root):
    """Makes specs of a tiny classifier."""

    def make(epochs=1, **fields):
        return pb.RunSpec(
            model=pb.ModelSpec(base=common.ModelRef(uri=f"file://{model_root}/topics"), max_length=32),
            dataset=common.DatasetRef(uri=inputs.store.uri("datasets", "own")),
            training=pb.TrainingConfig(epochs=epochs, batch_size=32, **fields),
        )

    return make


@pytest.fixture
def create(trainer, spec):
    """Creates a run: `create("a", epochs=2, priority=5)`."""

    def make(request_id="", epochs=1, seed=0, validate_only=False, **fields):
        run = pb.Run(spec=spec(epochs, seed=seed), **fields)
        return trainer.CreateRun(run=run, request_id=request_id, validate_only=validate_only)

    return make


@pytest.fixture
def busy(trainer, create):
    """A run that keeps the one slot until the test has ended."""
    run = create("busy", LONG, seed=1)
    trainer.until(run, lambda event: event.progress.stage == "train")
    yield run
    trainer.CancelRun(name=run.name)
    trainer.DeleteRun(name=run.name)


@pytest.fixture
def workspace(inputs):
    """The folder in which a run keeps its checkpoints."""
    return lambda run: inputs.models.parent / "artifacts" / "models" / ".work" / run.name.removeprefix("runs/")


def test_a_request_makes_one_run(trainer, create, refused):
    first = create("once", display_name="The first")
    ended = trainer.ended(first)
    again = create("once", display_name="Another name", priority=3)

    assert (again, again.display_name, again.status.attempt) == (ended, "The first", 1)
    assert ended.status.state == SUCCEEDED, ended.status.error.message
    with refused("ALREADY_EXISTS", words="another request_id"):
        create("once", seed=9)
    with refused("ALREADY_EXISTS", words="another request_id"):
        create("once", seed=9, validate_only=True)
    assert create().name != create().name


def test_what_makes_no_other_result_may_differ(trainer, create):
    run = trainer.ended(create("resources", resources=pb.Resources(processes=1)))
    assert create("resources", resources=pb.Resources(sharding=pb.SHARDING_FULLY_SHARDED)) == run


def test_a_request_is_the_same_when_its_inputs_are_gone(trainer, inputs, spec):
    inputs.examples("short-lived")
    asked = spec()
    asked.dataset.uri = inputs.store.uri("datasets", "short-lived")
    run = trainer.train(asked, "outlives-its-inputs")
    inputs.store.delete("datasets", "short-lived")
    assert trainer.CreateRun(run=pb.Run(spec=asked), request_id="outlives-its-inputs") == run


def test_validation_creates_nothing(trainer, create, refused):
    run = create("only-validated", validate_only=True, display_name="A name", priority=7)

    assert (run.name, run.display_name, run.priority) == ("", "A name", 7)
    assert (run.spec.training.batch_size, run.spec.training.learning_rate) == (32, 2e-5)
    assert run.resources == pb.Resources(processes=1, nodes=1, sharding=pb.SHARDING_DATA_PARALLEL)
    assert run.spec.objective.HasField("cross_entropy")
    assert not run.HasField("status")
    with refused("NOT_FOUND"):
        trainer.GetRun(name="runs/only-validated")


def test_a_run_tells_what_it_was_asked(trainer, create):
    run = trainer.ended(create("told", priority=-4, display_name="Told"))
    assert (run.name, run.priority, run.display_name) == ("runs/told", -4, "Told")
    assert (run.resources.processes, run.resources.nodes) == (1, 1)
    assert run == trainer.GetRun(name=run.name)


def test_lists_are_of_the_states_asked_for(trainer, create, busy):
    waiting = [create(f"listed-{n}") for n in range(3)]
    trainer.CancelRun(name=waiting.pop().name)

    def listed(*states, **fields):
        return [run.name for run in trainer.ListRuns(states=states, page_size=1000, **fields).runs]

    assert listed(RUNNING) == [busy.name]
    assert listed(QUEUED) == [run.name for run in reversed(waiting)]
    assert set(listed(QUEUED, RUNNING)) == {busy.name, *(run.name for run in waiting)}
    assert "runs/listed-2" in listed(CANCELLED)
    assert len(listed()) > len(listed(CANCELLED))
    for run in waiting:
        trainer.CancelRun(name=run.name)


def test_pages_of_a_state_are_whole_and_in_order(trainer, create, busy):
    waiting = [create(f"paged-{n}").name for n in range(5)]
    pages, token = [], ""
    while not pages or token:
        page = trainer.ListRuns(states=[QUEUED], page_size=2, page_token=token)
        pages.append([run.name for run in page.runs])
        token = page.next_page_token
    for name in waiting:
        trainer.CancelRun(name=name)
    assert pages == [waiting[:2:-1], waiting[2:0:-1], waiting[:1]]


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"states": [0]}, "states"), ({"states": [77]}, "states"), ({"page_size": -1}, "page_size")],
)
def test_lists_of_what_is_none_are_refused(trainer, refused, fields, field):
    with refused("INVALID_ARGUMENT", field):
        trainer.ListRuns(**fields)


def test_a_watch_goes_on_from_any_event_of_a_run_that_ended(trainer, create):
    run = trainer.ended(create("watched", epochs=3))
    events = list(trainer.WatchRun(name=run.name))

    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert [event.state for event in events[:2]] == [QUEUED, RUNNING]
    assert events[-1].state == SUCCEEDED
    stages = [event.progress.stage for event in events if event.HasField("progress")]
    assert {"load", "train", "checkpoint", "save"} <= set(stages)
    for after in range(len(events) + 1):
        assert list(trainer.WatchRun(name=run.name, after_sequence=after)) == events[after:]


def test_a_watch_that_is_cut_again_and_again_sees_every_event_once(trainer, create):
    run, seen = create("cut", epochs=10), []
    while not seen or seen[-1].state in (QUEUED, RUNNING):
        watch = trainer.WatchRun(name=run.name, after_sequence=seen[-1].sequence if seen else 0)
        seen += itertools.islice(watch, 3)
        watch.cancel()
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
    assert seen == list(trainer.WatchRun(name=run.name))


def test_a_waiting_run_that_is_cancelled_never_starts(trainer, create, busy):
    run = trainer.CancelRun(name=create("cancelled-waiting").name)
    assert (run.status.state, run.status.attempt, run.status.HasField("start_time")) == (CANCELLED, 0, False)
    assert [event.state for event in trainer.WatchRun(name=run.name)] == [QUEUED, CANCELLED]
    assert trainer.CancelRun(name=run.name) == run


def test_a_cancelled_run_leaves_nothing_behind(trainer, server, inputs, create, workspace, eventually, gone):
    run = create("cancelled-running", LONG)
    before = set(server.descendants())
    trainer.until(run, lambda event: event.progress.stage == "checkpoint")
    assert list(workspace(run).iterdir())
    processes = set(server.descendants()) - before
    cancelled = trainer.CancelRun(name=run.name)

    assert (cancelled.status.state, cancelled.HasField("result")) == (CANCELLED, False)
    gone(processes)
    assert not workspace(run).exists()
    assert inputs.store.find("models", "cancelled-running") is None


def test_only_what_has_ended_is_deleted(trainer, create, busy, refused):
    waiting = create("not-ended")
    for run in (busy, waiting):
        with refused("FAILED_PRECONDITION", words="cancel it first"):
            trainer.DeleteRun(name=run.name)
    assert trainer.GetRun(name=waiting.name).status.state == QUEUED
    trainer.CancelRun(name=waiting.name)
    trainer.DeleteRun(name=waiting.name)
    with refused("NOT_FOUND"):
        trainer.DeleteRun(name=waiting.name)


def test_a_deleted_runs_model_stays_and_keeps_its_id(trainer, inputs, create, workspace, refused):
    run = trainer.ended(create("kept"))
    trainer.DeleteRun(name=run.name)

    for call in (trainer.GetRun, trainer.CancelRun, trainer.DeleteRun, lambda name: list(trainer.WatchRun(name=name))):
        with refused("NOT_FOUND", words="runs/kept"):
            call(name=run.name)
    assert run.name not in [found.name for found in trainer.ListRuns(page_size=1000).runs]
    assert not workspace(run).exists()
    assert inputs.store.find("models", "kept").digest == run.result.model.digest
    with refused("ALREADY_EXISTS", words="models/kept was made by another spec"):
        create("kept", seed=5)
    again = trainer.ended(create("kept"))
    assert again.result.model == run.result.model


def test_a_run_deleted_with_its_models_frees_its_id(trainer, inputs, create):
    run = trainer.ended(create("freed"))
    trainer.DeleteRun(name=run.name, delete_models=True)
    assert inputs.store.find("models", "freed") is None
    other = trainer.ended(create("freed", seed=5))
    assert other.status.state == SUCCEEDED
    assert other.result.model.digest != run.result.model.digest


def test_a_chain_is_deleted_with_all_that_its_hops_made(trainer, inputs, spec):
    chain = spec()
    chain.hops.add(model=chain.model)
    chain.hops.add(model=chain.model)
    run = trainer.train(chain, "chain")
    assert run.status.state == SUCCEEDED, run.status.error.message
    keys = [("models", "chain"), *((kind, f"chain-hop-{n}") for kind in ("models", "labels") for n in range(2))]
    assert all(inputs.store.find(*key) for key in keys)
    trainer.DeleteRun(name=run.name, delete_models=True)
    assert not any(inputs.store.find(*key) for key in keys)


def test_a_higher_priority_starts_first_and_else_the_older(trainer, create):
    holding = create("holds-the-slot", LONG, seed=2)
    trainer.until(holding, lambda event: event.state == RUNNING)
    asked = {"low": -5, "first": 0, "high": 1000, "second": 0, "last": -1000}
    runs = {name: create(f"priority-{name}", priority=priority) for name, priority in asked.items()}
    trainer.CancelRun(name=holding.name)
    started = {name: trainer.ended(run).status.start_time.ToNanoseconds() for name, run in runs.items()}
    assert sorted(started, key=started.get) == ["high", "first", "second", "low", "last"]


def test_a_running_run_is_measured_until_it_ends(trainer, server, create, eventually):
    def of_run(name):
        samples = scrape(server.addresses["metrics"])
        return {metric: value for (metric, labels), value in samples.items() if ("run", name) in labels}

    def stored(state):
        return scrape(server.addresses["metrics"])["w2s_trainer_stored_runs", frozenset({("state", state)})]

    run = create("measured", LONG)
    waiting = create("measured-later")
    found = eventually(lambda: (series := of_run("measured")).get("w2s_trainer_step", 0) > 3 and series)
    assert found["w2s_trainer_total_steps"] == 2 * LONG  # 64 examples, 32 a step
    assert found["w2s_trainer_loss"] > 0
    assert 0 <= found["w2s_trainer_checkpoint_age_seconds"] < 60
    assert found.keys() >= {"w2s_trainer_learning_rate", "w2s_trainer_examples_per_second"}
    eventually(lambda: (stored("running"), stored("queued")) == (1, 1))
    trainer.CancelRun(name=waiting.name)
    cancelled = stored("cancelled")
    trainer.CancelRun(name=run.name)
    eventually(lambda: of_run("measured") == {})
    eventually(lambda: stored("cancelled") > cancelled and stored("running") == 0)
