"""Evaluations from their creation to their end, in this process."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
from helpers.harness_task import write_task
from prometheus_client import CollectorRegistry

from w2s.artifacts import ArtifactRef
from w2s.artifacts.tables import read_answers, read_predictions
from w2s.database import Database
from w2s.errors import AlreadyExists, InvalidArgument
from w2s.evaluator.v1 import evaluator_pb2 as pb
from w2s.jobs import State
from w2s_evaluator.evaluations.messages import evaluation_message
from w2s_evaluator.evaluations.metrics import EvaluationMetrics
from w2s_evaluator.evaluations.service import Evaluations
from w2s_evaluator.evaluations.spec import Benchmarks, EvaluationSpec, Generation, TeacherSource
from w2s_evaluator.scorers.protocol import ScorerKind
from w2s_evaluator.settings import EvaluatorSettings

GENERATION = Generation(samples=2, max_new_tokens=4, temperature=1.0, scorers=tuple(ScorerKind)[:1], pass_at=(2,))


@pytest.fixture
async def evaluations(store, supervisor, tmp_path):
    settings = EvaluatorSettings(
        artifact_root=store.root,
        database_url=f"sqlite:///{tmp_path}/state.db",
        cache_folder=tmp_path / "cache",
        supervisor_address=supervisor.target,
        benchmark_tasks=write_task(tmp_path / "tasks"),
        allow_hub=False,
        device="cpu",
        _cli_parse_args=[],
    )
    database = Database(settings.database_url)
    made = Evaluations(database, store, settings, EvaluationMetrics(CollectorRegistry()))
    await made.start()
    yield made
    await made.stop()
    database.close()


@pytest.fixture
def ended(evaluations):
    """An evaluation once it has ended."""

    async def run(request_id="", **spec):
        job = await evaluations.create(request_id, EvaluationSpec(replicates=100, **spec))
        async for _ in evaluations.jobs.watch(job.id, 0):
            pass
        return await evaluations.jobs.get(job.id)

    return run


@pytest.mark.parametrize("source", ["model", "teacher", "labels"])
async def test_examples_are_judged_whoever_judges(ended, store, examples, classifier, labels, source):
    dataset = examples({"label": 1}, {"label": 0, "slice": "hard"}, {"label": 1})
    spec = {
        "model": classifier,
        "teacher": TeacherSource(teacher="teachers/label"),
        "labels": labels(e0=[0.2, 0.8], e1=[0.1, 0.9], e2=[0.4, 0.6]),
    }
    job = await ended(dataset=dataset, **{source: spec[source]})
    assert job.state is State.SUCCEEDED, job.error_message
    result = evaluation_message(job).result
    found = read_predictions(store, ArtifactRef(uri=result.predictions.uri, digest=result.predictions.digest))

    assert [parent.role for parent in found.manifest.parents] == ["dataset", source]
    assert result.accuracy.value == pytest.approx((found.predictions == found.labels).mean())
    assert [(m.name, m.slice) for m in result.metrics if m.name == "accuracy"] == [
        ("accuracy", ""),
        ("accuracy", "hard"),
    ]
    if source != "model":
        assert result.accuracy.value == pytest.approx(2 / 3)


@pytest.mark.parametrize("source", ["reward", "language_model", "teacher", "labels"])
async def test_pairs_are_judged_whoever_judges(ended, store, pairs, labels, request, source):
    dataset = pairs({"label": 1, "second": " longer"}, {"label": 0, "first": " longer"})
    if source == "teacher":
        spec = {"teacher": TeacherSource(teacher="teachers/compare")}
    elif source == "labels":
        spec = {"labels": labels(p0=[0.1, 0.9], p1=[0.7, 0.3])}
    else:
        spec = {"model": request.getfixturevalue(source)}
    job = await ended(dataset=dataset, **spec)
    assert job.state is State.SUCCEEDED, job.error_message
    found = read_predictions(store, ArtifactRef.model_validate(job.result["predictions"]))
    assert found.logits[:, 1].tolist() == [0, 0]
    if source in ("teacher", "labels"):
        assert found.predictions.tolist() == [1, 0]
    if source == "teacher":
        assert found.logits[:, 0].tolist() == [len(" one") - len(" longer"), len(" longer") - len(" two")]


@pytest.mark.parametrize("source", ["language_model", "teacher"])
async def test_prompts_are_answered_whoever_answers(ended, store, prompts, request, source):
    teacher = source == "teacher"
    spec = (
        {"teacher": TeacherSource(teacher="teachers/generate")}
        if teacher
        else {"model": request.getfixturevalue(source)}
    )
    job = await ended(dataset=prompts({}, {}, {}), generation=GENERATION, **spec)
    assert job.state is State.SUCCEEDED, job.error_message
    result = evaluation_message(job).result
    found = read_answers(store, ArtifactRef(uri=result.predictions.uri))

    assert [len(texts) for texts in found.samples] == [2, 2, 2]
    assert not result.HasField("accuracy")
    assert [m.name for m in result.metrics] == ["exact_match", "pass@2"]
    assert result.metrics[0].direction == pb.DIRECTION_HIGHER_IS_BETTER
    if teacher:
        assert all(text.startswith(f"{n} sample of") for texts in found.samples for n, text in enumerate(texts))


async def test_the_same_request_is_the_same_evaluation(ended, evaluations, examples, classifier, store):
    dataset = examples({"label": 1})
    first = await ended("mine", dataset=dataset, model=classifier)
    # Even when what it was made of is gone.
    store.delete("datasets", "examples")
    assert await ended("mine", dataset=dataset, model=classifier) == first
    with pytest.raises(AlreadyExists):
        await evaluations.create("mine", EvaluationSpec(dataset=dataset, model=classifier, bootstrap_seed=1))


async def test_nothing_is_created_of_what_is_refused(evaluations, pairs, classifier):
    with pytest.raises(InvalidArgument):
        await evaluations.create("", EvaluationSpec(dataset=pairs({}), model=classifier))
    assert (await evaluations.jobs.page(10, ""))[0] == []


async def test_predictions_of_a_forgotten_evaluation_are_not_taken_for_its_own(ended, store, examples, classifier):
    with store.write("predictions", "taken", data_schema="w2s.predictions/1", config={}):
        pass
    job = await ended("taken", dataset=examples({"label": 1}), model=classifier)
    assert (job.state, job.error_code) == (State.FAILED, AlreadyExists.code)
    assert "use another request_id" in job.error_message


async def test_a_failed_evaluation_goes_on_from_what_it_had_done(ended, store, prompts, supervisor):
    dataset = prompts(*[{}] * 9)
    spec = {
        "dataset": dataset,
        "teacher": TeacherSource(teacher="teachers/generate"),
        "generation": GENERATION.model_copy(update={"samples": 32}),
    }
    supervisor.fail_at = 5
    failed = await ended("again", **spec)
    assert (failed.state, "out of order" in failed.error_message) == (State.FAILED, True)
    assert len(store.workspace("predictions", "again").names()) == 4
    asked = len(supervisor.requests)

    done = await ended("again", **spec)
    assert (done.state, done.attempt) == (State.SUCCEEDED, 2)
    assert len(supervisor.requests) - asked == 5
    assert store.workspace("predictions", "again").names() == []
    undisturbed = await ended("undisturbed", **spec)
    assert done.result["predictions"]["digest"] == undisturbed.result["predictions"]["digest"]
    assert done.result["metrics"] == undisturbed.result["metrics"]


async def test_a_cancelled_evaluation_leaves_nothing(evaluations, store, prompts, supervisor):
    generation = GENERATION.model_copy(update={"samples": 32})
    spec = EvaluationSpec(
        dataset=prompts(*[{}] * 9), teacher=TeacherSource(teacher="teachers/generate"), generation=generation
    )
    supervisor.hold_at = 4
    job = await evaluations.create("cancelled", spec)
    async for event in evaluations.jobs.watch(job.id, 0):
        if event.progress and event.progress.step == 3:
            break
    assert store.workspace("predictions", "cancelled").names() != []
    cancelled = await evaluations.jobs.cancel(job.id)
    await evaluations.stop()
    assert cancelled.state is State.CANCELLED
    assert (store.find("predictions", "cancelled"), store.workspace("predictions", "cancelled").names()) == (None, [])


async def test_benchmarks_take_a_datasets_place(ended, store, language_model):
    job = await ended(model=language_model, benchmarks=Benchmarks(tasks=("tiny_sums",), limit=2))
    assert job.state is State.SUCCEEDED, job.error_message
    result = evaluation_message(job).result
    (accuracy,) = [metric for metric in result.metrics if metric.name == "tiny_sums/acc"]
    assert (accuracy.estimate.n, accuracy.estimate.value in (0, 0.5, 1)) == (2, True)
    artifact = store.read(result.predictions.uri, result.predictions.digest)
    rows = pq.read_table(artifact.path / "samples.parquet").to_pylist()
    assert [(row["task"], row["id"]) for row in rows] == [("tiny_sums", "0"), ("tiny_sums", "1")]
    assert [parent.role for parent in artifact.manifest.parents] == ["model"]
