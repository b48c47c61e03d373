"""Runs as TrainJobs, on a cluster whose pods say what the test says."""

from __future__ import annotations

import asyncio

import pytest
from support import kubernetes_api

from w2s.errors import FailedPrecondition, Unavailable
from w2s.jobs import Progress
from w2s_trainer.launch import RunFailed, cluster, trainjob
from w2s_trainer.launch.trainjob import TrainJobLauncher
from w2s_trainer.worker.order import Order, read_order
from w2s_trainer.worker.outbox import WorkspaceOutbox

NAME = "run-steps"


@pytest.fixture
def api(monkeypatch):
    monkeypatch.setattr(cluster, "_PAUSES_S", (0.01,))
    with kubernetes_api.running() as api:
        api.add_runtime("w2s-student")
        yield api


@pytest.fixture
def serve(api, settings, store):
    """A server's launcher; several in turn are a server and its restarts."""
    made = []

    def make():
        made.append(TrainJobLauncher(settings(kubernetes_url=api.url, checkpoint_grace_s=0), store, poll_s=0.02))
        return made[-1]

    yield make
    for launcher in made:
        launcher.close()


@pytest.fixture
def execute(serve, job, reports):
    """Begins the run `steps`, on a server of its own."""
    return lambda **resources: asyncio.create_task(serve().execute(job("steps", **resources), reports))


@pytest.fixture
def workspace(store):
    return store.workspace("models", "steps")


@pytest.fixture
def pod(api, workspace):
    """The outbox of the TrainJob's pods, once there is one that does not go."""

    async def found():
        async with asyncio.timeout(10):
            while (job := api.trainjob(NAME)) is None or "deletionTimestamp" in job["metadata"]:
                await asyncio.sleep(0.01)
        return WorkspaceOutbox(workspace, job["metadata"]["annotations"]["w2s.dev/launch"])

    return found


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_run_is_a_trainjob_until_it_is_over(api, serve, execute, pod, workspace, reports):
    run = execute(processes=2, nodes=3)
    outbox = await pod()
    body = api.trainjob(NAME)
    launch = body["metadata"]["annotations"]["w2s.dev/launch"]
    assert (body["spec"]["trainer"]["numNodes"], body["spec"]["trainer"]["numProcPerNode"]) == (3, 2)
    order = read_order(workspace)
    assert (order.launch, order.resources.processes, order.resources.nodes) == (launch, 2, 3)

    await reports.until(lambda progress: progress.stage == "pending")
    api.set_status(NAME, jobsStatus=[{"name": "node", "ready": 1, "active": 1, "succeeded": 0, "failed": 0}])
    outbox.send(Progress("train", 1, 2, {"loss": 0.5}))
    await reports.until(lambda progress: progress.stage == "train")
    outbox.end({"result": {"steps": 2}})
    api.condition(NAME, "Complete", "JobsCompleted")
    assert await run == {"steps": 2}
    assert reports == [Progress("pending"), Progress("train", 1, 2, {"loss": 0.5})]
    await serve().discard("steps")
    assert api.trainjob(NAME) is None
    assert api.deletions == ["Foreground"]
    await serve().discard("steps")


async def test_a_result_that_no_server_took_down_is_told_again(api, execute, pod):
    run = execute()
    (await pod()).end({"result": {"steps": 2}})
    api.condition(NAME, "Complete", "JobsCompleted")
    # The server dies before the end of the run is in the database.
    assert await run == await execute() == {"steps": 2}
    assert api.calls.count("create trainjobs") == 1


async def test_what_is_not_gone_yet_is_not_said_to_be(api, serve, execute, pod, monkeypatch):
    monkeypatch.setattr(trainjob, "_GONE_S", 0.1)
    run = execute()
    (await pod()).end({"error": {"code": 8, "message": "no space left"}})
    with pytest.raises(RunFailed):
        await run
    api.linger = True
    with pytest.raises(Unavailable, match="TrainJob run-steps is being deleted, and its pods are not gone yet"):
        await serve().discard("steps")


async def test_an_attempt_that_is_not_the_last_gives_no_order(api, execute, workspace, job):
    later = Order(launch="later", attempt=2, spec=job("steps").spec)
    later.give(workspace)
    with pytest.raises(FailedPrecondition, match="attempt 2 of the run has begun elsewhere"):
        await execute()
    assert (read_order(workspace), api.trainjob(NAME)) == (later, None)


async def test_the_pods_own_error_is_the_runs(api, execute, pod):
    run = execute()
    (await pod()).end({"error": {"code": 3, "message": "model.layers: at most 6"}})
    with pytest.raises(RunFailed) as caught:
        await run
    assert (caught.value.code, caught.value.message) == (3, "model.layers: at most 6")
    # Its pods are there to be looked at.
    assert api.trainjob(NAME)


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (
            lambda api: api.condition(NAME, "Failed", "FailedJobs", "jobset failed due to one or more job failures"),
            "TrainJob run-steps failed: FailedJobs: jobset failed due to one or more job failures",
        ),
        (lambda api: api.condition(NAME, "Complete", "JobsCompleted"), "is complete, and its pods left no result"),
        (lambda api: api.drop(NAME), "was deleted before the run had ended"),
    ],
    ids=["failed", "complete", "deleted"],
)
async def test_a_trainjob_that_ends_without_a_result_fails_the_run(api, execute, pod, end, message):
    run = execute()
    await pod()
    end(api)
    with pytest.raises(RunFailed, match=message) as caught:
        await run
    assert caught.value.code == 13


async def test_a_suspended_trainjob_is_waited_for(api, execute, pod, reports):
    run = execute()
    outbox = await pod()
    api.condition(NAME, "Suspended", "Suspended")
    await reports.until(lambda progress: progress.stage == "suspended")
    assert not run.done()
    outbox.end({"result": {}})
    assert await run == {}


async def test_pods_that_start_again_are_no_end(api, execute, pod, reports):
    run = execute()
    outbox = await pod()
    outbox.send(Progress("train", 1))
    outbox.end({"stopped": True})
    await reports.until(lambda progress: progress.step == 1)
    again = await pod()
    again.send(Progress("train", 2))
    again.end({"result": {}})
    assert await run == {}
    assert [progress.step for progress in reports if progress.stage == "train"] == [1, 2]


async def test_a_cancelled_run_deletes_its_trainjob_and_waits_for_its_pods(api, execute, pod):
    api.linger = True
    run = execute()
    await pod()
    run.cancel("cancelled")
    await until(lambda: api.deletions)
    await asyncio.sleep(0.1)
    assert not run.done()
    api.drop(NAME)
    with pytest.raises(asyncio.CancelledError):
        await run
    assert api.deletions == ["Foreground"]


async def test_a_run_that_is_cancelled_while_it_is_created_leaves_no_trainjob(api, execute):
    api.delays = {"create trainjobs": 0.3}
    run = execute()
    await until(lambda: "create trainjobs" in api.calls)
    run.cancel("cancelled")
    with pytest.raises(asyncio.CancelledError):
        await run
    await asyncio.sleep(0.4)
    assert api.deletions == ["Foreground"]
    assert api.trainjob(NAME) is None


@pytest.mark.parametrize("reason", ["stopping", "lost"])
async def test_the_next_server_takes_the_trainjob_over(api, execute, pod, workspace, reports, reason):
    run = execute()
    outbox = await pod()
    uid = api.trainjob(NAME)["metadata"]["uid"]
    outbox.send(Progress("train", 1))
    await reports.until(lambda progress: progress.step == 1)
    await asyncio.sleep(0.1)
    run.cancel(reason)
    with pytest.raises(asyncio.CancelledError):
        await run
    order = read_order(workspace)

    outbox.send(Progress("train", 2))
    outbox.end({"result": {"steps": 2}})
    assert await execute() == {"steps": 2}
    assert [progress.step for progress in reports if progress.stage == "train"] == [1, 2]
    assert read_order(workspace) == order
    assert api.calls.count("create trainjobs") == 1
    assert uid


async def test_a_run_that_is_tried_again_has_a_new_trainjob(api, execute, pod):
    run = execute()
    await pod()
    api.condition(NAME, "Failed", "FailedJobs", "")
    with pytest.raises(RunFailed):
        await run
    uid = api.trainjob(NAME)["metadata"]["uid"]
    again = execute()
    await until(lambda: (job := api.trainjob(NAME)) is not None and job["metadata"]["uid"] != uid)
    (await pod()).end({"result": {}})
    assert await again == {}


async def test_an_error_that_was_told_is_not_told_again(api, execute, pod):
    run = execute()
    (await pod()).end({"error": {"code": 8, "message": "no space left"}})
    with pytest.raises(RunFailed):
        await run
    first = api.trainjob(NAME)["metadata"]["uid"]
    again = execute()
    await until(lambda: (job := api.trainjob(NAME)) is not None and job["metadata"]["uid"] != first)
    (await pod()).end({"result": {}})
    assert await again == {}


@pytest.mark.parametrize("annotations", [{}, {"w2s.dev/run": "other", "w2s.dev/launch": "token"}])
async def test_a_trainjob_of_somebody_else_is_left_alone(api, serve, execute, annotations):
    api._create("trainjobs", "default", {"metadata": {"name": NAME, "annotations": annotations}})
    uid = api.trainjob(NAME)["metadata"]["uid"]
    with pytest.raises(FailedPrecondition, match="TrainJob run-steps exists and is not of runs/steps"):
        await execute()
    await serve().discard("steps")
    assert api.trainjob(NAME)["metadata"]["uid"] == uid


async def test_a_create_whose_answer_was_lost_is_no_other_run(api, execute, pod, workspace, monkeypatch):
    create = api._create

    def lost(plural, namespace, body):
        create(plural, namespace, body)
        monkeypatch.undo()
        raise ConnectionError

    monkeypatch.setattr(api, "_create", lost)
    run = execute()
    outbox = await pod()
    await until(lambda: api.calls.count("create trainjobs") == 2)
    outbox.end({"result": {}})
    assert await run == {}
    assert read_order(workspace).launch == outbox._launch


async def test_a_run_goes_on_without_the_api(api, execute, pod, reports):
    run = execute()
    outbox = await pod()
    api.failures = {"get trainjobs": [503] * 20}
    outbox.send(Progress("train", 1))
    await reports.until(lambda progress: progress.step == 1)
    await until(lambda: not api.failures["get trainjobs"])
    outbox.end({"result": {}})
    assert await run == {}
