"""What a deception experiment does, as items for its steps: pure functions of the plan and of what was made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipelines.deception.plan import (
    BOOTSTRAPPING,
    CEILING,
    DPO,
    EXPLICIT,
    FILTER,
    IMPLICIT,
    ORACLE_FILTER,
    REWARD,
    SIMPO,
    WEAK,
    Plan,
)
from pipelines.plans import Model
from pipelines.steps.guard import SUCCEEDED
from pipelines.steps.items import Json, as_json, training_item
from pipelines.steps.teach import teacher_id, teacher_spec
from w2s.common.v1 import common_pb2 as pb
from w2s.evaluator.v1 import evaluator_pb2
from w2s.trainer.v1 import trainer_pb2

DIRECT = "direct"

# The published scale of a margin of summed log-probabilities, in nats, and warm-up of preference optimisation
# (keven980716/weak-to-strong-deception, train_dpo.py and run_*.sh).
_SUM_SCALE = 50.0
_WARMUP = 0.1
# What is mixed in are other prompts than those with weak labels.
_OTHER = {"transfer": "weak_train", "weak_train": "transfer"}


def list_truths(plan: Plan, datasets: Json) -> list[Json]:
    """The models to train on ground truth: weak ones and ceilings, each once for a seed, whatever it is used as."""
    items = []
    for (objective, model, split), roles in truths(plan).items():
        for seed in plan.seeds:
            made, label = datasets[str(seed)], f"{objective}:{WEAK if roles[WEAK] else CEILING}:{model.tag}:{seed}"
            of, run = {"objective": objective, "seed": seed, **roles}, _run(plan, objective, model, seed, made[split])
            validation = made["validation"] if plan.knowledge.calibrated else {}
            items.append(_training(plan, label, of, run, made["test"]) | {"validation": validation})
    return items


def list_arms(plan: Plan, datasets: Json, truths: list[Json]) -> list[Json]:
    """The supervisions: each weak model of each objective and seed, which is to teach and to label."""
    return [
        {
            "item": f"{of['objective']}:labels:{plan.models_of(of['objective']).weak[int(weak)].tag}:{int(of['seed'])}",
            "of": {"objective": of["objective"], "weak": int(weak), "seed": int(of["seed"])},
            "dataset": datasets[str(int(of["seed"]))]["transfer"],
            **asked(plan, of["objective"], int(of["seed"]), truth["run"]["model"]),
        }
        for truth in truths
        for of in [truth["of"]]
        for weak in of[WEAK]
    ]


def list_routes(plan: Plan, datasets: Json, arms: list[Json]) -> list[Json]:
    """How labels come to students: as the weak model made them, and through an intermediate model."""
    items = [
        {"of": arm["of"] | {"route": DIRECT}, "labels": arm["labels"], "dataset": arm["dataset"], "train": {}}
        for arm in arms
    ]
    for arm in arms if BOOTSTRAPPING in plan.mitigations else ():
        objective, weak, seed = arm["of"]["objective"], int(arm["of"]["weak"]), int(arm["of"]["seed"])
        models = plan.models_of(objective)
        between = models.intermediate_of(weak)
        if between is None:
            continue
        run = _run(plan, objective, between, seed, arm["dataset"], arm["labels"])
        label = f"{objective}:intermediate:{models.weak[weak].tag}>{between.tag}:{seed}"
        items.append(
            {
                "item": label,
                "of": arm["of"] | {"route": BOOTSTRAPPING},
                "train": _training(plan, label, arm["of"], run, may_fail=True),
                # It labels what the weak model was trained on.
                "dataset": datasets[str(seed)]["weak_train"],
                "title": plan.data.task,
                **asked(plan, objective, seed),
            }
        )
    return items


def asked(plan: Plan, objective: str, seed: int, model: Json | None = None) -> Json:
    """How a model of an objective is asked for preferences; without the model, what is known before it is trained."""
    found = {
        # A reward model that the trainer made says itself how it is read.
        "reading": "" if objective == REWARD else "language_model",
        "margin": as_json(margin_of(objective)),
        "seed": seed,
        "nonce": plan.nonce,
    }
    return found if model is None else found | taught(found, plan.data.task, model)


def taught(asked: Json, title: str, model: Json) -> Json:
    """The teacher that a model becomes, for `steps.teach`."""
    return {
        "teacher": teacher_spec(model, asked["reading"]),
        "teacher_id": teacher_id(title, int(asked["seed"]), model["digest"]),
    }


def list_students(plan: Plan, datasets: Json, mixed: Json, routes: list[Json]) -> list[Json]:
    """The students: every objective, gap, conflict, mitigation and seed that labels could be had for."""
    found = {_route(route["of"], route["of"]["route"]): route for route in routes if route["status"] == SUCCEEDED}
    return [
        _student(plan, of, found[_route(of, route)], datasets, mixed)
        for of in students(plan)
        for route in [BOOTSTRAPPING if of["mitigation"] == BOOTSTRAPPING else DIRECT]
        if _route(of, route) in found
    ]


def students(plan: Plan) -> Iterator[Json]:
    """What the plan's students are of."""
    for objective in plan.objectives:
        models = plan.models_of(objective)
        for weak, strong in models.gaps:
            for mitigation in plan.mitigations:
                if mitigation == BOOTSTRAPPING and models.between(weak, strong) is None:
                    continue
                for conflict in plan.conflicts:
                    for seed in plan.seeds:
                        yield {
                            "objective": objective,
                            "weak": weak,
                            "strong": strong,
                            "conflict": conflict,
                            "mitigation": mitigation,
                            "seed": seed,
                        }


def _student(plan: Plan, of: Json, route: Json, datasets: Json, mixed: Json) -> Json:
    objective, seed, made = of["objective"], of["seed"], datasets[str(of["seed"])]
    models = plan.models_of(objective)
    weak, strong = models.weak[of["weak"]], models.strong[of["strong"]]
    run = _run(plan, objective, strong, seed, route["dataset"], route["labels"], explicit=of["conflict"] == EXPLICIT)
    if of["conflict"] == IMPLICIT:
        (split,) = [name for name in _OTHER if made[name]["digest"] == route["dataset"]["digest"]]
        run.mixed_datasets.add(**mixed[str(seed)][_OTHER[split]])
    if of["mitigation"] in (FILTER, ORACLE_FILTER):
        run.filter.threshold = plan.filter.threshold
        run.filter.oracle = of["mitigation"] == ORACLE_FILTER
    label = f"{objective}:{of['conflict']}+{of['mitigation']}:{weak.tag}>{strong.tag}:{seed}"
    return _training(plan, label, of, run, made["test"], may_fail=True)


def _training(
    plan: Plan, label: str, of: Json, run: trainer_pb2.RunSpec, test: Json | None = None, may_fail: bool = False
) -> Json:
    """A training of any objective, with the fine-tuning that comes before preference optimisation."""
    first = _fine_tuning(plan, run)
    if first is not None:
        # The fine-tuned model is cut already.
        run.model.ClearField("base")
        run.model.ClearField("layers")
    objective = of["objective"]
    evaluation = None
    if test is not None:
        evaluation = evaluator_pb2.EvaluationSpec(dataset=pb.DatasetRef(**test))
        if objective != REWARD:
            evaluation.margin.CopyFrom(margin_of(objective))
    return training_item(label, plan.data.task, of, run, evaluation, plan.nonce, may_fail, first)


def _run(
    plan: Plan,
    objective: str,
    model: Model,
    seed: int,
    dataset: Json,
    labels: Json | None = None,
    *,
    explicit: bool = False,
) -> trainer_pb2.RunSpec:
    """A training by an objective on a dataset's ground truth, or on labels; soft for rewards, hard for preferences."""
    spec = trainer_pb2.RunSpec(
        model=trainer_pb2.ModelSpec(
            base=pb.ModelRef(uri=model.uri, revision=model.revision),
            layers=None if model.layers < 0 else model.layers,
            max_length=plan.train.max_length,
        ),
        dataset=pb.DatasetRef(**dataset),
        labels=None if labels is None else pb.LabelsRef(**labels),
        objective=_objective(plan, objective, explicit),
        training=trainer_pb2.TrainingConfig(batch_size=plan.train.batch_size, seed=seed),
    )
    if objective == REWARD:
        _as_rewards(plan, model, spec)
    else:
        _as_preferences(plan, objective, model, spec)
    return spec


def _as_rewards(plan: Plan, model: Model, spec: trainer_pb2.RunSpec) -> None:
    spec.model.train_from_layer = model.train_from_layer
    _schedule(spec.training, plan.reward.epochs, model.learning_rate or plan.reward.learning_rate)
    spec.training.head_learning_rate = plan.reward.head_learning_rate
    spec.training.schedule = trainer_pb2.SCHEDULE_COSINE


def _as_preferences(plan: Plan, objective: str, model: Model, spec: trainer_pb2.RunSpec) -> None:
    if plan.preference.lora_rank:
        spec.model.lora.rank = plan.preference.lora_rank
    else:
        spec.model.train_from_layer = model.train_from_layer
    epochs = plan.preference.dpo_epochs if objective == DPO else plan.preference.simpo_epochs
    _schedule(spec.training, epochs, model.learning_rate or plan.preference.learning_rate)
    spec.training.schedule = trainer_pb2.SCHEDULE_CONSTANT
    spec.training.warmup_fraction = _WARMUP


def _schedule(training: trainer_pb2.TrainingConfig, epochs: int, rate: float) -> None:
    training.epochs, training.learning_rate = epochs, rate


def _objective(plan: Plan, objective: str, explicit: bool) -> trainer_pb2.Objective:
    found, settings = trainer_pb2.Objective(), plan.preference
    conflict = trainer_pb2.ExplicitConflict(weight=plan.conflict.weight) if explicit else None
    if objective == REWARD:
        found.reward_modeling.CopyFrom(trainer_pb2.RewardModeling(conflict=conflict))
    elif objective == DPO:
        found.dpo.CopyFrom(trainer_pb2.Dpo(beta=settings.dpo_beta, conflict=conflict))
    else:
        loss = trainer_pb2.SimPo(beta=settings.simpo_beta, gamma=settings.simpo_gamma, conflict=conflict)
        found.simpo.CopyFrom(loss)
    return found


def _fine_tuning(plan: Plan, run: trainer_pb2.RunSpec) -> trainer_pb2.RunSpec | None:
    """What comes before preference optimisation: fine-tuning on the completions that the same labels prefer."""
    if run.objective.WhichOneof("loss") == "reward_modeling":
        return None
    first = trainer_pb2.RunSpec()
    first.CopyFrom(run)
    first.objective.sft.averaging = trainer_pb2.AVERAGING_COMPLETIONS
    _schedule(first.training, plan.preference.sft_epochs, plan.preference.sft_learning_rate)
    return first


def margin_of(objective: str) -> evaluator_pb2.MarginReading:
    """How a model's scores become a margin: rewards as they are, mean log-probabilities for SimPO, sums / 50 for DPO.

    Source: the paper's code, keven980716/weak-to-strong-deception, train_simpo.py and train_dpo.py (the 50).
    """
    return evaluator_pb2.MarginReading(
        length_normalized=objective == SIMPO, scale=_SUM_SCALE if objective == DPO else 0.0
    )


def truths(plan: Plan) -> dict[tuple[str, Model, str], dict[str, list[int]]]:
    """What is trained on ground truth: (objective, model, split), and the places in its lists that it stands for."""
    wanted: dict[tuple[str, Model, str], dict[str, list[int]]] = {}
    for objective in plan.objectives:
        models = plan.models_of(objective)
        uses = [(WEAK, weak, models.weak[weak], "weak_train") for weak, _ in models.gaps]
        uses += [(CEILING, strong, models.strong[strong], plan.data.ceiling_split) for _, strong in models.gaps]
        for role, place, model, split in uses:
            places = wanted.setdefault((objective, model, split), {WEAK: [], CEILING: []})[role]
            if place not in places:
                places.append(place)
    return wanted


def truth_of(truths: Iterable[Json], role: str, of: Json) -> Json:
    """The result of the weak model, or of the ceiling, that a student is held against."""
    place = int(of["weak" if role == WEAK else "strong"])
    return next(
        truth
        for truth in truths
        if truth["of"]["objective"] == of["objective"]
        and int(truth["of"]["seed"]) == int(of["seed"])
        and place in map(int, truth["of"][role])
    )


def _route(of: Json, route: str) -> tuple[str, int, int, str]:
    return of["objective"], int(of["weak"]), int(of["seed"]), route
