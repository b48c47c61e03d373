"""What the pipeline's steps do: thin clients of the three services.

Every step is idempotent: its jobs have content keys, so a retried pod finds its own job.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import grpc
from google.protobuf.message import Message

from pipelines.config import CEILING, Model, Plan, make_plan
from pipelines.keys import content_key
from pipelines.progress import format_line
from w2s.artifacts import ArtifactStore
from w2s.client import Endpoints, artifact_root, connect, follow, rpc_error
from w2s.common.v1 import common_pb2 as pb
from w2s.errors import W2SError
from w2s.evaluator.v1 import evaluator_pb2, evaluator_pb2_grpc
from w2s.supervisor.v1 import supervisor_pb2, supervisor_pb2_grpc
from w2s.tasks import get_task, write_splits
from w2s.trainer.v1 import trainer_pb2, trainer_pb2_grpc

P = ParamSpec("P")
R = TypeVar("R")
Json = dict[str, Any]

_CALL_TIMEOUT_S = 60.0
# Points of a training curve: each costs one pass of the head over the validation split.
_CURVE_POINTS = 10
_ENCODINGS = {"pair": trainer_pb2.TEXT_ENCODING_PAIR, "single": trainer_pb2.TEXT_ENCODING_SINGLE}


def step(function: Callable[P, R]) -> Callable[P, R]:
    """Ends a failed step with one `ERROR:` line that says why, in place of a stack of callers."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except grpc.RpcError as error:
            reason = rpc_error(error)
        except W2SError as error:
            reason = error.message
        print(f"ERROR: {function.__name__}: {reason}", flush=True)
        sys.exit(1)

    return guarded


@step
def plan(fields: Json) -> Plan:
    """Validates the experiment's settings."""
    return make_plan(fields)


def list_seeds(plan: Plan) -> list[Json]:
    """The arms of the experiment, one a seed, each with the plan in it."""
    return [{"plan": plan.model_dump(mode="json"), "seed": seed} for seed in plan.seeds]


@step
def prepare(arm: Json) -> Json:
    """Writes the task's splits for a seed; returns their references by split."""
    plan, seed = _plan(arm)
    task = get_task(plan.task)
    key = content_key("prepare", task.name, task.version, plan.sizes.model_dump(), seed)
    refs = write_splits(ArtifactStore(artifact_root()), task, plan.sizes, seed, key)
    for name, ref in refs.items():
        print(f"{name}: {ref.uri}", flush=True)
    return {name: ref.model_dump() for name, ref in refs.items()}


@step
def train_weak(arm: Json, datasets: Json) -> Json:
    """Trains the weak model on ground truth; returns the run."""
    plan, seed = _plan(arm)
    spec = _run_spec(plan, plan.weak, seed, datasets["weak_train"], datasets["validation"])
    return _train(plan, f"weak:{seed}", spec)


@step
def activate(arm: Json, run: Json) -> Json:
    """Registers a trained model as a teacher and makes it the active one; returns the teacher."""
    plan, seed = _plan(arm)
    teacher_id = f"{plan.task.replace('_', '-')}-s{seed}-{run['model']['digest'][7:15]}"
    with connect(Endpoints.from_environment().supervisor) as channel:
        supervisor = supervisor_pb2_grpc.SupervisorServiceStub(channel)
        spec = supervisor_pb2.TeacherSpec(model=supervisor_pb2.ModelBackend(model=pb.ModelRef(**run["model"])))
        request = supervisor_pb2.RegisterTeacherRequest(teacher_id=teacher_id, spec=spec)
        teacher = supervisor.RegisterTeacher(request, timeout=_CALL_TIMEOUT_S)
        # The teacher before may have been another task's.
        gate = supervisor_pb2.ValidationGate(allow_other_labels=True)
        swap = supervisor_pb2.ActivateTeacherRequest(name=teacher.name, gate=gate)
        activation = supervisor.ActivateTeacher(swap, timeout=_CALL_TIMEOUT_S)
        follow(supervisor.WatchActivation, supervisor_pb2.WatchActivationRequest(name=activation.name))
    print(f"{teacher.name} is active", flush=True)
    return {"name": teacher.name, "digest": teacher.version.digest, "revision": teacher.version.revision}


@step
def label(arm: Json, datasets: Json, teacher: Json) -> Json:
    """Has the teacher label the transfer split, pinned to its digest; returns the labels' reference."""
    plan, seed = _plan(arm)
    dataset = datasets["transfer"]
    with connect(Endpoints.from_environment().supervisor) as channel:
        supervisor = supervisor_pb2_grpc.SupervisorServiceStub(channel)
        request = supervisor_pb2.LabelDatasetRequest(
            dataset=pb.DatasetRef(**dataset),
            teacher=teacher["name"],
            required_digest=teacher["digest"],
            request_id=content_key("label", dataset["digest"], teacher["name"], teacher["digest"], plan.nonce),
        )
        job = supervisor.LabelDataset(request, timeout=_CALL_TIMEOUT_S)
        watch = supervisor_pb2.WatchLabelingJobRequest(name=job.name)
        follow(supervisor.WatchLabelingJob, watch, _printer(f"labels:{seed}"))
        job = supervisor.GetLabelingJob(supervisor_pb2.GetLabelingJobRequest(name=job.name), timeout=_CALL_TIMEOUT_S)
    return {"uri": job.labels.uri, "digest": job.labels.digest}


@step
def evaluate_supervision(arm: Json, datasets: Json, run: Json, teacher: Json, labels: Json) -> Json:
    """Evaluates the teacher on the test split and its labels on the transfer split.

    Returns:
        The arm, with the supervision's artifacts and both evaluations.
    """
    plan, seed = _plan(arm)
    test, transfer = datasets["test"], datasets["transfer"]
    source = evaluator_pb2.TeacherSource(teacher=teacher["name"], required_digest=teacher["digest"])
    on_test = evaluator_pb2.EvaluationSpec(dataset=pb.DatasetRef(**test), teacher=source)
    on_transfer = evaluator_pb2.EvaluationSpec(dataset=pb.DatasetRef(**transfer), labels=pb.LabelsRef(**labels))
    return {
        **arm,
        "datasets": datasets,
        "run": run,
        "teacher": teacher,
        "labels": labels,
        "evaluation": _evaluate(plan, f"weak:{seed}", on_test),
        "label_evaluation": _evaluate(plan, f"labels:{seed}", on_transfer),
    }


def list_students(arms: list[Json]) -> list[Json]:
    """The students to train, the ceilings among them: method by method, so that seeds run side by side."""
    methods = Plan.model_validate(arms[0]["plan"]).methods
    return [
        {"item": f"{method}:{_plan(arm)[1]}", "method": method, "arm": arm}
        for method in (*methods, CEILING)
        for arm in arms
    ]


@step
def train_student(student: Json) -> Json:
    """Trains a student on weak labels, or the ceiling on ground truth; returns the run."""
    arm, method = student["arm"], student["method"]
    plan, seed = _plan(arm)
    spec = _run_spec(plan, plan.student, seed, arm["datasets"]["transfer"], arm["datasets"]["validation"])
    if method != CEILING:
        spec.labels.CopyFrom(pb.LabelsRef(**arm["labels"]))
    if method == "confidence":
        spec.objective.auxiliary_confidence.alpha_max = plan.training.confidence_alpha
    return _train(plan, student["item"], spec)


@step
def evaluate_student(student: Json, run: Json) -> Json:
    """Evaluates a student on the test split; returns its method, seed, run and evaluation."""
    plan, seed = _plan(student["arm"])
    dataset = student["arm"]["datasets"]["test"]
    spec = evaluator_pb2.EvaluationSpec(dataset=pb.DatasetRef(**dataset), model=pb.ModelRef(**run["model"]))
    evaluation = _evaluate(plan, student["item"], spec)
    return {"method": student["method"], "seed": seed, "run": run, "evaluation": evaluation}


@step
def report(arms: list[Json], students: list[Json], html: str, markdown: str, folder: str) -> dict[str, float]:
    """Writes the report to the paths of the step's artifacts; returns its scalar metrics."""
    # Imported here: only this step draws.
    from pipelines.reporting import collect, render  # noqa: PLC0415

    found = collect.collect(Plan.model_validate(arms[0]["plan"]), arms, students)
    render.write(found, Path(folder))
    Path(html).write_text((Path(folder) / "report.html").read_text())
    Path(markdown).write_text(render.markdown(found))
    return render.figures(found)


def _plan(arm: Json) -> tuple[Plan, int]:
    # KFP hands numbers on as doubles.
    return Plan.model_validate(arm["plan"]), int(arm["seed"])


def _run_spec(plan: Plan, model: Model, seed: int, dataset: Json, validation: Json) -> trainer_pb2.RunSpec:
    training = plan.training
    return trainer_pb2.RunSpec(
        model=trainer_pb2.ModelSpec(
            base=pb.ModelRef(uri=model.uri, revision=model.revision),
            layers=None if model.layers < 0 else model.layers,
            train_from_layer=model.train_from_layer,
            encoding=_ENCODINGS[training.encoding],
            max_length=training.max_length,
        ),
        dataset=pb.DatasetRef(**dataset),
        eval_dataset=pb.DatasetRef(**validation),
        training=trainer_pb2.TrainingConfig(
            epochs=training.epochs,
            batch_size=training.batch_size,
            learning_rate=training.learning_rate,
            head_learning_rate=training.head_learning_rate,
            seed=seed,
            evaluations=_CURVE_POINTS,
        ),
    )


def _train(plan: Plan, item: str, spec: trainer_pb2.RunSpec) -> Json:
    key = content_key("train", _bytes(spec), plan.nonce)
    with connect(Endpoints.from_environment().trainer) as channel:
        trainer = trainer_pb2_grpc.TrainerServiceStub(channel)
        request = trainer_pb2.CreateRunRequest(
            run=trainer_pb2.Run(display_name=f"{plan.task} {item}", spec=spec), request_id=key
        )
        run = trainer.CreateRun(request, timeout=_CALL_TIMEOUT_S)
        follow(trainer.WatchRun, trainer_pb2.WatchRunRequest(name=run.name), _printer(item))
        run = trainer.GetRun(trainer_pb2.GetRunRequest(name=run.name), timeout=_CALL_TIMEOUT_S)
    return {
        "name": run.name,
        "model": {"uri": run.result.model.uri, "digest": run.result.model.digest},
        "steps": run.result.steps,
        "train_loss": run.result.train_loss,
        "train_seconds": run.result.train_seconds,
    }


def _evaluate(plan: Plan, item: str, spec: evaluator_pb2.EvaluationSpec) -> Json:
    with connect(Endpoints.from_environment().evaluator) as channel:
        evaluator = evaluator_pb2_grpc.EvaluatorServiceStub(channel)
        request = evaluator_pb2.CreateEvaluationRequest(
            evaluation=evaluator_pb2.Evaluation(spec=spec),
            request_id=content_key("evaluate", _bytes(spec), plan.nonce),
        )
        found = evaluator.CreateEvaluation(request, timeout=_CALL_TIMEOUT_S)
        follow(evaluator.WatchEvaluation, evaluator_pb2.WatchEvaluationRequest(name=found.name), _printer(item))
        found = evaluator.GetEvaluation(evaluator_pb2.GetEvaluationRequest(name=found.name), timeout=_CALL_TIMEOUT_S)
    predictions = found.result.predictions
    print(f"{item}: accuracy {found.result.accuracy.value:.3f}", flush=True)
    return {
        "name": found.name,
        "predictions": {"uri": predictions.uri, "digest": predictions.digest},
        "accuracy": found.result.accuracy.value,
        "reliability": [
            {"confidence": b.mean_confidence, "accuracy": b.accuracy.value, "n": b.accuracy.n}
            for b in found.result.reliability
            if b.accuracy.n
        ],
    }


def _bytes(spec: Message) -> str:
    return spec.SerializeToString(deterministic=True).hex()


def _printer(item: str) -> Callable[[pb.JobEvent], None]:
    def show(event: pb.JobEvent) -> None:
        if event.progress.total_steps:
            print(format_line(item, event.progress), flush=True)

    return show
